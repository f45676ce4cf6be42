"""`sketchforge ae-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import defaults_of, option
from cli.train.options import data_options, machine_options, weights_option
from cli.train.run import describe_run, run_training
from sketchforge.options import AeTrainOptions

DEFAULTS = defaults_of(AeTrainOptions)


@click.command(
    "ae-train",
    cls=Command,
    takes=("--shards", "--run"),
    short_help="Train the model: sketch and style to image.",
    epilog="Example: sketchforge ae-train --shards out/ --size 256 --steps 20000",
)
@data_options(DEFAULTS)
@weights_option(
    "reconstruction, perceptual, style-triplet, style-class, content-triplet, content-class, style-prior"
)
@option(
    "--dmi",
    group="Training",
    type=click.Choice(["none", "sketch", "feature", "spade"]),
    help="How the sketch enters the decoder (Table 3; spade: as in SPADE, for comparison). [default: the recipe's]",
)
@option(
    "--style",
    group="Training",
    type=click.Choice(["none", "adain", "add", "multiply"]),
    help="How the style enters it (Table 4). [default: the recipe's]",
)
@option(
    "--content-side",
    group="Training",
    type=click.IntRange(32, 256),
    metavar="SIDE",
    help="Side of the finest map where the sketch enters it: 32, as published, to a quarter of --size. "
    "[default: the recipe's]",
)
@option(
    "--padding",
    group="Training",
    type=click.Choice(["zeros", "replicate"]),
    help="What its convolutions see beyond the border: zeros, as is usual, or the outermost pixels again, which "
    "leaves no frame. A refiner on top does as it does. [default: the recipe's]",
)
@option(
    "--variational/--no-variational",
    group="Training",
    default=DEFAULTS["variational"],
    show_default=True,
    help="Draw styles from a normal distribution of each image, held near N(0, 1) by the loss style-prior (A.3).",
)
@option(
    "--translated",
    group="Training",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="Share of each batch that is decoded from a translated style image and a transformed sketch, "
    "against the original. [default: the recipe's]",
)
@option(
    "--subset",
    group="Training",
    type=click.IntRange(min=2),
    metavar="K",
    help="Images that style-class tells apart at a time: half of every batch is of them, half of all "
    "images. [default: the recipe's]",
)
@option(
    "--subset-passes",
    group="Training",
    type=click.IntRange(min=1),
    metavar="N",
    help="Passes through the subset before the next. [default: the recipe's]",
)
@option(
    "--style-margin",
    group="Training",
    type=click.FloatRange(0, 2),
    metavar="COSINE",
    help="Margin of style-triplet. [default: the recipe's]",
)
@option(
    "--content-margin",
    group="Training",
    type=click.FloatRange(0, 2),
    metavar="COSINE",
    help="Margin of content-triplet. [default: the recipe's]",
)
@machine_options(DEFAULTS)
def ae_train_command(dry_run: bool, **values: Any) -> None:
    """Train the auto-encoder: a sketch and a style image make an image, trained from shards alone.

    The same command again continues a run that was interrupted. The run folder ends with the model, a log and an
    image of sketches drawn out in the styles of several images.
    """
    from trainers.autoencoder.run import plan_ae, train_ae

    options = AeTrainOptions(**values)
    next_step = ("gan-train", "--shards", options.shards, "--ae", options.run)
    run_training(options, dry_run, plan_ae, train_ae, _describe, next_step)


def _describe(plan: Any) -> list[str]:
    from sketchforge.models.layers import count_parameters

    return describe_run(plan, count_parameters(plan.recipe.build_model()))
