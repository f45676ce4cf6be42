"""`sketchforge gallery`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import FILE, SHARDS, option, overwrite_option
from sketchforge.options import GalleryOptions


@click.command(
    "gallery",
    cls=Command,
    short_help="Show images beside their sketches.",
    epilog="Example: sketchforge gallery out/ --html gallery.html",
)
@click.argument("shards", type=SHARDS, metavar="DIR|URL")
@option(
    "--html",
    group="Output",
    type=FILE,
    metavar="FILE",
    help="Write a web page: one file that needs nothing beside it.",
)
@option("--png", group="Output", type=FILE, metavar="FILE", help="Write a contact sheet.")
@option(
    "--compare",
    group="Input",
    type=SHARDS,
    metavar="DIR|URL",
    help="Show the sketches of the same images in another folder, too.",
)
@option(
    "--rows",
    group="Input",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many images to show, spread evenly over all.  [default: 200 on the page, 8 on the sheet]",
)
@overwrite_option("Replace files that are not sketchforge's.")
def gallery_command(**values: Any) -> None:
    """Show the images in DIR beside their sketches: as a web page, a contact sheet, or both.

    The page opens in any browser, without a network. Styles can be switched on and off, images filtered,
    sketches enlarged and laid over their photo.
    """
    from sketchforge.report.gallery.gallery import gallery

    for path in gallery(GalleryOptions(**values)):
        click.echo(path)
