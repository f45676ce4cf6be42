"""`sketchforge verify`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cli.options import FOLDER
from sketchforge.errors import SketchforgeError


@click.command("verify", epilog="Example: sketchforge verify out/")
@click.argument("shards", type=FOLDER, metavar="DIR")
def verify_command(shards: Path) -> None:
    """Read every shard in DIR again and list all that is not as its manifest says.

    Exit code 0 when all is well, 1 when something is missing, altered, foreign, unreadable or unfinished.
    """
    from tqdm import tqdm

    from sketchforge.shards.verify import verify

    bars: list[Any] = []

    def start(total: int) -> None:
        interval = 0.2 if sys.stderr.isatty() else 30
        # The delay keeps quick checks free of any bar.
        bars.append(tqdm(total=total, unit="sample", delay=2, mininterval=interval, maxinterval=2 * interval))

    try:
        report = verify(shards, start, lambda: bars[0].update())
    finally:
        for bar in bars:
            bar.close()
    for problem in report.problems:
        click.echo(problem)
    counts = f"{report.num_samples} samples with {report.num_sketches} sketches in {report.num_shards} shards"
    if report.problems:
        raise SketchforgeError(f"{shards}: {len(report.problems)} problems; read {counts}")
    failed = f"; {report.num_failed} inputs failed when rendered" if report.num_failed else ""
    click.echo(f"{shards}: intact, {counts}, {report.num_bytes / 1e6:,.1f} MB{failed}")
