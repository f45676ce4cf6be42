"""`sketchforge verify`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.command import Command
from cli.json_output import json_option
from cli.options import SHARDS, processes_option
from cli.progress import Bar
from cli.shards.folders import look_at_each
from cli.verbosity import print_error, print_result
from sketchforge.utils.text import count_noun

if TYPE_CHECKING:
    from sketchforge.shards.verify import VerifyReport


@click.command(
    "verify",
    cls=Command,
    short_help="Read shards again, and list what differs.",
    epilog="Example: sketchforge verify out/",
)
@processes_option("Processes that check a shard each")
@json_option("Write what was found as JSON.")
@click.argument("folders", type=SHARDS, nargs=-1, required=True, metavar="DIR|URL...")
def verify_command(folders: tuple[str | Path, ...], workers: int, json: Path | None) -> int:
    """Read every shard in DIR again and list all that differs from its manifest.

    Exit code 0 when all is well, 1 when something is missing, altered, foreign, unreadable or unfinished; of
    several folders the worst.
    """
    from sketchforge.shards.verify import FORMAT, VERSION, verification_json

    reports: list[VerifyReport] = []

    def look(folder: str | Path) -> VerifyReport:
        report = _verify_folder(folder, workers, prefix=len(folders) > 1)
        reports.append(report)
        return report

    head = {"format": FORMAT, "version": VERSION}
    code = look_at_each(folders, look, verification_json, head, json)
    return max(code, int(any(report.problems for report in reports)))


def _verify_folder(folder: str | Path, workers: int, prefix: bool) -> VerifyReport:
    """Print what is wrong with a folder, or that nothing is.

    prefix: begin the lines of problems with the folder.
    """
    from sketchforge.shards.verify import verify

    report = verify(folder, Bar(), workers)
    for problem in report.problems:
        print_result(f"{folder}: {problem}" if prefix and not problem.startswith(f"{folder}:") else problem)
    for note in report.notes:
        print_result(note)
    counts = (
        f"{count_noun(report.num_samples, 'sample')} with {count_noun(report.num_sketches, 'sketch')} "
        f"in {count_noun(report.num_shards, 'shard')}"
    )
    if report.problems:
        problems = count_noun(len(report.problems), "problem")
        hint = "the same `sketchforge render` makes damaged shards again"
        if report.grown:
            hint = "images were added to it, so that no command makes its shards again: restore the files, or render all images into another folder"
        print_error(f"error: {folder}: {problems}; read {counts}; {hint}")
        return report
    failed = f"; {count_noun(report.num_failed, 'input')} failed when rendered" if report.num_failed else ""
    left_out = (
        f"; {count_noun(report.num_left_out, 'input')} left out as blank" if report.num_left_out else ""
    )
    print_result(f"{folder}: intact, {counts}, {report.num_bytes / 1e6:,.1f} MB{failed}{left_out}")
    return report
