"""`sketchforge style2paints-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import defaults_of, option
from cli.train.options import data_options, machine_options
from cli.train.run import describe_run, run_training
from sketchforge.options import Style2PaintsTrainOptions

DEFAULTS = defaults_of(Style2PaintsTrainOptions)


@click.command(
    "style2paints-train",
    cls=Command,
    takes=("--shards", "--run"),
    short_help="Train Style2Paints V1: sketch and style to image.",
    epilog="Example: sketchforge style2paints-train --shards out/ --size 256 --steps 20000",
)
@data_options(DEFAULTS, recipes=("demo", "paper"))
@option(
    "--hint",
    group="Training",
    type=click.Choice(["auto", "builtin", "efficientnet-lite0", "vgg19"]),
    default=DEFAULTS["hint"],
    show_default=True,
    help="Network whose features are the style hint, vgg19 as published; auto: efficientnet-lite0 where its weights "
    "are installed, else builtin.",
)
@option(
    "--hint-size",
    group="Training",
    type=click.IntRange(min=1),
    metavar="N",
    help="Numbers in the hint, made of all features. [default: all features]",
)
@option(
    "--guides/--no-guides",
    group="Training",
    default=DEFAULTS["guides"],
    show_default=True,
    help="Guide decoders: losses of their own for the middle layers.",
)
@option(
    "--guide-target",
    group="Training",
    type=click.Choice(["grey", "colour"]),
    help="What the guide before the hint gives back: grey (Eq. 2) or colour (Eq. 1). [default: the recipe's]",
)
@option(
    "--discriminator",
    group="Training",
    type=click.Choice(["both", "auxiliary", "plain"]),
    help="Auxiliary classifier, that of DCGAN, or both in turn. [default: the recipe's]",
)
@option(
    "--lambda",
    "reconstruction",
    group="Training",
    type=click.FloatRange(min=0, min_open=True),
    metavar="WEIGHT",
    help="λ, of the absolute errors beside the adversarial loss. [default: the recipe's]",
)
@machine_options(DEFAULTS, perceives=False)
def style2paints_train_command(dry_run: bool, **values: Any) -> None:
    """Train Style2Paints V1: a residual U-net that paints a sketch by the style hint of an image.

    The same command again continues a run that was interrupted. The run folder ends with the model, a log and an
    image of sketches drawn out in the styles of several images.
    """
    from trainers.style2paints.run import plan_style2paints, train_style2paints

    run_training(
        Style2PaintsTrainOptions(**values), dry_run, plan_style2paints, train_style2paints, _describe
    )


def _describe(plan: Any) -> list[str]:
    from sketchforge.models.layers import count_parameters
    from sketchforge.models.style2paints import ResidualUnet

    recipe, hint = plan.images.recipe, plan.hint
    unet = ResidualUnet(recipe.size, recipe.width, hint.size)
    lines = describe_run(plan.images, count_parameters(unet))
    return [*lines, f"style hint: {hint.size} numbers by {hint.network_name}"]
