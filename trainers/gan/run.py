"""One run of the GAN: what it adds to `image_models.train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sketchforge.checkpoints.autoencoder import read_autoencoder
from sketchforge.checkpoints.runs import MODEL_FILE
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.errors import UsageError
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.models.feature_discriminator import TAPS
from sketchforge.options import GanTrainOptions
from sketchforge.utils.progress import Progress
from trainers.gan.recipe import FEATURES, GanRecipe, gan_recipe_of
from trainers.gan.step import GanTrainer
from trainers.image_models.folder import train_in_folder
from trainers.image_models.plan import ImagePlan, plan_images
from trainers.image_models.train import train_images

RUN_FORMAT = "sketchforge-gan-run"


@dataclass(frozen=True)
class GanPlan:
    """The plan of a training, and the auto-encoder whose images the GAN refines."""

    images: ImagePlan[GanRecipe]
    autoencoder: AutoEncoder

    @property
    def finished(self) -> bool:
        return self.images.finished


def plan_gan(options: GanTrainOptions) -> GanPlan:
    """Plan a training.

    Raises as `plan_images` does, and UsageError for an auto-encoder that is missing, unfinished, or of
    another size.
    """
    recipe = gan_recipe_of(options)
    path = options.ae / MODEL_FILE if options.ae.is_dir() else options.ae
    if not path.is_file():
        problem = "holds no finished auto-encoder" if options.ae.is_dir() else "no such file or folder"
        raise UsageError(f"{options.ae}: {problem}; train one with `sketchforge ae-train --run {options.ae}`")
    autoencoder, _ = read_autoencoder(path)
    if autoencoder.size != recipe.size:
        raise UsageError(
            f"{options.ae}: an auto-encoder for {autoencoder.size} pixels, asked for are {recipe.size}: use --size "
            f"{autoencoder.size}, or train another with `sketchforge ae-train --size {recipe.size}`"
        )
    entries = {"autoencoder": tensors_digest(autoencoder.state_dict())}
    with_encoder = bool(recipe.perceptual) or recipe.discriminator == FEATURES
    plan = GanPlan(plan_images(options, recipe, RUN_FORMAT, with_encoder, entries), autoencoder)
    if recipe.discriminator == FEATURES:
        assert plan.images.encoder is not None  # by `plan_images`, which loads it
        if missing := [tap for tap in TAPS if tap not in plan.images.encoder.tap_names()]:
            raise UsageError(
                f"--discriminator features: --encoder {options.encoder} has no {', '.join(missing)}; name another"
            )
    return plan


def train_gan(
    options: GanTrainOptions,
    progress: Progress | None = None,
    announce: Callable[[GanPlan], None] | None = None,
) -> Path:
    """Train or resume training; see `train_in_folder`. Raises as `plan_gan` does, too."""
    return train_in_folder(options.run, lambda: plan_gan(options), _train, progress, announce)


def _train(plan: GanPlan, progress: Progress) -> None:
    images, options = plan.images, plan.images.options
    trainer = GanTrainer(
        images.recipe,
        plan.autoencoder,
        images.encoder,
        seed=options.seed,
        device=images.device,
        precision=images.precision,
        compiled=options.compile,
        ranks=images.ranks,
    )
    train_images(images, trainer, progress)
