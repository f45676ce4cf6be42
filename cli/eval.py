"""`sketchforge eval sketches`"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from cli.options import FOLDER, defaults_of, on_interrupt, sample_bar, seed_option
from sketchforge.options import EvalSketchesOptions

FILE = click.Path(path_type=Path, dir_okay=False)
DEFAULTS = defaults_of(EvalSketchesOptions)


@click.group(
    "eval",
    no_args_is_help=False,  # one line on what is missing, as everywhere
    epilog="Example: sketchforge eval sketches --shards out/",
)
def eval_command() -> None:
    """Measure what has been made."""


@eval_command.command(
    "sketches",
    epilog="Example: sketchforge eval sketches --shards out/ --shards out-canny/ --boundaries annotations/ "
    "--references drawings/ --html sketches.html",
)
@click.option(
    "--shards",
    type=FOLDER,
    multiple=True,
    required=True,
    metavar="DIR",
    help="Sketches to measure; repeatable.",
)
@click.option(
    "--boundaries",
    type=FOLDER,
    metavar="DIR",
    help="Content: people's boundaries of the photos, as BSDS500 has them, KEY.mat.",
)
@click.option(
    "--references",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="Realism: human drawings to compare with; repeatable, all others are compared with the first.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=DEFAULTS["samples"],
    show_default=True,
    metavar="N",
    help="Images to look at in each folder, spread evenly, the same in all; 0: every one.",
)
@seed_option(DEFAULTS["seed"])
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=DEFAULTS["workers"],
    show_default=True,
    metavar="N",
    help="Processes that measure; 0: as many as pay, one per core at most.",
)
@click.option("--json", type=FILE, metavar="FILE", help="Write all figures as JSON.")
@click.option(
    "--html", type=FILE, metavar="FILE", help="Write a web page: one file that needs nothing beside it."
)
def sketches_command(**values: Any) -> None:
    """Tell how good sketches are: content, realism, variety and strokes, beside people's.

    Every figure has its 95 % interval over images. docs/measures.md says what each can and cannot tell.
    """
    from sketchforge.metrics.lines import as_json, evaluate_sketches

    options = EvalSketchesOptions(**values)
    with (
        on_interrupt(lambda: "nothing was written; run the same command again"),
        sample_bar("sketch") as (start, advance),
    ):
        found = evaluate_sketches(options, start, advance)
    for line in _report(found):
        click.echo(line)
    if options.json:
        from sketchforge.files import write_json

        write_json(options.json, as_json(found))
        click.echo(options.json)
    if options.html:
        from sketchforge.report.sketch_page import write_sketch_page

        write_sketch_page(options.html, found)
        click.echo(options.html)


def _report(found: Any) -> Iterator[str]:
    """The tables, in blocks, each with a line on how to read it; then what is missing."""
    from sketchforge.metrics.lines import CONTENT, REALISM, STROKES, VARIETY

    styles, people = found.of_kind("style"), found.of_kind("people")
    references = found.of_kind("reference")
    blocks = (
        (CONTENT, "agreement with people's boundaries, 0 to 1, higher is better", [*styles, *people]),
        (
            REALISM,
            "told from drawings by people: AUC (0.5: not at all) and KID, lower is better",
            styles + references,
        ),
        (
            VARIETY,
            "how many different manners the styles of one image are, higher is better",
            found.of_kind("folder"),
        ),
        (STROKES, "median over sketches [95 %]", styles + references),
    )
    for block, explained, rows in blocks:
        columns = [column for column in COLUMNS[block] if any(row.figure(block, column[0]) for row in rows)]
        shown = [row for row in rows if row.figures.get(block)]
        if not shown or not columns:
            continue
        yield f"{block}: {explained}"
        yield from _table(block, columns, shown)
        if block == CONTENT and people:
            yield "people: each annotator against the others"
        if block == STROKES:
            yield "10th to 90th percentile over sketches"
            yield from _table(block, columns, shown, _percentiles)
            compared = [row for row in shown if row.figure(block, f"distance_{DISTANCES[0][0]}")]
            if compared:
                yield "distance from the references' distribution in its standard deviations, lower is better"
                yield from _table(
                    block,
                    [(f"distance_{name}", heading.split()[0], 1, 1) for name, heading, _, _ in DISTANCES],
                    compared,
                )
        yield ""
    if references:
        yield f"the floor is {references[0].name}: one half against the other, over 20 halvings"
    yield "[95 %]: percentile bootstrap over images; n: images"
    for gap in found.gaps:
        yield f"missing: {': '.join(part for part in (gap.row, gap.block, gap.reason) if part)}"


# Name of the figure, heading, factor and decimals, by block.
COLUMNS: dict[str, list[tuple[str, str, float, int]]] = {
    "content": [
        ("f_ods", "F (ODS)", 1, 3),
        ("f_ois", "F (OIS)", 1, 3),
        ("precision", "precision", 1, 3),
        ("recall", "recall", 1, 3),
    ],
    "realism": [("auc", "AUC", 1, 3), ("kid", "KID", 1, 2)],
    "variety": [("vendi", "Vendi", 1, 2)],
    "strokes": [
        ("ink", "ink %", 100, 1),
        ("width", "width px", 1, 1),
        ("straightness", "straight", 1, 2),
        ("fragments", "fragments", 1, 0),
        ("short_share", "short %", 100, 1),
    ],
}
DISTANCES = [
    ("relative_width", "width", 1, 1) if column[0] == "width" else column for column in COLUMNS["strokes"]
]


def _table(
    block: str, columns: Sequence[Any], rows: Sequence[Any], cell: Callable[..., str] | None = None
) -> list[str]:
    """One line per row: its name, its figures, and how many images the figure of most images rests on."""
    cell = cell or _interval
    table = [["", *(heading for _, heading, _, _ in columns), "n"]]
    for row in rows:
        figures = [row.figure(block, name) for name, _, _, _ in columns]
        cells = [
            cell(figure, factor, decimals) if figure else "-"
            for figure, (_, _, factor, decimals) in zip(figures, columns, strict=True)
        ]
        counts = [figure.images for figure in figures if figure]
        table.append(["people" if row.kind == "people" else row.name, *cells, str(max(counts))])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def _interval(figure: Any, factor: float, decimals: int) -> str:
    value, low, high = (_number(end, factor, decimals) for end in (figure.value, figure.low, figure.high))
    return f"{value} [{low} {high}]" if low else value


def _percentiles(figure: Any, factor: float, decimals: int) -> str:
    return f"{_number(figure.p10, factor, decimals)} to {_number(figure.p90, factor, decimals)}"


def _number(value: float | None, factor: float, decimals: int) -> str:
    if value is None:
        return ""
    return f"{factor * value:.{decimals if abs(factor * value) < 100 else 0}f}"
