"""The options of `render` that choose images, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.options import option, stack_options
from cli.source_types import SourceText


def input_options() -> Callable[[Any], Any]:
    """Add --prefix-keys, --frames, --labels, --masks, --shuffle-seed and --limit."""
    return stack_options(
        option(
            "--prefix-keys",
            group="Input",
            is_flag=True,
            help="Put a tar's or parquet file's name before its keys: for those whose keys repeat.",
        ),
        option(
            "--frames",
            group="Input",
            type=click.IntRange(min=1),
            metavar="N",
            help="Take at most N frames, evenly spaced, of every animated image (GIF, WebP, APNG, AVIF), and of videos (.mp4, .mov, "
            ".mkv, .webm, .avi, .mpg), each a sample of its own. [default: an animated image's first frame, no videos]",
        ),
        option(
            "--labels",
            group="Input",
            type=SourceText("folder"),
            metavar="folder|FILE",
            help="Give every sample a class (KEY.cls): that of the folder it lies in, or of a table of path and class "
            "(.csv, .tsv).",
        ),
        option(
            "--masks",
            group="Input",
            type=SourceText("head", "colour", "alpha"),
            metavar="head|colour|alpha|DIR",
            help="Give every sample a mask of its subject (KEY.mask.png), which hands draw by, too: by a small network, by "
            "what is unlike the colours of the border, by the image's own transparency, or from a folder.",
        ),
        option(
            "--shuffle-seed",
            group="Input",
            type=click.IntRange(min=0),
            metavar="N",
            help="Take the images in an order drawn from this seed. [default: as found]",
        ),
        option(
            "--limit",
            group="Input",
            type=click.IntRange(min=1),
            metavar="N",
            help="Take only the first N images, after shuffling. [default: all]",
        ),
    )
