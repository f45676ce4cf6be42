"""Options that the trainings of image models share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.options import (
    ENCODER,
    FOLDER,
    computing_options,
    option,
    run_options,
    stack_options,
)
from cli.source_types import Pixels, SourceText

LOCATION = "DIR|URL"


RECIPES = {
    "demo": "demo: 64 pixels, minutes on two cores",
    "large": "large: the same at 1024, days on a GPU",
    "paper": "paper: as published",
}


def data_options(
    defaults: dict[str, Any], recipes: tuple[str, ...] = ("demo", "large", "paper"), largest: int = 1024
) -> Callable[[Any], Any]:
    """Add the options for shards, run folder, recipe (of `recipes`), size (up to `largest`) and amount of training."""
    sizes = [str(size) for size in (64, 128, 256, 512, 1024) if size <= largest]
    return stack_options(
        option(
            "--shards",
            group="Input",
            default=defaults["shards"],
            show_default=True,
            type=SourceText(),
            metavar=LOCATION,
            help="Shards made by `render`: a folder, its URL, or a text with {} for the file name, as in "
            "'pipe:aws s3 cp s3://bucket/out/{} -'.",
        ),
        option(
            "--split",
            group="Input",
            metavar="NAME",
            help="Which split of the shards to train on (render --split), or `all`. "
            "[default: train where there is one, else all]",
        ),
        option(
            "--validation",
            group="Input",
            type=SourceText(),
            metavar=LOCATION,
            help="Shards of other images, for previews and the reconstruction curve. "
            "[default: the shards' split val where they have one, else the same images]",
        ),
        option(
            "--redraw",
            group="Training",
            type=click.FloatRange(0, 1),
            default=defaults["redraw"],
            show_default=True,
            metavar="0..1",
            help="Share of the sketches that are drawn anew every time, from strokes that `render --strokes` kept: "
            "others left out, another width, another deformation.",
        ),
        option(
            "--recipe",
            group="Training",
            type=click.Choice(recipes),
            default=defaults["recipe"],
            show_default=True,
            help=f"{'; '.join(RECIPES[name] for name in recipes)}.",
        ),
        option(
            "--size",
            group="Training",
            type=Pixels(min=1),
            metavar="PIXELS",
            help=f"{', '.join(sizes[:-1])} or {sizes[-1]}. [default: the recipe's]",
        ),
        option(
            "--steps",
            group="Training",
            type=click.IntRange(min=1),
            metavar="N",
            help="Training steps; a run that is done goes on when asked for more. [default: the recipe's]",
        ),
        option(
            "--batch-size",
            group="Training",
            type=click.IntRange(min=2),
            metavar="N",
            help="Images per step. [default: the recipe's]",
        ),
        option(
            "--accumulate",
            group="Training",
            type=click.IntRange(min=1),
            default=defaults["accumulate"],
            show_default=True,
            metavar="N",
            help="Accumulate gradients over so many micro-batches a step, to save memory.",
        ),
    )


def machine_options(
    defaults: dict[str, Any], perceives: bool = True, encoder: str = "Frozen encoder of the perceptual loss."
) -> Callable[[Any], Any]:
    """Add the options for precision, processes, evaluation, cache and device; with a perceptual loss for its encoder.

    encoder: the help of that one.
    """
    encoder_options = [
        option(
            "--encoder",
            group="Training",
            type=ENCODER,
            default=defaults["encoder"],
            show_default=True,
            metavar="builtin|vgg16|vgg19|PATH",
            help=encoder,
        )
    ]
    figures = ["reconstruction", *(["perceptual"] if perceives else []), "frechet"]
    return stack_options(
        *(encoder_options if perceives else ()),
        precision_option(defaults["precision"]),
        option(
            "--compile", group="Machine", is_flag=True, help="torch.compile: slow to begin, faster after."
        ),
        option(
            "--workers",
            group="Machine",
            type=click.IntRange(min=0),
            metavar="N",
            help="Processes that prepare data. [default: 1 on a CPU, up to 8 for a GPU]",
        ),
        option(
            "--eval-every",
            group="Evaluation",
            type=click.IntRange(min=1),
            metavar="N",
            help="Every N steps, measure the Fréchet distance of mismatched images, too (in the built-in "
            "encoder's features), and keep the best model so far as best.safetensors.",
        ),
        option(
            "--best-by",
            group="Evaluation",
            type=click.Choice(figures),
            default=defaults["best_by"],
            show_default=True,
            help="The figure that says which is best.",
        ),
        option(
            "--cache",
            group="Input",
            type=FOLDER,
            metavar="DIR",
            help="Keep shards of a URL here. [default: for this run only]",
        ),
        option(
            "--skip-bad-shards",
            group="Input",
            is_flag=True,
            help="Pass over what cannot be read, and count it.",
        ),
        run_options(defaults["run"]),
        computing_options(defaults),
    )


def precision_option(default: str) -> Callable[[Any], Any]:
    return option(
        "--precision",
        group="Machine",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default=default,
        show_default=True,
        help="auto: bfloat16 on CUDA, else float32.",
    )


def weights_option(names: str) -> Callable[[Any], Any]:
    """Add --loss NAME=WEIGHT, any number of times. names: of the losses, for the help."""
    return option(
        "--loss",
        "losses",
        group="Training",
        multiple=True,
        callback=_parse_weights,
        metavar="NAME=WEIGHT",
        help=f"Weight of a loss, 0 for off; again for more: {names}.",
    )


def _parse_weights(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, float], ...]:
    """Parse any number of NAME=WEIGHT. The trainer checks the names."""
    weights = {}
    for text in texts:
        name, _, weight = text.partition("=")
        try:
            weights[name.strip().replace("-", "_")] = float(weight)
        except ValueError:
            raise click.BadParameter(f"{text!r}: expected NAME=WEIGHT, as in reconstruction=0.5") from None
    return tuple(sorted(weights.items()))
