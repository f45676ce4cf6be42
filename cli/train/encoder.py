"""`sketchforge encoder-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.options import (
    FILE,
    FOLDER,
    defaults_of,
    device_option,
    overwrite_option,
    seed_option,
    threads_option,
)
from cli.progress import Bar
from cli.train.options import one_voice, resume_hint
from sketchforge.options import EncoderTrainOptions

DEFAULTS = defaults_of(EncoderTrainOptions)


@click.command(
    "encoder-train",
    epilog="Example: sketchforge encoder-train --images photos/ --images faces/ --teacher vgg19 --out e.safetensors",
)
@click.option(
    "--images",
    type=FOLDER,
    multiple=True,
    required=True,
    metavar="DIR",
    help="Folder of images, at any depth; may be given more than once. One image in twenty is held out.",
)
@click.option(
    "--teacher",
    default=DEFAULTS["teacher"],
    show_default=True,
    metavar="vgg19|PATH",
    help="Whom to learn from: torchvision's VGG19, or a file of VGG19-shaped weights (.pth or .safetensors).",
)
@click.option(
    "--out",
    type=FILE,
    default=DEFAULTS["out"],
    show_default=True,
    metavar="FILE",
    help="The encoder to write, for `tom-train --encoder FILE`.",
)
@click.option(
    "--run",
    type=FOLDER,
    metavar="DIR",
    help="Where an unfinished training is kept. [default: --out with .run appended]",
)
@overwrite_option("Replace a file that is there, and discard what the run folder holds.")
@click.option(
    "--steps",
    type=click.IntRange(min=9),
    default=DEFAULTS["steps"],
    show_default=True,
    metavar="N",
    help="Half of them train the nine layers one after another, half all together.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=2),
    default=DEFAULTS["batch_size"],
    show_default=True,
    metavar="N",
    help="Crops per step; one in eight is of a built-in drawing.",
)
@click.option(
    "--size",
    type=click.IntRange(min=16, max=1024),
    default=DEFAULTS["size"],
    show_default=True,
    metavar="PIXELS",
    help="Side of the square training crops.",
)
@seed_option(DEFAULTS["seed"])
@threads_option(DEFAULTS["threads"])
@device_option(DEFAULTS["device"])
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
    with one_voice(lambda: resume_hint(run_folder_of(options), options.overwrite, bar)):
        summary = distil(options, bar)
    if summary.unreadable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.unreadable.items()))
        click.echo(f"{sum(summary.unreadable.values())} of {summary.num_images} images left out: {reasons}")
    click.echo("tap      error/variance on images held out")
    for tap, error in summary.errors.items():
        click.echo(f"{tap:8} {error:.2e}")
    click.echo(f"{options.out}: {summary.num_bytes / 1e6:.2f} MB, encoder {summary.digest[:8]}")
