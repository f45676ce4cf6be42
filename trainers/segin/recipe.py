"""The hyper-parameters of SEGIN's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sketchforge.losses.segin import PUBLISHED_WEIGHTS
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
    match: str = "argmax"  # argmax | soft
    non_local: bool = True
    reconstruction: float = PUBLISHED_WEIGHTS[0]
    feature: float = PUBLISHED_WEIGHTS[1]
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
        non_local=True,  # [P]
        reconstruction=100.0,  # [P] w1
        feature=5e-6,  # [P] w2
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
