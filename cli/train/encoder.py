"""`sketchforge encoder-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import (
    FILE,
    FOLDER,
    computing_options,
    defaults_of,
    option,
    overwrite_option,
)
from cli.progress import Bar
from cli.source_types import Pixels, SourceText
from cli.train.run import one_voice
from cli.verbosity import print_next_step
from sketchforge.options import EncoderTrainOptions
from sketchforge.utils.text import count_noun

DEFAULTS = defaults_of(EncoderTrainOptions)


@click.command(
    "encoder-train",
    cls=Command,
    takes=("--images", "--out"),
    short_help="Distil a VGG19 into the encoder of TOM.",
    epilog="Example: sketchforge encoder-train --images photos/ --images faces/ --teacher vgg19 --out e.safetensors",
)
@option(
    "--images",
    group="Input",
    type=FOLDER,
    multiple=True,
    required=True,
    metavar="DIR",
    help="Folder of images, at any depth; may be given more than once. One image in twenty is held out.",
)
@option(
    "--teacher",
    group="Input",
    type=SourceText("vgg19"),
    default=DEFAULTS["teacher"],
    show_default=True,
    metavar="vgg19|PATH",
    help="Whom to learn from: torchvision's VGG19, or a file of VGG19-shaped weights (.pth or .safetensors).",
)
@option(
    "--out",
    group="Output",
    type=FILE,
    default=DEFAULTS["out"],
    show_default=True,
    metavar="FILE",
    help="The encoder to write, for `tom-train --encoder FILE`.",
)
@option(
    "--run",
    group="Output",
    type=FOLDER,
    metavar="DIR",
    help="Where an unfinished training is kept. [default: --out with .run appended]",
)
@overwrite_option("Replace a file that is there, and discard what the run folder holds.")
@option(
    "--steps",
    group="Training",
    type=click.IntRange(min=9),
    default=DEFAULTS["steps"],
    show_default=True,
    metavar="N",
    help="Training steps: half of them train the nine layers one after another, half all together.",
)
@option(
    "--batch-size",
    group="Training",
    type=click.IntRange(min=2),
    default=DEFAULTS["batch_size"],
    show_default=True,
    metavar="N",
    help="Crops per step; one in eight is of a built-in drawing.",
)
@option(
    "--size",
    group="Training",
    type=Pixels(min=16, max=1024),
    default=DEFAULTS["size"],
    show_default=True,
    metavar="PIXELS",
    help="Side of the square training crops.",
)
@computing_options(DEFAULTS)
def encoder_train_command(**values: Any) -> None:
    """Distil a VGG19-shaped teacher into the compact encoder that TOM uses.

    Writes one file of 0.44 MB, its taps scaled over the built-in photos. Images that cannot be read are left
    out and counted. Prints, for every tap, the mean squared error over the variance on the images held out: 0
    is perfect, 1 no better than a constant.

    The same command again continues a run that was interrupted. The run folder goes when the file is written.
    """
    from trainers.encoder.plan import run_folder_of
    from trainers.encoder.run import distil

    options, bar = EncoderTrainOptions(**values), Bar(delay=0)
    with one_voice(run_folder_of(options), options.overwrite, bar):
        summary = distil(options, bar)
    if summary is None:  # another rank speaks
        return
    if summary.unreadable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.unreadable.items()))
        click.echo(
            f"{sum(summary.unreadable.values())} of {count_noun(summary.num_images, 'image')} left out: "
            f"{reasons}"
        )
    click.echo("tap      error/variance on images held out")
    for tap, error in summary.errors.items():
        click.echo(f"{tap:8} {error:.2e}")
    click.echo(f"{options.out}: {summary.num_bytes / 1e6:.2f} MB, encoder {summary.digest[:8]}")
    print_next_step("tom-train", "--encoder", options.out, "--run", f"runs/{options.out.stem}")
