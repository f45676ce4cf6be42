"""Training of SEGIN: a sketch and an image pasted together from a reference -> the image and its mask.

Self-supervised: the reference is the image itself. What is pasted from it is corrupted, as matches to another image
are wrong, so that the translator learns to mend it by the sketch.

All randomness derives from (seed, purpose, position), so a killed run resumes with the same results.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sketchforge.checkpoints.segin import build_matcher, write_segin
from sketchforge.data.augment import MASK
from sketchforge.images.tensors import to_grey
from sketchforge.losses.absolute_error import absolute_error
from sketchforge.losses.adversarial import log_discriminator, log_generator
from sketchforge.losses.segin import feature_error, mask_error, masked_error, total_variation
from sketchforge.models.encoder import Encoder
from sketchforge.models.patch_matching import corrupt_matches
from sketchforge.models.segin import GREY, PairDiscriminator, Segin, Translation, Translator
from sketchforge.sketchers.foreground import ForegroundFinder
from sketchforge.utils.seeding import torch_generator
from trainers.batch_statistics import MeanStatistics
from trainers.distributed import Ranks
from trainers.ema import ema_update, warmed_up_decay
from trainers.image_models.interface import MicroBatch
from trainers.optimization import LossSums, channels_last, check_finite_means, seed_torch, total_of
from trainers.players import build_optimizers, frozen
from trainers.safe_points import buffers_kept_on_error
from trainers.segin.recipe import TERMS, SeginRecipe
from trainers.state import Stateful

LOSSES = ("discriminator", *TERMS)


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

    encoder: frozen; its features are matched, and compared by the loss. finder: of the masks of images that bring
    none; None: their terms are left out.
    """

    def __init__(
        self,
        recipe: SeginRecipe,
        encoder: Encoder,
        seed: int,
        device: torch.device,
        finder: ForegroundFinder | None = None,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
        ranks: Ranks = Ranks(),
    ) -> None:
        self.ranks, self.finder = ranks, finder
        self.recipe, self.seed, self.device, self.precision = recipe, seed, device, precision
        self.encoder = channels_last(encoder, device).eval().requires_grad_(False)
        self.matcher = channels_last(build_matcher(encoder, recipe.size, recipe.match), device)
        with seed_torch(seed, "translator"):
            translator = Translator(
                recipe.size, recipe.width, non_local=recipe.non_local, masks=bool(recipe.mask)
            )
        with seed_torch(seed, "pair discriminator"):
            discriminator = PairDiscriminator(recipe.size, recipe.width)
        translator, discriminator = channels_last(translator, device), channels_last(discriminator, device)
        ema = copy.deepcopy(translator).requires_grad_(False).eval()
        optimizers = build_optimizers(recipe, translator.parameters(), discriminator.parameters())
        self.networks = SeginNetworks(translator, ema, discriminator, *optimizers)
        self.interruptible, self.changing = device.type == "cpu" and not compiled, False
        if compiled:
            for module in (translator, discriminator):
                module.compile()

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
        sums = LossSums()
        with buffers_kept_on_error(net.translator, net.discriminator):
            statistics = MeanStatistics(len(batch), net.translator, net.discriminator)
            for micro_batch in batch:
                x, real = self._input_of(micro_batch), micro_batch["image"]
                made = self._translate(x, self._corrupted_auxiliary(micro_batch))
                losses_d: dict[str, Tensor] = {}
                if self.recipe.adversarial:
                    logits = (self._compute_logits(x, y) for y in (real, made.image.detach()))
                    losses_d["discriminator"] = log_discriminator(*logits)
                with frozen(net.discriminator):
                    losses_g = self._compute_translator_losses(micro_batch, made)
                    weighted = total_of(getattr(self.recipe, name) * loss for name, loss in losses_g.items())
                    (weighted / len(batch)).backward()
                for loss in losses_d.values():
                    (loss / len(batch)).backward()
                sums.add(losses_g | losses_d)
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

    def _input_of(self, micro_batch: MicroBatch) -> Tensor:
        """x, (B,1,S,S) in [-1, 1]: the sketch, or the image's grey."""
        return to_grey(micro_batch["image"]) if self.recipe.input == GREY else micro_batch["sketch"]

    def _translate(self, x: Tensor, auxiliary: Tensor) -> Translation:
        with self._autocast():
            made = self.networks.translator(x, auxiliary)
        return Translation(made.image.float(), made.mask_logits.float())

    def _compute_logits(self, x: Tensor, images: Tensor) -> Tensor:
        with self._autocast():
            return self.networks.discriminator(x, images).float()

    def _compute_translator_losses(self, micro_batch: MicroBatch, made: Translation) -> dict[str, Tensor]:
        """The terms that are on, and those of masks where there are masks."""
        x, real = self._input_of(micro_batch), micro_batch["image"]
        losses = {
            "reconstruction": lambda: absolute_error(made.image, real),
            "feature": lambda: feature_error(self.encoder, made.image, real),
            "adversarial": lambda: log_generator(self._compute_logits(x, made.image)),
            "variation": lambda: total_variation(made.image),
        }
        mask = self._mask_of(micro_batch)
        if mask is not None:
            losses |= {
                "mask": lambda: mask_error(made.mask_logits, mask),
                "masked": lambda: masked_error(made.image, real, mask),
            }
        return {name: losses[name]() for name in TERMS if name in losses and getattr(self.recipe, name)}

    def _mask_of(self, micro_batch: MicroBatch) -> Tensor | None:
        """The masks of the shards, else the foreground head's, (B,1,S,S) in [0, 1]; None where there are none."""
        if MASK in micro_batch:
            return micro_batch[MASK]
        if self.finder is None or not (self.recipe.mask or self.recipe.masked):
            return None
        return self.finder.find_weights(micro_batch["image"])

    def _corrupted_auxiliary(self, micro_batch: MicroBatch) -> Tensor:
        """The auxiliary image of a batch from its own images, by corrupted matches: (B,3,S,S)."""
        image = micro_batch["image"]
        matches = self.matcher.find_matches(self._input_of(micro_batch), image).cpu()
        corrupted = [
            corrupt_matches(each, self.matcher.grid, torch_generator(self.seed, "corruption", position))
            for each, position in zip(matches, micro_batch["position"].tolist(), strict=True)
        ]
        return self.matcher.paste_matches(image, torch.stack(corrupted).to(image.device))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def stateful(self) -> dict[str, Stateful]:
        return dict(vars(self.networks))

    def extra(self) -> dict[str, Any]:
        return {}

    def load_extra(self, extra: Mapping[str, Any]) -> None: ...

    @property
    def model(self) -> Segin:
        """The EMA weights with the matcher."""
        return Segin(self.networks.ema, self.matcher, self.recipe.input)

    def write_model(self, path: Path, metadata: Mapping[str, Any]) -> None:
        write_segin(path, self.model, metadata)

    @torch.no_grad()
    def encode_style(self, images: Tensor) -> Tensor:
        """(B,3,S,S) in [-1, 1] -> what stands in for f_style (B,D), by the EMA weights."""
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.model.encode_style(images).float()

    @torch.no_grad()
    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), sketches or greys, (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the EMA weights."""
        sketches, images = (
            tensor.to(self.device, memory_format=torch.channels_last) for tensor in (sketches, images)
        )
        return self.model(sketches, images).float()
