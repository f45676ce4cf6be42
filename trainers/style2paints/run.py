"""One run of Style2Paints: what it adds to `image_models.train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.models.style_hint import BUILTIN, StyleHint
from sketchforge.options import Style2PaintsTrainOptions
from sketchforge.utils.progress import Progress
from trainers.image_models.folder import train_in_folder
from trainers.image_models.plan import ImagePlan, plan_images
from trainers.image_models.train import train_images
from trainers.style2paints.hint import open_hint
from trainers.style2paints.recipe import Style2PaintsRecipe, style2paints_recipe_of
from trainers.style2paints.step import Style2PaintsTrainer

RUN_FORMAT = "sketchforge-style2paints-run"


@dataclass(frozen=True)
class Style2PaintsPlan:
    """The plan of a training, and the network of its style hints."""

    images: ImagePlan[Style2PaintsRecipe]
    hint: StyleHint

    @property
    def finished(self) -> bool:
        return self.images.finished


def plan_style2paints(options: Style2PaintsTrainOptions) -> Style2PaintsPlan:
    """Plan a training.

    Raises as `plan_images` does, and AbsentError where the weights of the hint's network are not installed.
    """
    recipe = style2paints_recipe_of(options)
    hint = open_hint(recipe.hint, recipe.hint_size)
    entries = {"hint": tensors_digest(hint.state_dict())}
    if recipe.hint == BUILTIN:  # what it learnt from is told of the model, too
        entries["trained_with"] = encoder_digest(load_encoder(BUILTIN))
    return Style2PaintsPlan(plan_images(options, recipe, RUN_FORMAT, False, entries), hint)


def train_style2paints(
    options: Style2PaintsTrainOptions,
    progress: Progress | None = None,
    announce: Callable[[Style2PaintsPlan], None] | None = None,
) -> Path:
    """Train or resume training; see `train_in_folder`. Raises as `plan_style2paints` does, too."""
    return train_in_folder(options.run, lambda: plan_style2paints(options), _train, progress, announce)


def _train(plan: Style2PaintsPlan, progress: Progress) -> None:
    images, options = plan.images, plan.images.options
    trainer = Style2PaintsTrainer(
        images.recipe,
        plan.hint,
        seed=options.seed,
        device=images.device,
        precision=images.precision,
        compiled=options.compile,
        ranks=images.ranks,
    )
    train_images(images, trainer, progress)
