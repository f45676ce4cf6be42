"""The page of the comparison of systems: tables of the rows that are there, curves, and which is best at what."""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.studies import ae_results
from benchmarks.studies.ae_results import figures_of, format_figures, summarize_figures
from benchmarks.studies.compare_training import SYSTEMS
from sketchforge.report.svg import curves_svg
from sketchforge.utils.files import write_bytes

COLUMNS = ae_results.COLUMNS | {
    "Fréchet (builtin relu3_1+relu4_1)": "Fréchet (built-in)",
    "KID (mobilenet_v2)": "KID (MobileNetV2)",
    "KID (efficientnet-lite0)": "KID (EfficientNet-Lite0)",
    "KID (builtin relu3_1+relu4_1)": "KID (built-in)",
    "diversity, LPIPS (squeeze, other weights)": "diversity",
    "LPIPS (squeeze, other weights) to the style": "LPIPS to the style",
}
# Of people's drawings: what needs no picture of what was drawn.
PEOPLE_COLUMNS = (
    "Fréchet (mobilenet_v2)", "Fréchet (efficientnet-lite0)", "Fréchet (builtin relu3_1+relu4_1)", "SR (builtin)", "Skt-Rec", "Sty-Rec",
)  # fmt: skip
BEGIN, END = "<!-- figures: made by compare_systems.py page -->", "<!-- end of figures -->"

# What is asked of whom, and whether less is better; of squared errors and KID others tell.
ASKED = {
    "Fréchet (mobilenet_v2)": True,
    "Fréchet (efficientnet-lite0)": True,
    "Fréchet (builtin relu3_1+relu4_1)": True,
    "LPIPS (squeeze, other weights)": True,
    "SR (builtin)": False,
    "Skt-Rec": True,
    "Sty-Rec": False,
    "squared error, style mirrored": True,
    "layout leak": True,
    "diversity, LPIPS (squeeze, other weights)": False,
}

Tables = dict[tuple[str, int, float], dict[str, list[dict[str, Any]]]]


def read_tables(results: Path) -> Tables:
    """What rows have left, by (data, size, seconds) and system."""
    tables: Tables = defaultdict(dict)
    for path in sorted(results.glob("*.json")):
        result = json.loads(path.read_text())
        table = tables[result["data"], result["size"], result["seconds"]]
        table.setdefault(result["system"], []).append(result)
    return {key: {name: table[name] for name in SYSTEMS if name in table} for key, table in tables.items()}


def system_tables(results: Path) -> Iterator[str]:
    """Markdown: for each (data, size, seconds) what is made of machines' and of people's drawings, and what it costs."""
    for (data, size, seconds), table in read_tables(results).items():
        yield f"### {data.capitalize()}, {size} pixels, {seconds:,.0f} seconds of a processor each"
        rows = {name: [figures_of(result) for result in found] for name, found in table.items()}
        yield _figures_table(rows, COLUMNS)
        people = {
            name: [figures_of({"rows": result["people"]}) for result in found if "people" in result]
            for name, found in table.items()
        }
        if any(people.values()):
            yield "The same models, from people's drawings:"
            yield _figures_table(people, {title: COLUMNS[title] for title in PEOPLE_COLUMNS})
        yield "What they cost:"
        yield _costs_table(table)


def _figures_table(rows: dict[str, list[dict[str, Any]]], columns: dict[str, str]) -> str:
    titles = [title for title in columns if any(title in row for found in rows.values() for row in found)]
    lines = [_line(["", "seeds", *(columns[title] for title in titles)]), "|---" * (len(titles) + 2) + "|"]
    for system, found in rows.items():
        cells = [format_figures([row[title] for row in found if title in row]) for title in titles]
        lines.append(_line([SYSTEMS[system][0], str(len(found)), *cells]))
    return "\n".join(lines)


def _costs_table(table: dict[str, list[dict[str, Any]]]) -> str:
    heads = ["", "steps", "million parameters", "G multiply-adds an image", "ms an image", "ms a step"]
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for system, results in table.items():
        sizes, stages = results[0]["sizes"], results[0]["stages"].values()
        means = [
            statistics.mean(result["stages"][name]["steps"] for result in results)
            for name in results[0]["stages"]
        ]
        cells = [SYSTEMS[system][0], " + ".join(f"{mean:,.0f}" for mean in means)]
        cells += [f"{sizes['parameters'] / 1e6:.2f}", f"{sizes['giga_multiply_adds']:.3g}"]
        cells.append(f"{1000 * sizes['seconds_image']:.3g}")
        cells.append(" + ".join(f"{1000 * stage['seconds'] / stage['steps']:.0f}" for stage in stages))
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write_page(out: Path, results: Path) -> None:
    """The tables between the marks of `out`, what is around them kept; a new page where there is none."""
    begin, end = f"# Systems on the same shards\n\n{BEGIN}", f"{END}\n"
    if out.is_file():
        begin, mark, rest = out.read_text(encoding="utf-8").partition(BEGIN)
        _, second, end = rest.partition(END)
        if not mark or not second:
            sys.exit(f"{out}: found no '{BEGIN}' and '{END}', between which figures are written")
        begin, end = begin + mark, second + end
    write_bytes(out, "\n\n".join([begin, *system_tables(results), end]).encode())


def draw_curves(out: Path, results: Path) -> None:
    """systems-DATA-SIZE.svg: squared error of matched pairs over seconds of a processor."""
    for (data, size, seconds), table in read_tables(results).items():
        series = {SYSTEMS[name][0]: [result["curve"] for result in found] for name, found in table.items()}
        title = f"Squared error of matched pairs, {data} of {size} pixels"
        path = out / f"systems-{data}-{size}.svg"
        path.write_text(
            curves_svg(series, title, "seconds of a processor (GAN: of its own)"), encoding="utf-8"
        )


def best_table(table: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: of each measure the best system, and those that cannot be told from it: whose intervals reach its own."""
    lines = [_line(["", "best", "not to be told from it"]), "|---" * 3 + "|"]
    rows = {name: [figures_of(result) for result in found] for name, found in table.items()}
    for title, less in ASKED.items():
        found = {
            name: summary
            for name, figures in rows.items()
            if (summary := summarize_figures([row[title] for row in figures if title in row]))
        }
        if len(found) < 2:
            continue
        best = (min if less else max)(found, key=lambda name: found[name][0])
        low, high = min(found[best]), max(found[best])
        near = [
            SYSTEMS[name][0]
            for name, numbers in found.items()
            if name != best and min(numbers) <= high and max(numbers) >= low
        ]
        name = f"{COLUMNS[title]} ({'less' if less else 'more'} is better)"
        lines.append(_line([name, SYSTEMS[best][0], ", ".join(near)]))
    return "\n".join(lines)


def write_own_page(work: Path, results: Path) -> Path:
    """work/comparison.md, of a user's own shards: tables, which is best at what, curves and grids; returns its path."""
    parts = ["# Systems on the same shards", *system_tables(results)]
    for (data, size, _), table in read_tables(results).items():
        if len(table) > 1:
            parts += [f"## Which is best at what: {data}, {size} pixels", best_table(table)]
            parts.append(
                "The best by a figure need not be so by eye, or with more time: look at the pictures, and at whether the curves "
                "still fall. Intervals are over images; another seed differs, too."
            )
        gaps = {name: reason for found in table.values() for name, reason in found[0].get("gaps", {}).items()}
        if gaps:
            parts.append(
                "Not measured: " + "; ".join(f"{name} ({reason})" for name, reason in gaps.items()) + "."
            )
        if not all(found[0].get("held_out", True) for found in table.values()):
            parts.append(
                "**Measured on the images that they learnt from**, for the shards have no part `val`: whoever learns by heart wins. "
                "Render with `--split train=.8,val=.2` for images that none of them has seen."
            )
        parts.append(f"![Squared error of matched pairs over seconds](systems-{data}-{size}.svg)")
        parts.append(f"## What they make: {data}, {size} pixels")
        parts.append(
            "Sketches at the left, style images above, none of them chosen; the diagonal is matched."
        )
        for name, found in table.items():
            picture = f"{name}-{data}-{size}-{found[0]['seed']}.png"
            if (work / picture).is_file():
                parts += [f"### {SYSTEMS[name][0]}", f"![{SYSTEMS[name][0]}]({picture})"]
    path = work / "comparison.md"
    write_bytes(path, ("\n\n".join(parts) + "\n").encode())
    return path
