"""`sketchforge segin-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import defaults_of, option
from cli.train.options import data_options, machine_options, weights_option
from cli.train.run import describe_run, run_training
from sketchforge.options import SeginTrainOptions

DEFAULTS = defaults_of(SeginTrainOptions)


@click.command(
    "segin-train",
    cls=Command,
    takes=("--shards", "--run"),
    short_help="Train SEGIN: sketch and pasted patches to image.",
    epilog="Example: sketchforge segin-train --shards out/ --size 256 --steps 20000",
)
@data_options(DEFAULTS, recipes=("demo", "paper"), largest=512)
@weights_option("reconstruction, feature, adversarial, mask, masked, variation")
@option(
    "--match",
    group="Training",
    type=click.Choice(["argmax", "soft", "sift"]),
    help="Patches of the reference: the one of the highest cosine in the encoder's features, all by their cosines, or the "
    "one of the highest in SIFT's descriptors. [default: the recipe's]",
)
@option(
    "--non-local/--no-non-local",
    group="Training",
    default=DEFAULTS["non_local"],
    show_default=True,
    help="Non-local layers in the bottleneck.",
)
@option(
    "--input",
    group="Training",
    type=click.Choice(["sketch", "grey"]),
    help="What is painted: sketches, or photos' greys, which are colourised. [default: the recipe's]",
)
@machine_options(DEFAULTS, encoder="Frozen encoder whose features are matched, and compared by the loss.")
def segin_train_command(dry_run: bool, **values: Any) -> None:
    """Train SEGIN: patches of a reference, pasted where they match a sketch, are mended to an image.

    The same command again continues a run that was interrupted. The run folder ends with the model, a log and an
    image of sketches drawn out in the styles of several images.
    """
    from trainers.segin.run import plan_segin, train_segin

    run_training(SeginTrainOptions(**values), dry_run, plan_segin, train_segin, _describe)


def _describe(plan: Any) -> list[str]:
    from sketchforge.models.layers import count_parameters
    from sketchforge.models.segin import Translator
    from sketchforge.utils.text import count_noun

    recipe = plan.images.recipe
    translator = Translator(recipe.size, recipe.width, non_local=recipe.non_local, masks=bool(recipe.mask))
    lines = describe_run(plan.images, count_parameters(translator))
    num_images = count_noun(plan.images.shards.num_samples, "image")
    masks = {
        "shards": f"masks: of {num_images}, the shards' own",
        "head": f"masks: of {num_images}, by the foreground head; the shards have none (render --masks)",
        "none": "masks: none, mask and masked are 0",
    }
    return [*lines, f"matches: {recipe.match}, of {recipe.input} inputs", masks[plan.masks]]
