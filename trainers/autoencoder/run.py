"""One run of the auto-encoder: what it adds to `image_models.train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sketchforge.checkpoints.runs import read_record
from sketchforge.errors import UsageError
from sketchforge.models.layers import PADDINGS
from sketchforge.models.modulation import STYLES
from sketchforge.options import AeTrainOptions
from sketchforge.utils.progress import Progress
from trainers.autoencoder.recipe import AeRecipe, ae_recipe_of
from trainers.autoencoder.step import AutoEncoderTrainer
from trainers.image_models.batches import Subset
from trainers.image_models.folder import train_in_folder
from trainers.image_models.plan import RUN_VERSION, ImagePlan, plan_images
from trainers.image_models.train import train_images

RUN_FORMAT = "sketchforge-ae-run"


def plan_ae(options: AeTrainOptions) -> ImagePlan[AeRecipe]:
    """Plan a training. Raises as `plan_images` does, and UsageError for triplet losses on a single image."""
    recipe = _as_begun(options, ae_recipe_of(options))
    plan = plan_images(options, recipe, RUN_FORMAT, bool(recipe.perceptual))
    triplets = [name for name in ("style_triplet", "content_triplet") if getattr(recipe, name)]
    if plan.shards.num_samples < 2 and triplets:
        raise UsageError(
            f"{options.shards}: 1 image; {' and '.join(triplets)} tell images apart and need two or more: render "
            "more, or switch them off with --loss NAME=0"
        )
    return plan


def train_ae(
    options: AeTrainOptions,
    progress: Progress | None = None,
    announce: Callable[[ImagePlan[AeRecipe]], None] | None = None,
) -> Path:
    """Train or resume training; see `train_in_folder`. Raises as `plan_ae` does, too."""
    return train_in_folder(options.run, lambda: plan_ae(options), _train, progress, announce)


def _as_begun(options: AeTrainOptions, recipe: AeRecipe) -> AeRecipe:
    """The recipe, with style and padding of the run that is continued, where the options name none.

    Until 0.2.0 recipes multiplied where they use AdaIN now, and padded by zeros, without naming it.
    """
    begun = (read_record(options.run, RUN_FORMAT, RUN_VERSION) or {}).get("recipe")
    if options.overwrite or not isinstance(begun, dict):
        return recipe
    style, padding = begun.get("style"), begun.get("padding")
    if options.style is None and isinstance(style, str) and style in STYLES:
        recipe = replace(recipe, style=style)
    if options.padding is None and padding in (None, *PADDINGS):
        recipe = replace(recipe, padding=padding)
    return recipe


def _train(plan: ImagePlan[AeRecipe], progress: Progress) -> None:
    options, recipe = plan.options, plan.recipe
    trainer = AutoEncoderTrainer(
        recipe,
        plan.encoder,
        num_images=plan.shards.num_samples,
        seed=options.seed,
        device=plan.device,
        precision=plan.precision,
        compiled=options.compile,
        ranks=plan.ranks,
    )
    # Only Eq. 8 needs a subset; without it, every batch is of all images.
    subset = Subset(recipe.subset, recipe.subset_passes) if recipe.style_class else None
    train_images(plan, trainer, progress, subset)
