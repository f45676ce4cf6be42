"""`sketchforge index`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.command import Command
from cli.options import FILE, option, processes_option
from cli.progress import Bar
from cli.source_types import SourceText
from cli.verbosity import print_next_step, print_note
from sketchforge.utils.text import count_noun


@click.command(
    "index",
    cls=Command,
    short_help="Find many images once, for all that render them.",
    epilog="Example: sketchforge index 'laion/*.tar'",
)
@click.argument("source", type=SourceText(), metavar="SRC")
@option(
    "--out",
    group="Output",
    type=FILE,
    metavar="FILE.index",
    help="The index. [default: sketchforge.index beside the tars, or in the folder]",
)
@option(
    "--prefix-keys",
    group="Input",
    is_flag=True,
    help="Put a tar's name before its keys, as `render --prefix-keys` does: for tars whose keys repeat.",
)
@processes_option("Processes that read a tar each, which does not change the index")
def index_command(source: str, out: Path | None, **values: Any) -> None:
    """Find the images of SRC, a folder or tars as `render --images` takes them, and write down where they are.

    `render` then plans without reading a header: from an index that lies among the images, or from its path. Where
    a tar or a folder has changed since, it says so, and the same `index` again brings it up to date.
    """
    from sketchforge.images.sources import describe_passed_over
    from sketchforge.images.sources.make_index import make_index

    summary = make_index(source, out, **values, progress=Bar())
    if passed_over := describe_passed_over(summary.passed_over):
        print_note(passed_over)
    tars = f" in {count_noun(summary.num_tars, 'tar')}" if summary.num_tars else ""
    damaged = f", {summary.num_damaged:,} of them damaged" if summary.num_damaged else ""
    size = summary.path.stat().st_size / 1e6
    click.echo(f"{summary.path}: {count_noun(summary.num_images, 'image')}{tars}{damaged}, {size:,.1f} MB")
    print_next_step("render", "--images", source if out is None else summary.path, "--shards", "out")
