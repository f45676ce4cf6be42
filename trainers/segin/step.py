"""Training of SEGIN: a sketch and an image pasted together from a reference -> the image and its mask.

Self-supervised: the reference is the image itself. What is pasted from it is corrupted, as matches to another image
are wrong, so that the translator learns to mend it by the sketch.

All randomness derives from (seed, purpose, position), so a killed run resumes with the same results.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sketchforge.losses.absolute_error import absolute_error
from sketchforge.losses.adversarial import log_discriminator, log_generator
from sketchforge.losses.segin import feature_error, mask_error, masked_error, total_variation
from sketchforge.models.encoder import Encoder
from sketchforge.models.patch_matching import corrupt_matches, match_patches, paste_patches, paste_softly
from sketchforge.models.segin import PairDiscriminator, Translation, Translator
from sketchforge.utils.seeding import torch_generator
from trainers.batch_statistics import MeanStatistics
from trainers.distributed import Ranks
from trainers.ema import ema_update, warmed_up_decay
from trainers.image_models.interface import MicroBatch
from trainers.optimization import accumulate, channels_last, check_finite_means, seed_torch, total_of
from trainers.safe_points import buffers_kept_on_error
from trainers.segin.recipe import TERMS, SeginRecipe
from trainers.state import Stateful

LOSSES = ("discriminator", *TERMS)
FINE_TAP, COARSE_TAP = "relu3_1", "relu4_1"  # of stride 4, and of stride 8 for images from COARSE_FROM pixels
COARSE_FROM = 256


@dataclass
class SeginNetworks:
    """The networks and optimisers that training updates."""

    translator: Translator
    ema: Translator  # of the translator's weights and buffers
    discriminator: PairDiscriminator
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer


class SeginTrainer:
    """SEGIN's training step, and synthesis with its EMA weights.

    encoder: frozen; its features are matched, and compared by the loss.
    """

    def __init__(
        self, recipe: SeginRecipe, encoder: Encoder, seed: int, device: torch.device, ranks: Ranks = Ranks()
    ) -> None:
        self.ranks = ranks
        self.recipe, self.seed, self.device = recipe, seed, device
        self.encoder = channels_last(encoder, device).eval().requires_grad_(False)
        with seed_torch(seed, "translator"):
            translator = Translator(recipe.size, recipe.width, non_local=recipe.non_local)
        with seed_torch(seed, "pair discriminator"):
            discriminator = PairDiscriminator(recipe.size, recipe.width)
        translator, discriminator = channels_last(translator, device), channels_last(discriminator, device)
        ema = copy.deepcopy(translator).requires_grad_(False).eval()
        optimizer_g, optimizer_d = (
            torch.optim.Adam(module.parameters(), lr, recipe.betas, fused=True)
            for module, lr in (
                (translator, recipe.learning_rate),
                (discriminator, recipe.discriminator_learning_rate),
            )
        )
        self.networks = SeginNetworks(translator, ema, discriminator, optimizer_g, optimizer_d)
        self.interruptible, self.changing = device.type == "cpu", False

    def step(self, number: int, batch: Sequence[MicroBatch]) -> dict[str, float]:
        """Update the discriminator and the translator once from the micro-batches; return the unweighted losses.

        Both losses use the networks as they were before the step. Raises FloatingPointError before the
        optimisers step when a loss is not finite. What raises while `changing` is false leaves the state as it
        was.
        """
        net, ranks = self.networks, self.ranks
        net.translator.train()
        net.optimizer_g.zero_grad(set_to_none=True)
        net.optimizer_d.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        with buffers_kept_on_error(net.translator, net.discriminator):
            statistics = MeanStatistics(net.translator, len(batch))
            for micro_batch in batch:
                sketch, real = micro_batch["sketch"], micro_batch["image"]
                made = net.translator(sketch, self._corrupted_auxiliary(micro_batch))
                loss_d = log_discriminator(
                    net.discriminator(sketch, real), net.discriminator(sketch, made.image.detach())
                )
                net.discriminator.requires_grad_(False)
                losses_g = self._compute_translator_losses(micro_batch, made)
                weighted = total_of(getattr(self.recipe, name) * loss for name, loss in losses_g.items())
                (weighted / len(batch)).backward()
                net.discriminator.requires_grad_(True)
                (loss_d / len(batch)).backward()
                accumulate(sums, losses_g | {"discriminator": loss_d}, len(batch))
                statistics.note()
            ranks.average_gradients([*net.discriminator.parameters(), *net.translator.parameters()])
            statistics.finish(ranks)
            means = ranks.all_reduce_mean(sums, LOSSES)
            check_finite_means(means)
        self.changing = True
        for optimizer in (net.optimizer_d, net.optimizer_g):
            optimizer.step()  # the learning rates are constant
        ema_update(net.ema, net.translator, warmed_up_decay(number, self.recipe.ema_decay))
        self.changing = False
        return means

    def _compute_translator_losses(self, micro_batch: MicroBatch, made: Translation) -> dict[str, Tensor]:
        """The terms that are on, and those of masks where there are masks."""
        sketch, real = micro_batch["sketch"], micro_batch["image"]
        losses = {
            "reconstruction": lambda: absolute_error(made.image, real),
            "feature": lambda: feature_error(self.encoder, made.image, real),
            "adversarial": lambda: log_generator(self.networks.discriminator(sketch, made.image)),
            "variation": lambda: total_variation(made.image),
        }
        if "mask" in micro_batch:
            mask = micro_batch["mask"]
            losses |= {
                "mask": lambda: mask_error(made.mask_logits, mask),
                "masked": lambda: masked_error(made.image, real, mask),
            }
        return {name: losses[name]() for name in TERMS if name in losses and getattr(self.recipe, name)}

    @torch.no_grad()
    def _corrupted_auxiliary(self, micro_batch: MicroBatch) -> Tensor:
        """The auxiliary image of a batch from its own images, by corrupted matches: (B,3,S,S)."""
        sketch, image = micro_batch["sketch"], micro_batch["image"]
        features, reference = self._encode(sketch.expand(-1, 3, -1, -1)), self._encode(image)
        grid = (reference.shape[2], reference.shape[3])
        matches = match_patches(features, reference).cpu()
        corrupted = [
            corrupt_matches(each, grid, torch_generator(self.seed, "corruption", position))
            for each, position in zip(matches, micro_batch["position"].tolist(), strict=True)
        ]
        return paste_patches(image, torch.stack(corrupted).to(image.device), grid)

    @torch.no_grad()
    def make_auxiliary(self, sketches: Tensor, references: Tensor) -> Tensor:
        """What the matches of sketches (B,1,S,S) paste from references (B,3,S,S): (B,3,S,S), in [-1, 1]."""
        features, reference = self._encode(sketches.expand(-1, 3, -1, -1)), self._encode(references)
        if self.recipe.match == "soft":
            return paste_softly(references, features, reference)
        grid = (reference.shape[2], reference.shape[3])
        return paste_patches(references, match_patches(features, reference), grid)

    def _encode(self, images: Tensor) -> Tensor:
        tap = COARSE_TAP if self.recipe.size >= COARSE_FROM else FINE_TAP
        return self.encoder(images, [tap])[tap]

    def stateful(self) -> dict[str, Stateful]:
        return dict(vars(self.networks))

    def extra(self) -> dict[str, Any]:
        return {}

    def load_extra(self, extra: Mapping[str, Any]) -> None: ...

    @torch.no_grad()
    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the EMA weights."""
        sketches, images = (
            tensor.to(self.device, memory_format=torch.channels_last) for tensor in (sketches, images)
        )
        return self.networks.ema(sketches, self.make_auxiliary(sketches, images)).image.float()
