"""One run of the auto-encoder: what it adds to `image_training`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.autoencoder import write_autoencoder
from sketchforge.errors import UsageError
from sketchforge.options import AeTrainOptions
from trainers.autoencoder.recipe import recipe_of
from trainers.autoencoder.step import AutoEncoding
from trainers.image_models.plan import ImagePlan, plan_images
from trainers.image_models.train import train_images
from trainers.loop import TrainProgress

RUN_FORMAT = "sketchforge-ae-run"


def plan_ae(options: AeTrainOptions) -> ImagePlan:
    """What a training will do; errors as `plan_images` has them."""
    recipe = recipe_of(options)
    plan = plan_images(options, recipe, RUN_FORMAT, bool(recipe.perceptual))
    triplets = [name for name in ("style_triplet", "content_triplet") if getattr(recipe, name)]
    if plan.shards.num_samples < 2 and triplets:
        raise UsageError(
            f"{options.shards}: 1 image; {' and '.join(triplets)} tell images apart and need two or more: render "
            "more, or switch them off with --loss NAME=0"
        )
    return plan


def train_ae(options: AeTrainOptions, progress: TrainProgress | None = None) -> Path:
    """Train or go on training, and return the path of the picture of sketches × styles; see `train_images`."""
    plan = plan_ae(options)
    recipe = plan.recipe

    def new_procedure() -> AutoEncoding:
        return AutoEncoding(
            recipe, plan.encoder, plan.shards.num_samples, options.seed, plan.device, plan.precision, options.compile,
            plan.ranks,
        )  # fmt: skip

    # Subsets matter only to Eq. 8; without it images come in passes over all of them.
    group, passes = (recipe.num_classes, recipe.passes) if recipe.style_class else (None, 1)
    return train_images(plan, new_procedure, _write, progress or TrainProgress(), group, passes)


def _write(path: Path, procedure: AutoEncoding, about: Mapping[str, Any]) -> None:
    write_autoencoder(path, procedure.networks.average, about)
