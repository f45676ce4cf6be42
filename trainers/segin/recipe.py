"""The hyper-parameters of SEGIN's training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.losses.segin import PUBLISHED_WEIGHTS, SUMMED_FEATURES
from sketchforge.models.patch_matcher import MATCHES
from sketchforge.models.segin import INPUTS, LARGEST
from sketchforge.options import SeginTrainOptions
from trainers.image_models.plan import check_batches
from trainers.loss_weights import read_weights
from trainers.optimization import recipe_record

# The terms of the generator's loss, in the paper's order, w1 to w6; a weight of 0 switches a term off.
TERMS = ("reconstruction", "feature", "adversarial", "mask", "masked", "variation")


@dataclass(frozen=True)
class SeginRecipe:
    """Sizes, weights and learning rates of one recipe for SEGIN."""

    size: int
    steps: int
    batch_size: int
    width: float  # factor of both networks' channels
    match: str = "argmax"  # argmax | soft | sift; training matches as argmax does where it is soft
    input: str = "sketch"  # sketch | grey
    non_local: bool = True
    reconstruction: float = PUBLISHED_WEIGHTS[0]
    feature: float = PUBLISHED_WEIGHTS[1] * SUMMED_FEATURES  # of a mean; see losses/segin.py
    adversarial: float = PUBLISHED_WEIGHTS[2]
    mask: float = PUBLISHED_WEIGHTS[3]  # mask and masked: of samples that have a mask
    masked: float = PUBLISHED_WEIGHTS[4]
    variation: float = PUBLISHED_WEIGHTS[5]
    learning_rate: float = 2e-4  # of the translator
    discriminator_learning_rate: float = 1.3e-5
    betas: tuple[float, float] = (0.5, 0.999)
    ema_decay: float = 0.999  # of the translator's weights and buffers, at most; see `ema.warmed_up_decay`

    def record(self) -> dict[str, Any]:
        return recipe_record(self)


RECIPES = {
    # For the built-in samples or a first try on other images. In few steps D has to learn faster.
    "demo": SeginRecipe(
        size=64,
        steps=400,
        batch_size=8,
        width=0.125,
        learning_rate=1e-3,
        discriminator_learning_rate=2e-4,
        ema_decay=0.98,
    ),
    # What is printed, [P], or ours.
    "paper": SeginRecipe(
        size=256,  # [P]
        steps=150_000,  # ours: the paper has 12 to 20 epochs, whose length is that of its data
        batch_size=5,  # [P]
        width=1.0,  # ours: widths are not published
        match="argmax",  # [P]
        input="sketch",  # [P] edges; colourisation of grey photos is its second use
        non_local=True,  # [P]
        reconstruction=100.0,  # [P] w1
        feature=5e-6 * SUMMED_FEATURES,  # [P] w2, of a sum; see losses/segin.py
        adversarial=1.0,  # [P] w3, in the first reading of a misprint; see losses/segin.py
        mask=100.0,  # [P] w4, in the same reading
        masked=10.0,  # [P] w5
        variation=10.0,  # [P] w6
        learning_rate=2e-4,  # [P]
        discriminator_learning_rate=1.3e-5,  # [P]
        betas=(0.5, 0.999),  # ours: not published
        ema_decay=0.0,  # ours: no average is mentioned
    ),
}


def segin_recipe_of(options: SeginTrainOptions) -> SeginRecipe:
    """The recipe that the options name, with their changes. Raises UsageError for impossible values."""
    if options.recipe not in RECIPES:
        raise UsageError(f"--recipe {options.recipe}: no such recipe; there are {', '.join(RECIPES)}")
    names = ("size", "steps", "batch_size", "match", "input")
    overrides = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    recipe = replace(RECIPES[options.recipe], **overrides, **read_weights(options.losses, TERMS))
    if not options.non_local:
        recipe = replace(recipe, non_local=False)
    if recipe.size > LARGEST:
        raise UsageError(
            f"--size {recipe.size}: expected 64, 128, 256 or 512; its six blocks halve no more often"
        )
    check_batches(options, recipe)
    for option, value, values in (("match", recipe.match, MATCHES), ("input", recipe.input, INPUTS)):
        if value not in values:
            raise UsageError(f"--{option} {value}: expected {', '.join(values)}")
    if not recipe.reconstruction and not recipe.feature:
        raise UsageError("--loss: reconstruction and feature are both 0; one of them must make images")
    return recipe
