"""What TOM's training consists of, in numbers: the choices that docs/tom-recipe.md tells of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainers.optimization import recipe_record


@dataclass(frozen=True)
class TomRecipe:
    """Layers, weights and learning rates of one way to train TOM; layers are VGG taps by name."""

    generator: str = "lean"  # lean | paper
    # What G sees of a photo, coarse to fine: relu4_1 tells outlines from texture, the others know where they run.
    generator_taps: tuple[str, ...] = ("relu4_1", "relu3_1", "relu2_1", "relu1_1")
    widths: tuple[int, ...] = (24, 48, 32, 16)  # G's channels after each stage
    # Departure from the authors' pool3 in Eqs. 1-4: relu3_1 still knows where a line runs.
    content_taps: tuple[str, ...] = ("relu3_1",)  # of Eq. 4's target
    denoising: int = (
        13  # side in pixels of the median filter that takes texture out of Eq. 4's content; 0: none
    )
    content_weight: float = 1.0  # taps have unit std here; the authors' 0.2 belongs to raw VGG16 features
    style_taps: tuple[str, ...] = ("relu2_1", "relu3_1", "relu4_1")  # judged by D and by the Gram term
    gram_weight: float = (
        1.0  # of a loss relative to the drawings' own Gram matrices; the authors' 2000 to theirs
    )
    adversarial_weight: float = 1.0
    synthetic_weight: float = 20.0  # of finding the drawing of a synthetic photo again (synthetic_photos.py)
    num_synthetic: int = 2  # of them in a step
    pattern_contrast: float = 70.0  # grey levels: of the patterns in them, which are not to be drawn; 0: none
    generator_learning_rate: float = 1e-3
    discriminator_learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.99)
    # Snapshots are taken of the EMA of G's weights, for each step pulls G towards its own few drawings.
    ema_decay: float = 0.9

    def record(self) -> dict[str, Any]:
        return recipe_record(self)


RECIPES = {
    "lean": TomRecipe(),
    "paper": TomRecipe(
        generator="paper",
        generator_taps=("pool3",),
        widths=(512, 512, 256),
        denoising=0,
        synthetic_weight=0.0,
        generator_learning_rate=2e-4,  # as published; it suits 4.7 M parameters, G's 58 thousand want more
    ),
}
