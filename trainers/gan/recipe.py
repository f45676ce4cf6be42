"""The hyper-parameters of the GAN's training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.losses.adversarial import r1_weight
from sketchforge.losses.diff_augment import POLICIES
from sketchforge.options import GanTrainOptions
from trainers.image_models.plan import check_batches
from trainers.optimization import recipe_record

PIXELS, FEATURES = DISCRIMINATORS = ("pixels", "features")  # what D looks at


@dataclass(frozen=True)
class GanRecipe:
    """Sizes, weights and learning rates of one recipe for the GAN."""

    size: int
    steps: int
    batch_size: int
    width: float  # factor of both networks' channels; 1 is as published
    reconstruction: float = 10.0  # λ of Eq. 14, on the squared error
    perceptual: float = 0.0  # in place of the squared error or beside it; the authors' code has λ on LPIPS
    augment: str = ""  # policy of DiffAugment
    r1: float | None = (
        None  # weight of the R1 penalty, γ; None: `gan_recipe_of` sets it by size and batch size
    )
    discriminator: str = PIXELS  # pixels | features: of the frozen encoder
    spectral_norm: bool = False  # of D's convolutions, in place of R1; of features always
    noise: bool = True
    learning_rate: float = 2e-4  # of G2
    discriminator_learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ema_decay: float = 0.999  # of G2's weights and buffers, at most; see `ema.warmed_up_decay`

    def record(self) -> dict[str, Any]:
        return recipe_record(self)


RECIPES = {
    # In few steps, D has to learn faster than G2 changes.
    "demo": GanRecipe(
        size=64, steps=400, batch_size=8, width=0.125, perceptual=1.0,
        learning_rate=5e-4, discriminator_learning_rate=2e-3,
    ),
    # At full size, on one large GPU or several.
    "large": GanRecipe(size=1024, steps=100_000, batch_size=12, width=1.0),
    # What is printed, [P], or else what the authors' code does, [C].
    "paper": GanRecipe(
        size=1024,  # [P] section 5
        steps=100_000,  # neither says; as stage 1
        batch_size=12,  # [P]; [C] 16
        width=1.0,  # [C]
        reconstruction=10.0,  # [P] λ of Eq. 14
        perceptual=0.0,  # [P] Eq. 14: a squared error; [C] LPIPS
        augment="",  # neither has any
        r1=0.0,  # neither has it
        discriminator=PIXELS,  # [P] section 4.2
        spectral_norm=True,  # [C]
        noise=True,  # [P] section 4.2
        learning_rate=2e-4,  # [P]
        discriminator_learning_rate=2e-4,  # [P]
        betas=(0.5, 0.999),  # [C]
        ema_decay=0.999,  # [C]
    ),
}  # fmt: skip


def gan_recipe_of(options: GanTrainOptions) -> GanRecipe:
    """The recipe that the options name, with their changes. Raises UsageError for impossible values."""
    names = ("size", "steps", "batch_size", "discriminator", "augment", "r1")
    overrides = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    recipe = replace(RECIPES[options.recipe], **overrides)
    if recipe.discriminator not in DISCRIMINATORS:
        raise UsageError(f"--discriminator {recipe.discriminator}: expected {', '.join(DISCRIMINATORS)}")
    if recipe.r1 is None:
        of_features = recipe.discriminator == FEATURES
        recipe = replace(recipe, r1=0.0 if of_features else r1_weight(recipe.size, recipe.batch_size))
    if not options.noise:
        recipe = replace(recipe, noise=False)
    if unknown := [name for name in recipe.augment.split(",") if recipe.augment and name not in POLICIES]:
        raise UsageError(f"--augment {unknown[0]}: no such change; there are {', '.join(POLICIES)}")
    check_batches(options, recipe)
    return recipe
