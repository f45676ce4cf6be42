"""`sketchforge mix`"""

from __future__ import annotations

from typing import Any

import click

from cli.multi_value import ManyCommand
from cli.synthesis.options import run_and_report, synthesis_options
from cli.synthesis.synthesize import sketch_options
from sketchforge.options import MixOptions


@click.command(
    "mix",
    cls=ManyCommand,
    takes=("--sketch", "--style", "--out"),
    short_help="The same in two or four styles at once.",
    epilog="Example: sketchforge mix --sketch drawing.jpg --style monet.jpg hokusai.jpg --out mixed/",
)
@sketch_options
@synthesis_options("Two images, a half each, or four, a quarter each. [default: four built-in photos]")
def mix_command(**values: Any) -> None:
    """Draw sketches out in the style of two or four images at once.

    The style images are cut and stitched to one, which is kept beside the results.
    """
    run_and_report(MixOptions(**values))
