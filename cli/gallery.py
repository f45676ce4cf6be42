"""`sketchforge gallery`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import FOLDER, defaults_of
from sketchforge.options import GalleryOptions

DEFAULTS = defaults_of(GalleryOptions)


@click.command("gallery", epilog="Example: sketchforge gallery out/ --png gallery.png")
@click.argument("shards", type=FOLDER, metavar="DIR")
@click.option(
    "--png",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The picture to write.",
)
@click.option(
    "--compare",
    type=FOLDER,
    metavar="DIR",
    help="Show the sketches of the same images in another folder, too.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=DEFAULTS["rows"],
    show_default=True,
    metavar="N",
    help="How many images to show, spread evenly over all.",
)
def gallery_command(**values: Any) -> None:
    """Draw a contact sheet of the shards in DIR: every row an image and its sketches."""
    from sketchforge.report.gallery import gallery

    click.echo(gallery(GalleryOptions(**values)))
