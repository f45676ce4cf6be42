"""`sketchforge mix`"""

from __future__ import annotations

from typing import Any

import click

from cli.multi_value import ManyCommand
from cli.synthesis.options import make_and_tell, making_options
from cli.synthesis.synthesize import sketch_options
from sketchforge.options import MixOptions


@click.command(
    "mix",
    cls=ManyCommand,
    epilog="Example: sketchforge mix --sketch drawing.jpg --style monet.jpg hokusai.jpg --out mixed/",
)
@sketch_options
@making_options("Two pictures, a half each, or four, a quarter each. [default: four built-in photos]")
def mix_command(**values: Any) -> None:
    """Draw sketches out in the manner of two or four pictures at once.

    The style pictures are cut and stitched to one, which is kept beside the results.
    """
    make_and_tell(MixOptions(**values))
