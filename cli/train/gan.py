"""`sketchforge gan-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import PATH, defaults_of, option
from cli.train.options import data_options, machine_options
from cli.train.run import describe_run, run_training
from sketchforge.options import GanTrainOptions

DEFAULTS = defaults_of(GanTrainOptions)


@click.command(
    "gan-train",
    cls=Command,
    takes=("--shards", "--run"),
    short_help="Train the GAN that refines its images.",
    epilog="Example: sketchforge gan-train --shards out/ --ae runs/ae --size 256",
)
@data_options(DEFAULTS)
@option(
    "--ae",
    group="Input",
    type=PATH,
    default=DEFAULTS["ae"],
    show_default=True,
    metavar="DIR|FILE",
    help="The trained auto-encoder: a run of `ae-train`, or its model file.",
)
@option(
    "--discriminator",
    group="Training",
    type=click.Choice(["pixels", "features"]),
    help="What the discriminator looks at: the image, or features of the frozen --encoder. [default: the recipe's]",
)
@option(
    "--augment",
    group="Training",
    metavar="POLICY",
    help="DiffAugment for few images: color,translation,cutout or some of them; '' for none. "
    "[default: the recipe's]",
)
@option(
    "--r1",
    group="Training",
    type=click.FloatRange(min=0),
    metavar="WEIGHT",
    help="R1 penalty, γ. [default: 2e-4·size²/batch; of features 0]",
)
@option(
    "--noise/--no-noise",
    group="Training",
    default=DEFAULTS["noise"],
    show_default=True,
    help="Give the refiner noise.",
)
@machine_options(DEFAULTS)
def gan_train_command(dry_run: bool, **values: Any) -> None:
    """Train the GAN that refines the images of a trained auto-encoder.

    The same command again continues a run that was interrupted. The run folder ends with the model, auto-encoder
    included, a log and an image of sketches drawn out in the styles of several images.
    """
    from trainers.gan.run import plan_gan, train_gan

    run_training(GanTrainOptions(**values), dry_run, plan_gan, train_gan, _describe)


def _describe(plan: Any) -> list[str]:
    from sketchforge.models.feature_discriminator import FeatureDiscriminator
    from sketchforge.models.gan import Discriminator, Refiner
    from sketchforge.models.layers import count_parameters

    recipe = plan.images.recipe
    refiner = Refiner(recipe.size, recipe.width, plan.autoencoder.style_dim, recipe.noise)
    of_features = recipe.discriminator == "features"
    judge = (
        FeatureDiscriminator(plan.images.encoder, recipe.width)
        if of_features
        else Discriminator(recipe.size, recipe.width)
    )
    return describe_run(plan.images, count_parameters(refiner) + count_parameters(judge))
