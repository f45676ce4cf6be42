"""The hyper-parameters of DiffSketching's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.models.diffsketching import CONCATENATION, CONDITIONS, GUIDANCE, Sampling
from sketchforge.models.diffusion import SCHEDULE, NoiseSchedule
from sketchforge.options import DiffSketchingTrainOptions
from trainers.image_models.plan import check_batches
from trainers.optimization import recipe_record

PRETRAINED_LEARNING_RATE = 1e-4  # at most, of weights that have learnt already
ONE_STEP = 0  # of `through`: x̂_0 of one step
LARGEST = 512  # pixels; beyond that diffusion works on codes of images


@dataclass(frozen=True)
class DiffSketchingRecipe:
    """Sizes, weights and learning rates of one recipe for DiffSketching."""

    size: int
    steps: int  # of both stages together
    batch_size: int
    channels: tuple[int, ...]  # of the U-net's levels
    layers: int  # residual blocks a level
    groups: int  # of group norm
    attention: tuple[int, ...] = ()  # sides that have it
    patch: int = 1  # side in pixels of what is one place of the first level
    schedule: str = "linear"  # of the noise, in diffusers' words
    classifier_width: int = 32  # where the shards have classes
    condition: str = GUIDANCE  # guidance | concatenation
    tuning_share: float = 0.1  # of the steps: fine-tuning, with guidance
    denoising_steps: int | None = None  # first stage; later steps fine-tune; None: all
    through: int = ONE_STEP  # 0: x̂_0 by one step; else that many last steps of DDIM keep their gradients
    identity: float = 0.5  # λ of L = λ·L_i + (1−λ)·L_p
    anchor: float = 0.0  # weight of the denoising error in fine-tuning, beside L
    sampling_steps: int = 25
    strength: float = 0.8  # share of the time steps by which images are noised before they are denoised
    sketch_scale: float = 0.8
    class_scale: float = 30.0  # docs/diffsketching.md says how it was chosen
    learning_rate: float = 2e-4
    tuning_learning_rate: float = 1e-3
    tuning_optimizer: str = "sgd"  # sgd, of momentum .9 | adam
    classifier_learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    ema_decay: float = 0.999  # of the U-net's weights, at most; see `ema.warmed_up_decay`

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.sampling_steps, self.strength, self.sketch_scale, self.class_scale)

    def tunes_at(self, number: int) -> bool:
        """Whether step `number`, counted from 0, fine-tunes."""
        return self.denoising_steps is not None and number >= self.denoising_steps

    def record(self) -> dict[str, Any]:
        return recipe_record(self)


RECIPES = {
    # For the built-in samples or a first try on other images.
    "demo": DiffSketchingRecipe(
        size=64,
        steps=1500,
        batch_size=8,
        channels=(32, 64, 128),
        layers=1,
        groups=8,
        patch=2,
        schedule="squaredcos_cap_v2",
        anchor=4.0,
        sampling_steps=10,
        learning_rate=2e-3,
        tuning_learning_rate=5e-5,
        tuning_optimizer="adam",
        betas=(0.9, 0.99),
        ema_decay=0.995,
    ),
    # What is printed, [P], what the authors' code has, [C], or ours.
    "paper": DiffSketchingRecipe(
        size=256,  # [C]
        steps=500_000,  # ours: of neither stage published
        batch_size=4,  # [C] of fine-tuning
        channels=(128, 128, 256, 256, 512, 512),  # [C] 128, multiplied by 1, 1, 2, 2, 4, 4
        layers=2,  # [C]
        groups=32,  # [C]
        attention=(16, 8),  # [C]
        classifier_width=256,  # [C]
        condition=GUIDANCE,  # [P]
        tuning_share=0.1,  # ours: not published
        through=ONE_STEP,  # ours: the code's sampling has no gradients at all
        identity=0.5,  # ours: λ is not published
        anchor=0.0,  # [P] L has two terms
        sampling_steps=25,  # [C]
        strength=0.5,  # ours; docs/diffsketching.md says why not 1
        sketch_scale=0.5,  # ours: not published
        class_scale=1.0,  # [P] the formula has none
        learning_rate=1e-4,  # ours: not published
        tuning_learning_rate=1e-3,  # [C]
        tuning_optimizer="sgd",  # [C] momentum .9
        classifier_learning_rate=3e-4,  # ours: not published
        betas=(0.9, 0.999),  # ours: not published
        ema_decay=0.9999,  # ours: not published
    ),
}


def diffsketching_recipe_of(
    options: DiffSketchingTrainOptions, denoising_steps: int | None = None
) -> DiffSketchingRecipe:
    """The recipe that the options name, with their changes. Raises UsageError for impossible values.

    denoising_steps: of the run that is continued, which the options need not name again.
    """
    if options.recipe not in RECIPES:
        raise UsageError(f"--recipe {options.recipe}: no such recipe; there are {', '.join(RECIPES)}")
    names = ("size", "steps", "batch_size", "condition", "through", "identity", "sampling_steps", "strength")
    overrides = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    recipe = replace(RECIPES[options.recipe], **overrides)
    _check_values(options, recipe)
    if recipe.condition == CONCATENATION:
        if options.denoising_steps is not None or options.through is not None:
            raise UsageError(
                "--denoising-steps, --through: --condition concatenation is not fine-tuned; leave them out"
            )
        return recipe
    if options.denoising_steps is not None:
        denoising_steps = options.denoising_steps
    if denoising_steps is None:
        denoising_steps = recipe.steps - round(recipe.tuning_share * recipe.steps)
    return replace(recipe, denoising_steps=denoising_steps)


def begin_with_pretrained(
    recipe: DiffSketchingRecipe, options: DiffSketchingTrainOptions, settings: Mapping[str, Any]
) -> DiffSketchingRecipe:
    """The recipe for a pretrained U-net with the noise schedule of these settings: its own schedule, learnt on gently.

    Where the options name no strength and the schedule is another, images are noised as nearly as much as by the recipe's as the steps of
    sampling allow: from the one at which as much is left of them. Raises UsageError for more steps of sampling than the
    schedule has times.
    """
    theirs = NoiseSchedule(settings)
    if recipe.sampling_steps > theirs.num_times:
        raise UsageError(
            f"{recipe.sampling_steps} steps of sampling are more than the {theirs.num_times} time steps of --unet {options.unet}; "
            "name fewer by --sampling-steps"
        )
    strength, ours = recipe.strength, NoiseSchedule(SCHEDULE | {"beta_schedule": recipe.schedule})
    if options.strength is None and theirs.settings != ours.settings:
        left = ours.image_share[ours.list_times(recipe.sampling_steps, strength)[0]]
        times = theirs.list_times(recipe.sampling_steps)
        begin = min(times, key=lambda time: abs(float(theirs.image_share[time] - left)))
        strength = (begin + 1) / theirs.num_times
    return replace(
        recipe,
        schedule=str(settings["beta_schedule"]),
        strength=strength,
        learning_rate=min(recipe.learning_rate, PRETRAINED_LEARNING_RATE),
    )


def _check_values(options: DiffSketchingTrainOptions, recipe: DiffSketchingRecipe) -> None:
    if recipe.size > LARGEST:
        raise UsageError(f"--size {recipe.size}: expected 64, 128, 256 or 512; larger maps take too long")
    check_batches(options, recipe)
    if recipe.condition not in CONDITIONS:
        raise UsageError(f"--condition {recipe.condition}: expected {', '.join(CONDITIONS)}")
    if not 1 <= recipe.sampling_steps <= 1000:
        raise UsageError(f"--sampling-steps {recipe.sampling_steps}: expected 1 to 1000")
    if not 0 <= recipe.through <= recipe.sampling_steps:
        raise UsageError(
            f"--through {recipe.through}: expected one-step, or 1 to --sampling-steps {recipe.sampling_steps}"
        )
    if not 0 <= recipe.identity <= 1:
        raise UsageError(f"--identity {recipe.identity}: expected λ from 0 to 1")
    if not 0 < recipe.strength <= 1:
        raise UsageError(f"--strength {recipe.strength}: expected a share above 0, at most 1")
