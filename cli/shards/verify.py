"""`sketchforge verify`"""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import FOLDER
from cli.progress import Bar
from sketchforge.errors import SketchforgeError


@click.command("verify", epilog="Example: sketchforge verify out/")
@click.argument("shards", type=FOLDER, metavar="DIR")
def verify_command(shards: Path) -> None:
    """Read every shard in DIR again and list all that differs from its manifest.

    Exit code 0 when all is well, 1 when something is missing, altered, foreign, unreadable or unfinished.
    """
    from sketchforge.shards.verify import verify

    report = verify(shards, Bar())
    for problem in report.problems:
        click.echo(problem)
    num_shards = "1 shard" if report.num_shards == 1 else f"{report.num_shards} shards"
    counts = f"{report.num_samples} samples with {report.num_sketches} sketches in {num_shards}"
    if report.problems:
        raise SketchforgeError(f"{shards}: {len(report.problems)} problems; read {counts}")
    failed = f"; {report.num_failed} inputs failed when rendered" if report.num_failed else ""
    click.echo(f"{shards}: intact, {counts}, {report.num_bytes / 1e6:,.1f} MB{failed}")
