"""Auto-encoder and GAN trained together (the paper's A.4), for the row "joint" of ae_results.py.

A step is one of the auto-encoder's and then one of the GAN's, with the same batch, on what the auto-encoder's
averaged weights make by then. So G2 and D learn from images that become better, where `gan-train` has them
finished. The auto-encoder learns from its own losses alone: no gradient of the GAN's reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sketchforge.models.encoder import Encoder
from sketchforge.options import AeTrainOptions, GanTrainOptions
from sketchforge.utils.progress import Progress
from trainers.autoencoder.recipe import AeRecipe, ae_recipe_of
from trainers.autoencoder.step import AutoEncoderTrainer
from trainers.gan.recipe import GanRecipe, gan_recipe_of
from trainers.gan.run import RUN_FORMAT
from trainers.gan.step import GanTrainer
from trainers.image_models.batches import Subset
from trainers.image_models.interface import MicroBatch
from trainers.image_models.plan import plan_images
from trainers.image_models.train import train_images
from trainers.run_folder import hold_run
from trainers.state import Stateful


class JointTrainer:
    """The step of both, and synthesis with the averaged weights of both."""

    interruptible = False  # between the two steps there is no state to go back to

    def __init__(
        self,
        ae_recipe: AeRecipe,
        gan_recipe: GanRecipe,
        encoder: Encoder | None,
        num_images: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.encoder = encoder
        self.autoencoder = AutoEncoderTrainer(ae_recipe, encoder, num_images, seed, device)
        self.gan = GanTrainer(gan_recipe, self.autoencoder.networks.ema, encoder, seed, device)
        self.changing = False

    def step(self, number: int, batch: Sequence[MicroBatch]) -> dict[str, float]:
        self.changing = True
        losses = self.autoencoder.step(number, batch)
        losses |= {f"gan_{name}": value for name, value in self.gan.step(number, batch).items()}
        self.changing = False
        return losses

    def stateful(self) -> dict[str, Stateful]:
        return {
            f"{part}_{name}": state
            for part, trainer in (("ae", self.autoencoder), ("gan", self.gan))
            for name, state in trainer.stateful().items()
        }

    def extra(self) -> dict[str, Any]:
        return self.autoencoder.extra()

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        self.autoencoder.load_extra(extra)

    def write_model(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self.gan.write_model(path, metadata)

    def encode_style(self, images: Tensor) -> Tensor:
        return self.gan.encode_style(images)

    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        return self.gan.synthesize(sketches, images)


def train_joint(options: GanTrainOptions) -> None:
    """Train or resume, as `train_gan`, by both recipes of that name and size; `options.ae` is not read."""
    shared = ("size", "steps", "batch_size")
    ae_options = AeTrainOptions(
        shards=options.shards, recipe=options.recipe, style="multiply", padding="zeros"
    )
    ae_recipe = ae_recipe_of(replace(ae_options, **{name: getattr(options, name) for name in shared}))
    with hold_run(options.run):
        entries = {"joint": ae_recipe.record()}
        plan = plan_images(options, gan_recipe_of(options), RUN_FORMAT, True, entries)
        if not plan.finished:
            num_images = plan.shards.num_samples
            trainer = JointTrainer(
                ae_recipe, plan.recipe, plan.encoder, num_images, options.seed, plan.device
            )
            subset = Subset(ae_recipe.subset, ae_recipe.subset_passes)
            train_images(plan, trainer, Progress(), subset)
