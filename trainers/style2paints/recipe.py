"""The hyper-parameters of Style2Paints' training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.errors import UsageError
from sketchforge.losses.style2paints import GUIDE_TARGETS
from sketchforge.models.style_hint import BUILTIN, LITE0, NUM_FEATURES
from sketchforge.options import Style2PaintsTrainOptions
from trainers.image_models.plan import check_batches
from trainers.optimization import recipe_record

AUTO = "auto"  # LITE0 where its weights are installed, else BUILTIN
# The discriminators by the name of the option; they take turns, step by step.
DISCRIMINATORS = {
    "both": ("auxiliary", "plain"),
    "auxiliary": ("auxiliary",),
    "plain": ("plain",),
}


@dataclass(frozen=True)
class Style2PaintsRecipe:
    """Sizes, weights and learning rates of one recipe for Style2Paints."""

    size: int
    steps: int
    batch_size: int
    width: float  # factor of all networks' channels; 1 is as published
    hint: str = AUTO  # network of the style hint; `style2paints_recipe_of` says which AUTO is
    hint_size: int | None = None  # length of the hint; None: all features of its network
    guides: bool = True  # losses of their own for the layers in the middle
    guide_target: str = "grey"  # of the guide at the entry: grey (Eq. 2) | colour (Eq. 1)
    entry_guide: float = 0.3  # α
    exit_guide: float = 0.9  # β
    reconstruction: float = 100.0  # λ, of the three absolute errors beside the adversarial loss
    discriminator: str = "both"  # both | auxiliary | plain
    learning_rate: float = 2e-4  # of U-net and guides
    discriminator_learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.99)
    ema_decay: float = 0.999  # of the U-net's weights, at most; see `ema.warmed_up_decay`

    def record(self) -> dict[str, Any]:
        return recipe_record(self)


RECIPES = {
    # For the built-in samples or a first try on other images: minutes on two cores.
    "demo": Style2PaintsRecipe(
        size=64,
        steps=600,
        batch_size=8,
        width=0.125,
        learning_rate=1e-3,
        discriminator_learning_rate=5e-4,
        ema_decay=0.98,
    ),
    # What is printed, [P], or else a third party's, [X], or ours.
    "paper": Style2PaintsRecipe(
        size=256,  # [P] the widths of its figure
        steps=100_000,  # ours: not published
        batch_size=4,  # [P] at most 4
        width=1.0,  # [P] the widths of its figure
        hint_size=None,  # [P] all features: 4096 of VGG19, here those of the hint's network
        guides=True,  # [P]
        guide_target="grey",  # [P] Eq. 2, which it prefers to Eq. 1
        entry_guide=0.3,  # [P] α
        exit_guide=0.9,  # [P] β
        reconstruction=100.0,  # [X] λ is not published
        discriminator="both",  # [P] auxiliary classifier and DCGAN's take turns
        learning_rate=2e-4,  # ours: not published
        discriminator_learning_rate=2e-4,  # ours: not published
        betas=(0.5, 0.99),  # [X]
        ema_decay=0.0,  # ours: no average is mentioned
    ),
}


def style2paints_recipe_of(options: Style2PaintsTrainOptions) -> Style2PaintsRecipe:
    """The recipe that the options name, with their changes. Raises UsageError for impossible values."""
    if options.recipe not in RECIPES:
        raise UsageError(f"--recipe {options.recipe}: no such recipe; there are {', '.join(RECIPES)}")
    names = (
        *("size", "steps", "batch_size", "hint_size", "guide_target"),
        *("discriminator", "reconstruction"),
    )
    overrides = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    recipe = replace(RECIPES[options.recipe], **overrides, hint=_choose_hint(options.hint))
    if not options.guides:
        recipe = replace(recipe, guides=False)
    check_batches(options, recipe)
    for option, value, values in (
        ("guide-target", recipe.guide_target, GUIDE_TARGETS),
        ("discriminator", recipe.discriminator, DISCRIMINATORS),
    ):
        if value not in values:
            raise UsageError(f"--{option} {value}: expected {', '.join(values)}")
    num_features = NUM_FEATURES[recipe.hint]
    if recipe.hint_size is not None and not 1 <= recipe.hint_size <= num_features:
        raise UsageError(
            f"--hint-size {recipe.hint_size}: expected 1 to {num_features}, the features of --hint {recipe.hint}"
        )
    if not 0 < recipe.reconstruction < float("inf"):
        raise UsageError(f"--lambda {recipe.reconstruction}: expected a weight above 0")
    return recipe


def _choose_hint(name: str) -> str:
    if name == AUTO:
        return LITE0 if KNOWN[LITE0].found() else BUILTIN
    if name not in NUM_FEATURES:
        raise UsageError(f"--hint {name}: no such network; there are {AUTO}, {', '.join(NUM_FEATURES)}")
    return name
