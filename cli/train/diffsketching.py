"""`sketchforge diffsketching-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import FOLDER, TOM_RUN, defaults_of, option
from cli.train.options import data_options, machine_options
from cli.train.run import describe_run, run_training
from sketchforge.options import DiffSketchingTrainOptions

DEFAULTS = defaults_of(DiffSketchingTrainOptions)


class Through(click.ParamType):
    """`one-step`, or how many last steps of DDIM keep their gradients."""

    name = "steps"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "one-step":
            return 0
        if str(value).isdecimal() and int(value) > 0:
            return int(value)
        self.fail(f"{value!r}: expected one-step, or a number of steps from 1 on", param, ctx)


@click.command(
    "diffsketching-train",
    cls=Command,
    takes=("--shards", "--run"),
    short_help="Train DiffSketching: diffusion that sketches guide.",
    epilog="Example: sketchforge diffsketching-train --shards out/ --condition concatenation --steps 20000",
)
@data_options(DEFAULTS, recipes=("demo", "paper"), largest=512)
@option(
    "--condition",
    group="Training",
    type=click.Choice(["guidance", "concatenation"]),
    help="How a sketch has an effect: by gradients through TOM, with fine-tuning, or as an input of the U-net. "
    "[default: the recipe's, guidance]",
)
@option(
    "--unet",
    group="Input",
    type=FOLDER,
    metavar="DIR",
    help="A pretrained UNet2DModel of diffusers to begin with, and its noise schedule. [default: random weights]",
)
@option(
    "--tom",
    group="Input",
    type=TOM_RUN,
    metavar="builtin|DIR",
    help="Run of `tom-train` whose first snapshot sees images as sketches. [default: builtin]",
)
@option(
    "--denoising-steps",
    group="Training",
    type=click.IntRange(min=0),
    metavar="N",
    help="Steps of the first stage, denoising; those after them fine-tune. [default: nine tenths of --steps]",
)
@option(
    "--through",
    group="Training",
    type=Through(),
    metavar="one-step|K",
    help="What gradients go through in fine-tuning: one step to the image, or the last K of sampling. "
    "[default: one-step]",
)
@option(
    "--identity",
    group="Training",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="λ of fine-tuning: weight of the image's identity; the sketch's is 1 − λ. [default: the recipe's, .5]",
)
@option(
    "--sampling-steps",
    group="Training",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Steps of sampling over all noise levels, here and in the model. [default: the recipe's]",
)
@option(
    "--strength",
    group="Training",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="0..1",
    help="How far style images are noised before they are denoised; at 1 nothing is left of them. "
    "[default: the recipe's]",
)
@machine_options(DEFAULTS, encoder="Frozen encoder whose features tell an image's identity.")
def diffsketching_train_command(dry_run: bool, **values: Any) -> None:
    """Train DiffSketching: a diffusion model, fine-tuned so that a sketch guides it.

    Both stages are one command, and the classifier of noised images is trained beside the first where shards have
    classes (`render --labels`). The same command again continues a run that was interrupted. Needs diffusers: pip install
    'sketchforge[diffusion]'.
    """
    from trainers.diffsketching.run import plan_diffsketching, train_diffsketching

    run_training(
        DiffSketchingTrainOptions(**values), dry_run, plan_diffsketching, train_diffsketching, _describe
    )


def _describe(plan: Any) -> list[str]:
    from sketchforge.utils.text import count_noun
    from trainers.diffsketching.step import count_unet_parameters

    recipe = plan.images.recipe
    lines = describe_run(plan.images, count_unet_parameters(recipe, plan.pretrained), "some four times")
    if recipe.denoising_steps is None:
        lines.append("the sketch is an input of the U-net; no fine-tuning")
    else:
        through = f"the last {count_noun(recipe.through, 'step')}" if recipe.through else "one step"
        denoising = min(recipe.denoising_steps, recipe.steps)
        lines.append(
            f"{count_noun(denoising, 'step')} of denoising, "
            f"{recipe.steps - denoising} of fine-tuning through {through}, λ {recipe.identity:g}"
        )
    if plan.pretrained is not None:
        lines.append(
            f"a pretrained U-net: its {recipe.schedule} schedule, noised to {recipe.strength:g} of it, learning rate {recipe.learning_rate:g}"
        )
    if plan.classes:
        lines.append(f"classifier of noised images: {count_noun(len(plan.classes), 'class')}")
    elif recipe.denoising_steps == 0:
        lines.append("no classifier: it would be trained by denoising, of which there are no steps")
    else:
        lines.append("no classifier: the shards have no classes (render --labels)")
    return lines
