"""`sketchforge eval`: the group of the commands that measure."""

from __future__ import annotations

import click

from cli.command import Group
from cli.eval.compare import compare_command
from cli.eval.images import images_command
from cli.eval.report import report_command
from cli.eval.sketches import sketches_command


@click.group(
    "eval",
    cls=Group,
    short_help="Measure sketches, images and models.",
    no_args_is_help=False,  # one line on what is missing, as everywhere
    epilog="Example: sketchforge eval sketches --shards out/",
)
def eval_command() -> None:
    """Measure what has been made."""


for command in (sketches_command, images_command, compare_command, report_command):
    eval_command.add_command(command)
