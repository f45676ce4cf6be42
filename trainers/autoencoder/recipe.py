"""The hyper-parameters of the auto-encoder's training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.models.autoencoder import CONTENT_SIDE, AutoEncoder, content_sides
from sketchforge.models.layers import Padding
from sketchforge.options import AeTrainOptions
from trainers.image_models.plan import check_batches
from trainers.loss_weights import INFINITY, read_weights
from trainers.optimization import recipe_record

# The terms of Eq. 12, and of a variational f_style, by the names of the recipe's fields. A weight of 0 switches a term off.
LOSSES = (
    "reconstruction",
    "perceptual",
    "style_triplet",
    "style_class",
    "content_triplet",
    "content_class",
    "style_prior",
)

# How style enters but for the recipe "paper". Departure from A.2, where it multiplies: with AdaIN a style is found again
# better and matched pairs are nearer, with each of three seeds, at 3 % more time a step (docs/results.md).
OURS = "adain"
# What convolutions see beyond the border but for the recipe "paper". Neither paper nor code tells; zeros, as is usual, are
# grey beyond the paper, and leave a frame of a pixel and bars along the border (docs/auto-encoder.md).
OUR_PADDING: Padding = "replicate"
ZEROS: Padding = "zeros"

# The fields of a recipe that have an option each.
OVERRIDES = (
    *("size", "steps", "batch_size", "dmi", "style", "content_side", "padding"),
    *("translated", "subset", "subset_passes", "style_margin", "content_margin"),
)
LIMITS = {  # by option: the lowest and the highest value, in words, too
    "translated": (0, 1, "a share from 0 to 1"),
    "subset": (2, INFINITY, "2 images or more, told apart as classes"),
    "subset_passes": (1, INFINITY, "1 pass or more"),
    # cosines differ by 2 at most
    "style_margin": (0, 2, "a difference of cosines from 0 to 2"),
    "content_margin": (0, 2, "a difference of cosines from 0 to 2"),
}


@dataclass(frozen=True)
class AeRecipe:
    """Sizes, weights and learning rates of one recipe for the auto-encoder."""

    size: int
    steps: int
    batch_size: int
    width: float  # factor of the networks' channels; 1 is as published
    # Of f_style, and so of the input of the style head, which classifies f_content, too (Eq. 9).
    style_dim: int
    dmi: str = "feature"
    style: str = "multiply"
    # Of the finest map where the sketch enters G1. None, 32, as published (A.2), whatever the size; also the value
    # of runs that began before there was this setting, so that they can go on.
    content_side: int | None = None
    # What convolutions see beyond the border. None: zeros; also the value of runs that began before there was this setting.
    padding: Padding | None = None
    # Weights of Eq. 12, which prints 1 for its five terms (recipe "paper"). The authors' code adds LPIPS,
    # summed over a batch of 32, where the other terms are means. Here all terms are means, and the two that
    # make images weigh a hundred times as much as the others.
    reconstruction: float = 10.0
    perceptual: float = 10.0  # on the built-in encoder's features; the authors' code: LPIPS with VGG
    style_triplet: float = 0.1  # Eq. 7
    style_class: float = 0.1  # Eq. 8
    content_triplet: float = 0.1  # Eq. 10
    content_class: float = 0.1  # Eq. 9
    # A.3: E_style finds a normal distribution, from which the f_style that is decoded is drawn.
    variational: bool = False
    style_prior: float = 0.01  # ours, of its divergence from N(0, 1); of a variational f_style alone
    # Share of each batch that is decoded from a translation of the image and a transformed sketch (section
    # 4.1); the rest is decoded from the image's own style and the plain sketch, as the model is used.
    translated: float = 0.5
    # A second step of the optimiser with every batch, which reconstructs from plain images and sketches.
    plain_step: bool = False
    style_margin: float = 0.5  # of Eq. 7, in cosines; not published
    content_margin: float = 0.5  # of Eq. 10
    subset: int = 500  # k of Eqs. 8-9, the images that are classes at a time (A.1: 500 to 2,000)
    subset_passes: int = 100  # over them before the next subset, as in the authors' code
    learning_rate: float = 2e-4
    later_learning_rate: float = 1e-4  # of style encoder and decoder after the first subset (authors' code)
    betas: tuple[float, float] = (0.5, 0.999)
    ema_decay: float = 0.999

    def record(self) -> dict[str, Any]:
        return recipe_record(self)

    def build_model(self) -> AutoEncoder:
        """The untrained network, its weights drawn from torch's random state."""
        return AutoEncoder(
            self.size,
            self.width,
            self.style_dim,
            self.dmi,
            self.style,
            self.variational,
            self.content_side,
            self.padding or ZEROS,
        )


RECIPES = {
    # For the built-in samples or a first try on other images: minutes on two cores.
    "demo": AeRecipe(
        size=64,
        steps=400,
        batch_size=8,
        width=0.25,
        style_dim=128,
        style=OURS,
        padding=OUR_PADDING,
        learning_rate=1e-3,
        later_learning_rate=1e-3,
        ema_decay=0.98,
    ),
    # The demo's losses at full size, on one large GPU or several.
    "large": AeRecipe(
        size=1024, steps=100_000, batch_size=16, width=1.0, style_dim=512, style=OURS, padding=OUR_PADDING
    ),
    # What is printed, [P], or else what the authors' code does, [C]. Where neither says: margins of .5.
    "paper": AeRecipe(
        size=1024,  # [P] section 5
        steps=100_000,  # [C]
        batch_size=16,  # [P]; [C] 32
        width=1.0,  # [C]
        style_dim=512,  # [P] section 4.1
        dmi="feature",  # [P] A.2
        style="multiply",  # [P] A.2
        content_side=None,  # [P] A.2: 32
        padding=None,  # neither says; zeros, as is usual
        reconstruction=1.0,  # [P] Eq. 12
        perceptual=0.0,  # [P] Eq. 12 has no such term
        style_triplet=1.0,  # [P] Eq. 12
        style_class=1.0,  # [P] Eq. 12
        content_triplet=1.0,  # [P] Eq. 12
        content_class=1.0,  # [P] Eq. 12
        translated=1.0,  # [P] section 4.1
        plain_step=True,  # [C]
        subset=500,  # [P] A.1
        subset_passes=100,  # [C]
        learning_rate=2e-4,  # [P]
        later_learning_rate=1e-4,  # [C]
        betas=(0.5, 0.999),  # [C]
        ema_decay=0.0,  # [C] none: what is kept are the weights themselves
    ),
}


def ae_recipe_of(options: AeTrainOptions) -> AeRecipe:
    """The recipe that the options name, with their changes. Raises UsageError for impossible values."""
    recipe = RECIPES[options.recipe]
    overrides = {name: getattr(options, name) for name in OVERRIDES}
    changes: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    for name, (low, high, expected) in LIMITS.items():
        if name in changes and not low <= changes[name] <= high:
            raise UsageError(f"--{name.replace('_', '-')} {changes[name]}: expected {expected}")
    changes |= read_weights(options.losses, LOSSES)
    if "style_prior" in changes and not options.variational:
        raise UsageError("--loss style-prior: a loss of --variational alone; add that")
    changes["variational"] = options.variational
    recipe = replace(recipe, **changes)
    check_batches(options, recipe)
    if recipe.content_side not in (None, *content_sides(recipe.size)):
        sides = " or ".join(map(str, content_sides(recipe.size)))
        raise UsageError(f"--content-side {recipe.content_side}: expected {sides} for --size {recipe.size}")
    if recipe.content_side == CONTENT_SIDE:
        recipe = replace(recipe, content_side=None)
    if recipe.padding == ZEROS:
        recipe = replace(recipe, padding=None)
    if recipe.content_side and recipe.dmi == "none":
        raise UsageError("--content-side: by --dmi none the sketch enters at 8² alone; leave it out")
    if not recipe.reconstruction and not recipe.perceptual:
        raise UsageError("--loss: reconstruction and perceptual are both 0; one of them must make images")
    return recipe
