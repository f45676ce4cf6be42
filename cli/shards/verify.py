"""`sketchforge verify`"""

from __future__ import annotations

from pathlib import Path

import click

from cli.command import Command
from cli.options import SHARDS, processes_option
from cli.progress import Bar
from cli.shards.folders import look_at_each
from sketchforge.errors import SketchforgeError
from sketchforge.utils.text import count_noun


@click.command(
    "verify",
    cls=Command,
    short_help="Read shards again, and list what differs.",
    epilog="Example: sketchforge verify out/",
)
@processes_option("Processes that check a shard each")
@click.argument("folders", type=SHARDS, nargs=-1, required=True, metavar="DIR|URL...")
def verify_command(folders: tuple[str | Path, ...], workers: int) -> int:
    """Read every shard in DIR again and list all that differs from its manifest.

    Exit code 0 when all is well, 1 when something is missing, altered, foreign, unreadable or unfinished; of
    several folders the worst.
    """
    return look_at_each(folders, lambda folder: _verify_folder(folder, workers, prefix=len(folders) > 1))


def _verify_folder(folder: str | Path, workers: int, prefix: bool) -> None:
    """Print what is wrong with a folder, or that nothing is.

    prefix: begin the lines of problems with the folder.
    """
    from sketchforge.shards.verify import verify

    report = verify(folder, Bar(), workers)
    for problem in report.problems:
        click.echo(f"{folder}: {problem}" if prefix and not problem.startswith(f"{folder}:") else problem)
    for note in report.notes:
        click.echo(note)
    counts = (
        f"{count_noun(report.num_samples, 'sample')} with {count_noun(report.num_sketches, 'sketch')} "
        f"in {count_noun(report.num_shards, 'shard')}"
    )
    if report.problems:
        raise SketchforgeError(
            f"{folder}: {count_noun(len(report.problems), 'problem')}; read {counts}; the same "
            "`sketchforge render` makes damaged shards again"
        )
    failed = f"; {count_noun(report.num_failed, 'input')} failed when rendered" if report.num_failed else ""
    left_out = (
        f"; {count_noun(report.num_left_out, 'input')} left out as blank" if report.num_left_out else ""
    )
    click.echo(f"{folder}: intact, {counts}, {report.num_bytes / 1e6:,.1f} MB{failed}{left_out}")
