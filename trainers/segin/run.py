"""One run of SEGIN: what it adds to `image_models.train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sketchforge.models.segin import GREY
from sketchforge.options import SeginTrainOptions
from sketchforge.shards.shard_set import ShardSet
from sketchforge.sketchers.foreground import ForegroundFinder
from sketchforge.utils.progress import Progress
from trainers.image_models.folder import train_in_folder
from trainers.image_models.plan import ImagePlan, plan_images
from trainers.image_models.train import train_images
from trainers.segin.recipe import SeginRecipe, segin_recipe_of
from trainers.segin.step import SeginTrainer

RUN_FORMAT = "sketchforge-segin-run"
SHARDS, HEAD, NONE = "shards", "head", "none"  # where masks come from, as run.json says


@dataclass(frozen=True)
class SeginPlan:
    """The plan of a training, and where its masks come from."""

    images: ImagePlan[SeginRecipe]
    masks: str  # SHARDS | HEAD | NONE
    finder: ForegroundFinder | None  # with HEAD

    @property
    def finished(self) -> bool:
        return self.images.finished


def plan_segin(options: SeginTrainOptions) -> SeginPlan:
    """Plan a training. Raises as `plan_images` does."""
    recipe = segin_recipe_of(options)

    def describe_masks(shards: ShardSet) -> dict[str, Any]:
        if not recipe.mask and not recipe.masked:
            return {"masks": {"by": NONE}}
        masks = {"by": SHARDS if shards.has_masks else HEAD, "images": shards.num_samples}
        if shards.has_masks:
            return {"masks": masks}
        return {"masks": masks, "foreground": ForegroundFinder(torch.device("cpu")).digest}

    images = plan_images(options, recipe, RUN_FORMAT, True, describe_masks)
    masks = images.record["masks"]["by"]
    return SeginPlan(images, masks, ForegroundFinder(images.device) if masks == HEAD else None)


def train_segin(
    options: SeginTrainOptions,
    progress: Progress | None = None,
    announce: Callable[[SeginPlan], None] | None = None,
) -> Path:
    """Train or resume training; see `train_in_folder`. Raises as `plan_segin` does, too."""
    return train_in_folder(options.run, lambda: plan_segin(options), _train, progress, announce)


def _train(plan: SeginPlan, progress: Progress) -> None:
    images, options = plan.images, plan.images.options
    assert images.encoder is not None  # by `plan_images`, which loads it
    trainer = SeginTrainer(
        images.recipe,
        images.encoder,
        seed=options.seed,
        device=images.device,
        finder=plan.finder,
        precision=images.precision,
        compiled=options.compile,
        ranks=images.ranks,
    )
    train_images(images, trainer, progress, masks=plan.masks == SHARDS, grey=images.recipe.input == GREY)
