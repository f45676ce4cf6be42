"""The hyper-parameters of TOM's training; docs/tom-recipe.md explains the choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainers.optimization import recipe_record


@dataclass(frozen=True)
class TomRecipe:
    """Layers, weights and learning rates of one recipe for TOM; layers are VGG taps by name."""

    generator: str = "lean"  # lean | paper
    # G's inputs, coarse to fine: relu4_1 separates outlines from texture, the others locate the outlines.
    generator_taps: tuple[str, ...] = ("relu4_1", "relu3_1", "relu2_1", "relu1_1")
    widths: tuple[int, ...] = (24, 48, 32, 16)  # G's channels after each stage
    # Departure from the authors' pool3 in Eqs. 1-4: relu3_1 still locates lines.
    content_taps: tuple[str, ...] = ("relu3_1",)  # of Eq. 4's target
    denoising: int = (
        13  # side in pixels of the median filter that removes texture from Eq. 4's content; 0: none
    )
    content_weight: float = 1.0  # taps have unit std here; the authors' 0.2 belongs to raw VGG16 features
    style_taps: tuple[str, ...] = ("relu2_1", "relu3_1", "relu4_1")  # that D and the Gram term see
    gram_weight: float = (
        1.0  # of a loss relative to the drawings' own Gram matrices; the authors' 2000 belongs to their loss
    )
    adversarial_weight: float = 1.0
    synthetic_weight: float = 20.0  # of recovering the drawing of a synthetic photo (synthetic_photos.py)
    num_synthetic: int = 2  # synthetic photos in a step
    pattern_contrast: float = 70.0  # in grey levels, of their patterns, which G must not draw; 0: no patterns
    pasted_share: float = (
        0.3  # of the synthetic photos with a figure: a photo lies behind, which G must leave out
    )
    # Both of these in style windows, by turns: some leave out more than others. Empty: as before the windows.
    window_denoising: tuple[int, ...] = (7, 13, 19)
    window_pasted_shares: tuple[float, ...] = (0.0, 0.3, 0.6)
    generator_learning_rate: float = 1e-3
    discriminator_learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.99)
    # Snapshots hold the EMA of G's weights, for each step pulls G towards the few drawings of its batch. Over three
    # steps: a longer average makes the windows' sketches alike, and no better.
    ema_decay: float = 0.7

    def record(self) -> dict[str, Any]:
        return recipe_record(self)


RECIPES = {
    "lean": TomRecipe(),
    "paper": TomRecipe(
        generator="paper",
        generator_taps=("pool3",),
        widths=(512, 512, 256),
        denoising=0,
        window_denoising=(),
        window_pasted_shares=(),
        synthetic_weight=0.0,
        # As published; it suits 4.7 M parameters, the lean G's 96 thousand need more.
        generator_learning_rate=2e-4,
    ),
}
