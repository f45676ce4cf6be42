"""Style2Paints V1's argument on other images: short and long hints, with and without guides, by one command.

    python benchmarks/studies/style2paints_rows.py run --data DATA --work DIR --row portraits-64-guides-0 [--row …]
    python benchmarks/studies/style2paints_rows.py table

DATA as for ae_results.py, whose shards in DIR, held-out images and measures are taken, so that the rows stand beside
those of auto-encoder and GAN. A row leaves benchmarks/studies/style2paints_rows/ROW.json: its figures, and the share of
the U-net's gradient norm that reached the middle in each fifth of the training. The same command again goes on where it was
interrupted, and leaves out rows that are there. One thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.studies.ae_results import (  # noqa: E402
    Row,
    add_running,
    figures_of,
    measure_row,
    render_shards,
    result_of,
)
from sketchforge.checkpoints.run_log import read_log  # noqa: E402
from sketchforge.options import Style2PaintsTrainOptions  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.style2paints.run import train_style2paints  # noqa: E402
from trainers.style2paints.step import MIDDLE_SHARE  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "style2paints_rows"
VERSION = 1  # of a row's JSON
STEPS = {64: 2500, 128: 5000}  # by size; --steps for equal seconds
PARTS = 5  # of a training, for each of which the share is told
SHORT_HINT = 30  # of the built-in encoder's 480 numbers: a sixteenth, as 256 is of 4096

# What distinguishes a row, by its name: the paper's Fig. 7 first.
VARIANTS: dict[str, dict[str, Any]] = {
    "short": {"guides": False, "hint_size": SHORT_HINT},
    "plain": {"guides": False},
    "guides": {},
    "colour": {"guide_target": "colour"},  # Eq. 1
    "auxiliary": {"discriminator": "auxiliary"},
    "dcgan": {"discriminator": "plain"},
}


class Style2PaintsRow(Row):
    """Such as portraits-64-guides-0."""

    variants = VARIANTS


def middle_shares(log: list[dict[str, Any]], steps: int) -> list[float]:
    """The mean share in each of PARTS parts of a training of so many steps; parts without a value are left out."""
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for record in log:
        if MIDDLE_SHARE in record:
            parts[min((record["step"] - 1) * PARTS // steps, PARTS - 1)].append(record[MIDDLE_SHARE])
    return [statistics.mean(part) for part in parts if part]


def run_style2paints_row(row: Style2PaintsRow, data: Path, work: Path, steps: int | None = None) -> Path:
    """Train and measure a row, unless its JSON is there; returns the JSON's path."""
    path = RESULTS / f"{row.name}.json"
    if path.is_file():
        return path
    steps = steps or STEPS[row.size]
    shards = render_shards(Row(row.data, row.size, "all", row.seed), data, work)
    run = work / "style2paints" / row.name
    train_style2paints(
        Style2PaintsTrainOptions(
            shards=str(shards),
            run=run,
            size=row.size,
            steps=steps,
            seed=row.seed,
            hint="builtin",
            workers=0,
            threads=1,
            device="cpu",
            **VARIANTS[row.variant],
        )
    )
    kept = result_of(measure_row(shards, run, data, work))
    metadata = {"data": row.data, "size": row.size, "variant": row.variant, "seed": row.seed, "steps": steps}
    shares = middle_shares(read_log(run / "log.jsonl"), steps)
    RESULTS.mkdir(exist_ok=True)
    write_json(
        path,
        {"format": "style2paints-rows", "version": VERSION, **metadata, **kept, "middle_shares": shares},
    )
    (work / f"style2paints-{row.name}.png").write_bytes((run / "grid.png").read_bytes())
    return path


def print_table() -> None:
    """A row for each result: its figures, and the shares of the middle from beginning to end."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    titles = list(dict.fromkeys(title for result in results for title in figures_of(result)))
    print("| | steps | " + " | ".join(titles) + " | share of the middle |")
    print("|---" * (len(titles) + 3) + "|")
    for result in results:
        figures = figures_of(result)
        cells = [f"{figures[title]['value']:.3g}" if title in figures else "" for title in titles]
        shares = ", ".join(f"{share:.2f}" for share in result["middle_shares"])
        name = f"{result['data']} {result['size']} {result['variant']} {result['seed']}"
        print(f"| {name} | {result['steps']:,} | " + " | ".join(cells) + f" | {shares} |")


def main(arguments: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table", help="of the rows that are there")
    running = add_running(commands, Style2PaintsRow.parse)
    running.add_argument("--steps", type=int, help=f"default: {STEPS}, by size")
    asked = parser.parse_args(arguments)
    if asked.command == "table":
        print_table()
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        for row in asked.row:
            print(run_style2paints_row(row, asked.data, asked.work, asked.steps), flush=True)


if __name__ == "__main__":
    main()
