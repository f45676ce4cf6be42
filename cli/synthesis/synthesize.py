"""`sketchforge synthesize`"""

from __future__ import annotations

from typing import Any

import click

from cli.multi_value import ManyCommand
from cli.options import defaults_of, option
from cli.synthesis.options import images_input_option, run_and_report, synthesis_options
from sketchforge.options import SynthesizeOptions

DEFAULTS = defaults_of(SynthesizeOptions)


def sketch_options(command: Any) -> Any:
    """Add --sketch and --raw."""
    command = option(
        "--raw",
        group="Input",
        is_flag=True,
        help="Take sketches as they are, in grey: do not make them black on white first.",
    )(command)
    return images_input_option(
        "--sketch",
        "Drawings: files, folders, patterns or tars, any number. Scans, photos of paper and chalk on a "
        "blackboard will do. [default: some that are built in]",
    )(command)


@click.command(
    "synthesize",
    cls=ManyCommand,
    takes=("--sketch", "--style", "--out"),
    short_help="Draw sketches out in the style of images.",
    epilog="Example: sketchforge synthesize --sketch drawing.jpg --style paintings/ --out images/",
)
@sketch_options
@synthesis_options("Images whose style to take on, as --sketch; their centred squares count. "
                "[default: some built-in photos]")  # fmt: skip
@option(
    "--pairs",
    group="Input",
    is_flag=True,
    help="Each sketch with the style of its name, not with every style.",
)
@option(
    "--images-per-sketch",
    group="Look",
    type=click.IntRange(min=1),
    default=DEFAULTS["images_per_sketch"],
    show_default=True,
    metavar="N",
    help="Images of each sketch and style, from noise of their own.",
)
@option(
    "--interpolate",
    group="Look",
    type=click.IntRange(min=0),
    default=DEFAULTS["interpolate"],
    show_default=True,
    metavar="N",
    help="DiffSketching: of two sketches, so many images between them, too.",
)
def synthesize_command(**values: Any) -> None:
    """Draw sketches out in the style of images, with a trained model.

    Every sketch with every style, unless --pairs. Sketches may have any size and aspect; images have the
    sketch's aspect, and the model's size. The same command again makes what is missing.
    """
    run_and_report(SynthesizeOptions(**values))
