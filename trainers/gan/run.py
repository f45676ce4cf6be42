"""One run of the GAN: what it adds to `image_training`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.autoencoder import read_autoencoder
from sketchforge.checkpoints.synthesizer import write_synthesizer
from sketchforge.checkpoints.tensor_files import digest_of
from sketchforge.errors import UsageError
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.options import GanTrainOptions
from trainers.gan.recipe import recipe_of
from trainers.gan.step import Refining
from trainers.image_models.plan import ImagePlan, plan_images
from trainers.image_models.train import MODEL_FILE, train_images
from trainers.loop import TrainProgress

RUN_FORMAT = "sketchforge-gan-run"


@dataclass(frozen=True)
class GanPlan:
    """What a training will do, and the auto-encoder it builds on."""

    images: ImagePlan
    autoencoder: AutoEncoder


def plan_gan(options: GanTrainOptions) -> GanPlan:
    """What a training will do; errors as `plan_images` has them, and UsageError for an auto-encoder that is not
    there, unfinished, or of another size."""
    recipe = recipe_of(options)
    path = options.ae / MODEL_FILE if options.ae.is_dir() else options.ae
    if not path.is_file():
        what = "holds no finished auto-encoder" if options.ae.is_dir() else "no such file or folder"
        raise UsageError(f"{options.ae}: {what}; train one with `sketchforge ae-train --run {options.ae}`")
    autoencoder, _ = read_autoencoder(path)
    if autoencoder.size != recipe.size:
        raise UsageError(
            f"{options.ae}: an auto-encoder for {autoencoder.size} px, asked for are {recipe.size}: use --size "
            f"{autoencoder.size}, or train another with `sketchforge ae-train --size {recipe.size}`"
        )
    parts = {"autoencoder": digest_of(autoencoder.state_dict())}
    return GanPlan(
        plan_images(options, recipe, RUN_FORMAT, bool(recipe.perceptual), parts=parts), autoencoder
    )


def train_gan(options: GanTrainOptions, progress: TrainProgress | None = None) -> Path:
    """Train or go on training, and return the path of the picture of sketches × styles; see `train_images`."""
    plan = plan_gan(options)
    images = plan.images

    def new_procedure() -> Refining:
        return Refining(
            images.recipe, plan.autoencoder, images.encoder, options.seed, images.device, images.precision,
            options.compile, images.ranks,
        )  # fmt: skip

    return train_images(images, new_procedure, _write, progress or TrainProgress())


def _write(path: Path, procedure: Refining, about: Mapping[str, Any]) -> None:
    write_synthesizer(path, procedure.autoencoder, procedure.networks.average, about)
