"""One run of DiffSketching: what it adds to `image_models.train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sketchforge.checkpoints.diffsketching import load_unet
from sketchforge.checkpoints.runs import read_record
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.models.diffusion import require_diffusers
from sketchforge.models.sketch_view import SketchView
from sketchforge.options import DiffSketchingTrainOptions
from sketchforge.shards.shard_set import ShardSet
from sketchforge.utils.progress import Progress
from trainers.diffsketching.recipe import (
    DiffSketchingRecipe,
    begin_with_pretrained,
    diffsketching_recipe_of,
)
from trainers.diffsketching.step import DiffSketchingTrainer
from trainers.diffsketching.view import open_view
from trainers.image_models.folder import train_in_folder
from trainers.image_models.plan import RUN_VERSION, ImagePlan, plan_images
from trainers.image_models.train import train_images

RUN_FORMAT = "sketchforge-diffsketching-run"
AS_BEGUN = ("strength", "schedule", "learning_rate")  # of a recipe, what a pretrained U-net changes
PREVIEWS = 2  # over the whole run: an image takes many passes


@dataclass(frozen=True)
class DiffSketchingPlan:
    """The plan of a training, with what it looks at sketches through."""

    images: ImagePlan[DiffSketchingRecipe]
    view: SketchView
    classes: tuple[str, ...]
    pretrained: tuple[torch.nn.Module, Mapping[str, Any]] | None

    @property
    def finished(self) -> bool:
        return self.images.finished


def plan_diffsketching(options: DiffSketchingTrainOptions) -> DiffSketchingPlan:
    """Plan a training. Raises as `plan_images` does, and UsageError without diffusers."""
    require_diffusers()
    begun = {} if options.overwrite else read_record(options.run, RUN_FORMAT, RUN_VERSION) or {}
    found = begun.get("recipe", {})
    recipe = diffsketching_recipe_of(options, _denoising_steps_of(found))
    scale = found.get("class_scale")  # until 0.2.0 that of the demo was another; no option names it
    recipe = replace(recipe, class_scale=scale) if isinstance(scale, float) else recipe
    view, digests = open_view(options.tom, recipe.size)
    pretrained = None
    if options.unet is not None:
        pretrained = load_unet(options.unet, recipe.size)
        recipe = begin_with_pretrained(recipe, options, pretrained[1])
        # A run of 0.2.0 goes on as it was begun, by the recipe's own.
        recipe = replace(
            recipe,
            **{
                name: found[name]
                for name in AS_BEGUN
                if name in found and getattr(options, name, None) is None
            },
        )
    entries: dict[str, Any] = {"view": digests["encoder"] + digests["generator"]}
    if pretrained is not None:
        entries["unet"] = tensors_digest(pretrained[0].state_dict())
    classes: list[str] = []

    def describe_classes(shards: ShardSet) -> dict[str, Any]:
        # The first stage alone teaches the classifier: without one it would guide by chance. A run of 0.2.0 may have it.
        if recipe.denoising_steps != 0 or begun.get("classes"):
            classes.extend(shards.classes)
        return entries | {"classes": classes}

    images = plan_images(options, recipe, RUN_FORMAT, True, describe_classes)
    return DiffSketchingPlan(images, view, tuple(classes), pretrained)


def _denoising_steps_of(found: Mapping[str, Any]) -> int | None:
    """Those of the run that is continued, by its recipe: more --steps make its second stage longer."""
    steps = found.get("denoising_steps")
    return steps if isinstance(steps, int) else None


def train_diffsketching(
    options: DiffSketchingTrainOptions,
    progress: Progress | None = None,
    announce: Callable[[DiffSketchingPlan], None] | None = None,
) -> Path:
    """Train or resume training; see `train_in_folder`. Raises as `plan_diffsketching` does, too."""
    return train_in_folder(options.run, lambda: plan_diffsketching(options), _train, progress, announce)


def _train(plan: DiffSketchingPlan, progress: Progress) -> None:
    images, options = plan.images, plan.images.options
    assert images.encoder is not None  # by `plan_images`, which loads it
    trainer = DiffSketchingTrainer(
        images.recipe,
        images.encoder,
        plan.view,
        seed=options.seed,
        device=images.device,
        classes=plan.classes,
        pretrained=plan.pretrained,
        precision=images.precision,
        compiled=options.compile,
        ranks=images.ranks,
    )
    train_images(images, trainer, progress, classes=bool(plan.classes), previews=PREVIEWS)
