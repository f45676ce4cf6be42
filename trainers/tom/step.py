"""TOM: Train Once and get Multiple transfers (paper section 3, Eqs. 1-6).

A generator G learns to draw photos R in the style of drawings S. It maps the features f_c = E(I_c) of a photo
to a sketch I_c2s = G(f_c). The same frozen encoder gives the sketch's features f̂ = E(I_c2s). A discriminator
on Gram matrices classifies f̂ as a real drawing's features or not. The content loss gives f̂ the photo's
layout under the statistics of a drawing that every step picks at random (Eq. 4). Because that drawing
changes, so does the style of G: snapshots of different steps are different styles.

All randomness derives from (seed, purpose, step or place in the order), so a killed run resumes with the same
results. Ranks divide a batch among them, and all losses are those of the whole batch; only the published
generator's BatchNorm normalises each rank's part by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.errors import SketchforgeError
from sketchforge.images.tensors import to_tensor
from sketchforge.losses.adversarial import ADVERSARIAL
from sketchforge.losses.tom import content_loss, gram_loss
from sketchforge.models.encoder import Encoder
from sketchforge.models.features import content_correlation, gram
from sketchforge.models.tom import GENERATORS, GramDiscriminator, TomGenerator
from sketchforge.options import TomTrainOptions
from sketchforge.utils.device import choose_device, choose_precision
from trainers.crops import CropSampler, Prefetch
from trainers.distributed import Ranks
from trainers.ema import ema_update
from trainers.optimization import LossSums, channels_last, check_finite, seed_torch, total_of
from trainers.safe_points import buffers_kept_on_error
from trainers.state import Stateful
from trainers.tom.batches import Batch, count_synthetic, make_batch
from trainers.tom.recipe import TomRecipe
from trainers.tom.style_windows import neighbourhoods, style_vectors

LAYOUT_TAP = "relu3_1"  # where the validation compares the layouts of sketch and photo
NUM_VALIDATION_IMAGES = 8
MAX_REFERENCES = 128  # drawings that styles and realism are measured on, at most
FINE_TAPS = ("relu1_1", "relu2_1")  # fine layers: how lines are drawn rather than what they show


@dataclass
class Networks:
    """The networks and optimisers that training updates and a saved state holds."""

    generator: TomGenerator
    ema: nn.Module  # of the generator's weights; it draws and is saved
    discriminator: nn.Module
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer


@dataclass(frozen=True)
class TomEvaluation:
    """Scores on the validation photos, and the sketches themselves (V,H,W) float32 in [0, 1]."""

    content: float  # correlation of layout between sketch and photo features, higher is better
    realism: float  # relative distance of Gram matrices to those of the imitated drawings, lower is better
    sketches: np.ndarray


class TomTrainer:
    """Batches, training step and evaluation, for one set of inputs.

    encoder: frozen, with all taps of the recipe. photos, drawings: functions that return uint8 H×W×3 RGB.
    """

    def __init__(
        self,
        options: TomTrainOptions,
        recipe: TomRecipe,
        encoder: Encoder,
        photos: Sequence[Callable[[], np.ndarray]],
        drawings: Sequence[Callable[[], np.ndarray]],
        ranks: Ranks = Ranks(),
    ) -> None:
        self.options, self.recipe, self.ranks = options, recipe, ranks
        self.device = choose_device(ranks.device(options.device))
        self.precision = choose_precision(options.precision, self.device)
        self.encoder = channels_last(encoder, self.device)
        self.photos = CropSampler(photos, options.size, options.seed, "tom photos")
        self.drawings = CropSampler(drawings, options.size, options.seed, "tom drawings")
        self.networks = self._build_networks()
        self.interruptible, self.changing = self.device.type == "cpu", False
        self.discriminator_loss, self.generator_loss = ADVERSARIAL[options.adversarial]
        validation = CropSampler(photos, options.size, options.seed, "tom validation", zoom=1.0)
        # Spread over all photos and nearly whole, so that scores and contact sheets show the collection.
        photo_indices = np.linspace(0, len(photos) - 1, NUM_VALIDATION_IMAGES).round().astype(int)
        crops = [
            to_tensor(validation.crop_of(int(index), position))
            for position, index in enumerate(photo_indices)
        ]
        self.validation_photos = self._to_device(torch.cat(crops))
        self.reference_grams, groups = self._measure_drawings()
        self.groups = self._share_groups(groups)
        self.validation_features = self._encode_photos(self.validation_photos)

    def _build_networks(self) -> Networks:
        options, recipe, channels = self.options, self.recipe, self.encoder.tap_channels
        taps = recipe.generator_taps
        with seed_torch(options.seed, "tom generator"):
            generator = GENERATORS[recipe.generator](taps, [channels(tap) for tap in taps], recipe.widths)
        channels_last(generator, self.device)
        ema = copy.deepcopy(generator).requires_grad_(False)
        with seed_torch(options.seed, "tom discriminator"):
            discriminator = GramDiscriminator({tap: channels(tap) for tap in recipe.style_taps}).to(
                self.device
            )
        return Networks(
            generator,
            ema,
            discriminator,
            torch.optim.Adam(generator.parameters(), recipe.generator_learning_rate, recipe.betas),
            torch.optim.Adam(discriminator.parameters(), recipe.discriminator_learning_rate, recipe.betas),
        )

    def batches(
        self, start: int, steps: int, window_of: Callable[[int], int | None]
    ) -> Generator[Batch, None, None]:
        """The batches of the steps from `start` on; each is prepared during the step before.

        window_of: maps a step to its style window, or to None.
        """
        prefetch = Prefetch(self.batch)
        try:
            for step in range(start, steps):
                yield prefetch.get((step, window_of(step)), (step + 1, window_of(step + 1)))
        finally:
            prefetch.close()

    def batch(self, step: int, window: int | None) -> Batch:
        """This rank's rows of a step's batch; see `make_batch`."""
        group = None if window is None else self.group(window)
        photos, drawings = self.photos, self.drawings
        return make_batch(self.options, self.recipe, self.ranks, photos, drawings, step, window, group)

    def group(self, window: int) -> list[int]:
        """The indices of a style window's drawings."""
        return self.groups[window % len(self.groups)]

    def step(self, number: int, batch: Batch) -> dict[str, float]:
        """Update D, then G; return the unweighted losses.

        Raises FloatingPointError before the optimiser steps when its loss is not finite. What raises while
        `changing` is false leaves the state as it was.
        """
        net, recipe, ranks, sums = self.networks, self.recipe, self.ranks, LossSums()
        net.generator.train()
        with buffers_kept_on_error(net.generator, net.discriminator):
            with torch.no_grad():
                photos = self._encode_photos(self._to_device(batch.photos))
                content = photos
                if len(batch.denoised):
                    content = self._encode(self._to_device(batch.denoised), recipe.content_taps)
                drawings = self._encode(self._to_device(batch.drawings), self._list_compared_taps())
            outputs = self._draw(net.generator, photos)
            sketches = self._encode(outputs.expand(-1, 3, -1, -1), self._list_compared_taps())

            net.discriminator.requires_grad_(True)
            detached = {tap: features.detach() for tap, features in sketches.items()}
            loss_d = self.discriminator_loss(
                net.discriminator(drawings), net.discriminator(detached)
            )  # Eq. 5
            check_finite(ranks.mean(loss_d.detach()), "the discriminator's loss")
            _compute_gradients(net.optimizer_d, loss_d)
            ranks.average_gradients(net.discriminator.parameters())
            with self._discriminator_kept_on_error():
                net.optimizer_d.step()
                net.discriminator.requires_grad_(False)
                losses = self._compute_generator_losses(batch, content, drawings, sketches)
                weights = {name: getattr(recipe, f"{name}_weight") for name in losses}
                loss_g = total_of(weights[name] * loss for name, loss in losses.items())
                check_finite(ranks.mean(loss_g.detach()), "the generator's loss")
                _compute_gradients(net.optimizer_g, loss_g)
                ranks.average_gradients(net.generator.parameters())
                for network in (net.generator, net.discriminator):
                    ranks.average_buffers(network)
                sums.add({"discriminator": loss_d} | losses)
                means = ranks.all_reduce_mean(sums, list(sums.sums))
        self.changing = True
        net.optimizer_g.step()  # the learning rates are constant
        ema_update(net.ema, net.generator, recipe.ema_decay)
        self.changing = False
        return means

    @contextmanager
    def _discriminator_kept_on_error(self) -> Iterator[None]:
        """Put the discriminator and its optimiser back when the block raises, if a step is interruptible.

        Else they stay changed, and `changing` says so.
        """
        net, self.changing = self.networks, True
        kept = None
        if self.interruptible:
            # Its buffers are put back by `buffers_kept_on_error`.
            kept = copy.deepcopy((net.discriminator.state_dict(), net.optimizer_d.state_dict()))
        try:
            yield
        except BaseException:
            if kept is not None:
                net.discriminator.load_state_dict(kept[0])
                net.optimizer_d.load_state_dict(kept[1])
                self.changing = False
            raise

    def _compute_generator_losses(
        self,
        batch: Batch,
        content: Mapping[str, Tensor],
        drawings: Mapping[str, Tensor],
        sketches: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Eq. 6, Eq. 4, the Gram term of the authors' code, and the error on synthetic photos."""
        net, recipe = self.networks, self.recipe
        # Keep this order: gradients are added up in the order of the terms, which decides their last bits.
        losses = {"adversarial": self.generator_loss(net.discriminator(sketches))}
        tap_losses = [content_loss(sketches[tap], content[tap], drawings[tap]) for tap in recipe.content_taps]
        losses["content"] = total_of(tap_losses) / len(tap_losses)
        style = {tap: sketches[tap] for tap in recipe.style_taps}
        losses["gram"] = gram_loss(style, drawings, self.ranks.mean)
        if recipe.synthetic_weight:
            losses["synthetic"] = self._compute_synthetic_loss(batch)
        return losses

    def _compute_synthetic_loss(self, batch: Batch) -> Tensor:
        """The error on synthetic photos, whose mean over all ranks is the mean over all synthetic photos."""
        if not len(batch.synthetic):
            return torch.zeros((), device=self.device)
        features = self._encode_photos(self._to_device(batch.synthetic))
        recovered = self._draw(self.networks.generator, features)
        count = count_synthetic(self.options, self.recipe)
        share = len(batch.synthetic) * self.ranks.world_size / count
        return share * F.mse_loss(recovered, self._to_device(batch.originals)[:, :1])

    @torch.no_grad()
    def evaluate(self, window: int | None = None, generator: nn.Module | None = None) -> TomEvaluation:
        """Draw the validation photos and score the sketches; change no state.

        window: realism is measured against its drawings; None: against all.
        generator: None: the one with the EMA weights.
        """
        group = self.group(window) if window is not None else list(range(len(self.groups)))
        generator = self.networks.ema if generator is None else generator
        sketches = self._draw(generator.eval(), self.validation_features)
        features = self._encode(sketches.expand(-1, 3, -1, -1), [*self.recipe.style_taps, LAYOUT_TAP])
        content = content_correlation(features[LAYOUT_TAP], self.validation_features[LAYOUT_TAP]).mean()
        distances = []
        for tap, grams in self.reference_grams.items():
            reference = grams[group].mean(0)
            distances.append((gram(features[tap]).mean(0) - reference).norm() / reference.norm())
        unit_sketches = ((sketches[:, 0] + 1) / 2).clamp(0, 1).float().cpu().numpy()
        return TomEvaluation(float(content), float(sum(distances) / len(distances)), unit_sketches)

    def stateful(self) -> dict[str, Stateful]:
        """The networks and optimisers of a saved state, by name."""
        return dict(vars(self.networks))

    @torch.no_grad()
    def _measure_drawings(self) -> tuple[dict[str, Tensor], list[list[int]]]:
        """({tap: (M,C,C)} Gram matrices of the first M drawings, their neighbourhoods in style)."""
        references = CropSampler(
            self.drawings.readers[:MAX_REFERENCES], self.options.size, self.options.seed, "tom", zoom=1.0
        )
        taps = [*self.recipe.style_taps, *FINE_TAPS]
        drawing_features = [
            self._encode(self._to_device(to_tensor(references.crop_of(index, index))), taps)
            for index in range(len(references.readers))
        ]
        features = {tap: torch.cat([one_drawing[tap] for one_drawing in drawing_features]) for tap in taps}
        groups = neighbourhoods(style_vectors({tap: features[tap] for tap in FINE_TAPS}))
        return {tap: gram(features[tap]) for tap in self.recipe.style_taps}, groups

    def _share_groups(self, groups: list[list[int]]) -> list[list[int]]:
        """Rank 0's groups: on another processor two drawings that lie as near might change places."""
        width = len(groups[0])
        shared = self.ranks.broadcast([index for group in groups for index in group])
        return [[int(index) for index in shared[i : i + width]] for i in range(0, len(shared), width)]

    def _list_compared_taps(self) -> list[str]:
        """The taps at which sketches and drawings are compared."""
        return list(dict.fromkeys((*self.recipe.style_taps, *self.recipe.content_taps)))

    def _to_device(self, images: Tensor) -> Tensor:
        return images.to(self.device, memory_format=torch.channels_last)

    def _draw(self, generator: nn.Module, features: Mapping[str, Tensor]) -> Tensor:
        """Sketches (B,1,H,W) float32 of photos' features."""
        with self._autocast():
            sketches: Tensor = generator(self._prepare_features(features))
        return sketches.float()

    def _prepare_features(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        generator = self.networks.generator
        return generator.prepare({tap: features[tap] for tap in generator.taps})

    def _encode(self, images: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Features in float32: losses and discriminator compute with sums of thousands of them."""
        with self._autocast():
            features = self.encoder(images, taps)
        return {tap: x.float() for tap, x in features.items()}

    @torch.no_grad()
    def _encode_photos(self, photos: Tensor) -> dict[str, Tensor]:
        return self._encode(photos, [*self.recipe.generator_taps, *self.recipe.content_taps, LAYOUT_TAP])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


def _compute_gradients(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()


def check_encoder(encoder: Encoder, recipe: TomRecipe, name: str) -> None:
    """Raise SketchforgeError if the encoder lacks a layer that TOM uses."""
    required_taps = {LAYOUT_TAP, *recipe.content_taps, *recipe.style_taps, *recipe.generator_taps}
    if missing := sorted(required_taps - set(encoder.tap_names())):
        raise SketchforgeError(
            f"--encoder {name}: has no {', '.join(missing)}; TOM needs VGG layers up to relu4_1"
        )
