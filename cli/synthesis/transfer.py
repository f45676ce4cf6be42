"""`sketchforge transfer`"""

from __future__ import annotations

from typing import Any

import click

from cli.multi_value import ManyCommand
from cli.options import TOM_RUN, option
from cli.synthesis.options import images_input_option, run_and_report, synthesis_options
from sketchforge.options import TransferOptions


@click.command(
    "transfer",
    cls=ManyCommand,
    takes=("--content", "--style", "--out"),
    short_help="Carry the style of images to photos.",
    epilog="Example: sketchforge transfer --content holidays/ --style monet.jpg --out transferred/",
)
@images_input_option(
    "--content", "Images to be sketched: files, folders, patterns or tars. [default: some built-in photos]"
)
@synthesis_options("Images whose style to take on, as --content. [default: some built-in photos]")
@option(
    "--tom",
    group="Look",
    type=TOM_RUN,
    metavar="RUN",
    help="Run of `tom-train` that draws the sketches, or `builtin`. [default: the model's own snapshot, else "
    "runs/tom where there is one, else builtin]",
)
@option(
    "--checkpoint",
    group="Look",
    type=click.IntRange(min=0),
    metavar="K",
    help="Which snapshot of that run, from 0. [default: 0]",
)
def transfer_command(**values: Any) -> None:
    """Style transfer: draw images as sketches with TOM, and the sketches out in the style of others.

    The sketches are kept beside the results.
    """
    run_and_report(TransferOptions(**values))
