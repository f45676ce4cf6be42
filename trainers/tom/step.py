"""TOM: Train Once and get Multiple transfers (paper section 3, Eqs. 1-6).

A generator G learns to draw photos R in the manner of drawings S. It sees the features f_c = E(I_c) of a photo and
draws I_c2s = G(f_c); the same frozen encoder looks at the result, f̂ = E(I_c2s). A discriminator on Gram matrices says
whether f̂ goes together as a drawing's features do, and f̂ is to have the photo's layout under the statistics of a
drawing picked at random at every step (Eq. 4). Because that drawing changes, so does the manner of G: snapshots taken
along the way are different styles.

Everything random derives from (seed, purpose, step), so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
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
from sketchforge.models.tom import GENERATORS, GramDiscriminator
from sketchforge.options import TomTrainOptions
from sketchforge.utils.device import choose_device
from sketchforge.utils.seeding import numpy_generator
from trainers.crops import CropSampler, Prefetch
from trainers.ema import average_into, seeded
from trainers.tom.recipe import TomRecipe
from trainers.tom.style_windows import neighbourhoods, style_vectors
from trainers.tom.synthetic_photos import coloured, smoothed

LAYOUT_TAP = "relu3_1"  # where the validation asks whether sketch and photo have the same layout
NUM_EVALUATIONS = 25  # over the whole run; each one after settling ends a style window and is a candidate
NUM_VALIDATION_IMAGES = 8
MAX_REFERENCES = 128  # drawings that styles and realism are measured on
MANNER_TAPS = ("relu1_1", "relu2_1")  # fine layers: how lines are drawn rather than what of


@dataclass
class Networks:
    """What training changes, and what a saved state holds."""

    generator: nn.Module
    average: nn.Module  # of the generator's weights over the last steps; it is what draws
    discriminator: nn.Module
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer


@dataclass(frozen=True)
class Batch:
    """What a step sees, each (·,3,H,W) float32 in [-1, 1]; coloured and originals are empty where not asked for."""

    photos: Tensor
    smoothed: Tensor  # the photos without their texture: where the content of Eq. 4 is taken from
    drawings: Tensor
    coloured: Tensor
    originals: Tensor  # what the coloured were made from


@dataclass(frozen=True)
class Evaluation:
    """Scores on the validation photos, and the sketches themselves (V,H,W) float32 in [0, 1]."""

    content: float  # correlation of layout between sketch and photo features, higher is better
    realism: float  # relative distance of Gram statistics to those of the drawings imitated, lower is better
    sketches: np.ndarray


class Tom:
    """The procedure for one set of inputs: batches, one step, one evaluation.

    encoder: frozen, with all taps of the recipe. photos, drawings: functions that return uint8 H×W×3 RGB.
    """

    def __init__(
        self,
        options: TomTrainOptions,
        recipe: TomRecipe,
        encoder: Encoder,
        photos: Sequence[Callable[[], np.ndarray]],
        drawings: Sequence[Callable[[], np.ndarray]],
    ) -> None:
        self.options, self.recipe = options, recipe
        self.device = choose_device(options.device)
        self.encoder = encoder.to(self.device, memory_format=torch.channels_last)
        self.photos = CropSampler(photos, options.size, options.seed, "tom photos")
        self.drawings = CropSampler(drawings, options.size, options.seed, "tom drawings")
        self.networks = self._new_networks()
        self.discriminator_loss, self.generator_loss = ADVERSARIAL[options.adversarial]
        validation = CropSampler(photos, options.size, options.seed, "tom validation", zoom=1.0)
        # Spread over all photos and nearly whole, so that scores and contact sheets show the collection.
        spread = np.linspace(0, len(photos) - 1, NUM_VALIDATION_IMAGES).round().astype(int)
        chosen = [to_tensor(validation.crop_of(int(index), place)) for place, index in enumerate(spread)]
        self.validation_photos = self._here(torch.cat(chosen))
        self.reference_grams, self.groups = self._look_at_drawings()
        self.validation_features = self._features(self.validation_photos)

    def _new_networks(self) -> Networks:
        options, recipe, channels = self.options, self.recipe, self.encoder.tap_channels
        taps = recipe.generator_taps
        with seeded(options.seed, "tom generator"):
            generator = GENERATORS[recipe.generator](taps, [channels(tap) for tap in taps], recipe.widths)
        generator.to(self.device, memory_format=torch.channels_last)
        average = copy.deepcopy(generator).requires_grad_(False)
        with seeded(options.seed, "tom discriminator"):
            discriminator = GramDiscriminator({tap: channels(tap) for tap in recipe.style_taps}).to(
                self.device
            )
        return Networks(
            generator,
            average,
            discriminator,
            torch.optim.Adam(generator.parameters(), recipe.generator_rate, recipe.betas),
            torch.optim.Adam(discriminator.parameters(), recipe.discriminator_rate, recipe.betas),
        )

    def batches(self) -> Prefetch:
        """(step, window) -> `Batch` on the CPU.

        The random pairing of Eq. 4: window None picks from all drawings, a number from that neighbourhood alone.
        """
        return Prefetch(self.batch)

    def batch(self, step: int, window: int | None) -> Batch:
        count, first = self.options.batch_size, step * self.options.batch_size
        photos = [self.photos.crop(first + i) for i in range(count)]
        if window is None:
            drawings = [self.drawings.crop(first + i) for i in range(count)]
        else:
            picks = numpy_generator(self.options.seed, "tom window", step).choice(self.group(window), count)
            drawings = [self.drawings.crop_of(int(pick), first + i) for i, pick in enumerate(picks)]
        originals = drawings[: self.recipe.num_coloured if self.recipe.coloured_weight else 0]
        filled = [
            coloured(
                original[..., 0],
                np.stack(photos),
                self.recipe.pattern_contrast,
                numpy_generator(self.options.seed, "tom coloured", first + i),
            )
            for i, original in enumerate(originals)
        ]
        calm = [smoothed(photo, self.recipe.smoothing) for photo in photos] if self.recipe.smoothing else []
        return Batch(*(_stack(pictures) for pictures in (photos, calm, drawings, filled, originals)))

    def group(self, window: int) -> list[int]:
        """The drawings of a style window, by index."""
        return self.groups[window % len(self.groups)]

    def step(self, batch: Batch) -> dict[str, float]:
        """One update of D and one of G; returns the losses.

        Raises FloatingPointError before the optimiser steps when a loss is not finite.
        """
        net, recipe = self.networks, self.recipe
        net.generator.train()
        seen = list({*recipe.style_taps, *recipe.content_taps})
        with torch.no_grad():
            photo_features = self._features(self._here(batch.photos))
            content = photo_features
            if len(batch.smoothed):
                content = self.encoder(self._here(batch.smoothed), recipe.content_taps)
            drawing_features = self.encoder(self._here(batch.drawings), seen)
        sketches = net.generator(self._prepared(photo_features))
        sketch_features = self.encoder(sketches.expand(-1, 3, -1, -1), seen)

        # D: Eq. 5.
        net.discriminator.requires_grad_(True)
        detached = {tap: features.detach() for tap, features in sketch_features.items()}
        loss_d = self.discriminator_loss(net.discriminator(drawing_features), net.discriminator(detached))
        _update(net.optimizer_d, loss_d, "discriminator")

        # G: Eq. 6, the Gram term of the authors' code, and drawings found again under colour.
        net.discriminator.requires_grad_(False)
        losses = {
            "adversarial": self.generator_loss(net.discriminator(sketch_features)),
            "content": sum(
                content_loss(sketch_features[tap], content[tap], drawing_features[tap])
                for tap in recipe.content_taps
            )
            / len(recipe.content_taps),
            "gram": gram_loss({tap: sketch_features[tap] for tap in recipe.style_taps}, drawing_features),
        }
        weights = {
            "adversarial": recipe.adversarial_weight,
            "content": recipe.content_weight,
            "gram": recipe.gram_weight,
        }
        if recipe.coloured_weight:
            found = net.generator(self._prepared(self._features(self._here(batch.coloured))))
            losses["coloured"] = F.mse_loss(found, self._here(batch.originals)[:, :1])
            weights["coloured"] = recipe.coloured_weight
        _update(net.optimizer_g, sum(weights[name] * loss for name, loss in losses.items()), "generator")
        average_into(net.average, net.generator, recipe.average_decay)
        return {name: loss.item() for name, loss in ({"loss_d": loss_d} | losses).items()}

    @torch.no_grad()
    def evaluate(self, window: int | None = None) -> Evaluation:
        """Draw the validation photos with the averaged generator and score them; changes no state.

        window: whose drawings the realism is measured against; None: all.
        """
        group = self.group(window) if window is not None else list(range(len(self.groups)))
        sketches = self.networks.average.eval()(self._prepared(self.validation_features))
        features = self.encoder(sketches.expand(-1, 3, -1, -1), [*self.recipe.style_taps, LAYOUT_TAP])
        content = content_correlation(features[LAYOUT_TAP], self.validation_features[LAYOUT_TAP]).mean()
        distances = []
        for tap, grams in self.reference_grams.items():
            drawn = grams[group].mean(0)
            distances.append((gram(features[tap]).mean(0) - drawn).norm() / drawn.norm())
        pictures = ((sketches[:, 0] + 1) / 2).clamp(0, 1).float().cpu().numpy()
        return Evaluation(float(content), float(sum(distances) / len(distances)), pictures)

    @torch.no_grad()
    def _look_at_drawings(self) -> tuple[dict[str, Tensor], list[list[int]]]:
        """({tap: (M,C,C)} Gram matrices of the first M drawings, their neighbourhoods in style)."""
        whole = CropSampler(
            self.drawings.readers[:MAX_REFERENCES], self.options.size, self.options.seed, "tom", zoom=1.0
        )
        taps = [*self.recipe.style_taps, *MANNER_TAPS]
        parts = [
            self.encoder(self._here(to_tensor(whole.crop_of(index, index))), taps)
            for index in range(len(whole.readers))
        ]
        features = {tap: torch.cat([part[tap] for part in parts]) for tap in taps}
        groups = neighbourhoods(style_vectors({tap: features[tap] for tap in MANNER_TAPS}))
        return {tap: gram(features[tap]) for tap in self.recipe.style_taps}, groups

    def _here(self, images: Tensor) -> Tensor:
        # Channels last: a fifth less time for a step on a CPU with AVX-512.
        return images.to(self.device, memory_format=torch.channels_last)

    def _prepared(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        generator = self.networks.generator
        return generator.prepare({tap: features[tap] for tap in generator.taps})

    @torch.no_grad()
    def _features(self, photos: Tensor) -> dict[str, Tensor]:
        return self.encoder(photos, [*self.recipe.generator_taps, *self.recipe.content_taps, LAYOUT_TAP])


def _stack(pictures: Sequence[np.ndarray]) -> Tensor:
    return to_tensor(np.stack(pictures)) if pictures else torch.empty(0, 3, 1, 1)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, what: str) -> None:
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the {what}'s loss became {loss.item()}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def check_encoder(encoder: Encoder, recipe: TomRecipe, name: str) -> None:
    """Raise SketchforgeError if the encoder lacks a layer that TOM looks at."""
    wanted = {LAYOUT_TAP, *recipe.content_taps, *recipe.style_taps, *recipe.generator_taps}
    if missing := sorted(wanted - set(encoder.tap_names())):
        raise SketchforgeError(
            f"--encoder {name}: has no {', '.join(missing)}; TOM needs VGG layers up to relu4_1"
        )
