"""TOM: Train Once and get Multiple transfers (paper section 3, Eqs. 1-6).

A generator G learns to draw photos R in the manner of drawings S. It sees the features f_c = E(I_c) of a photo and
draws I_c2s = G(f_c); the same frozen encoder looks at the result, f̂ = E(I_c2s). A discriminator on Gram matrices says
whether f̂ goes together as a drawing's features do, and f̂ is to have the photo's layout under the statistics of a
drawing picked at random at every step (Eq. 4). Because that drawing changes, so does the manner of G: snapshots taken
along the way are different styles.

Everything random derives from (seed, purpose, step), so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sketchforge.device import choose_device
from sketchforge.errors import SketchforgeError
from sketchforge.features import content_correlation, gram
from sketchforge.images import to_tensor
from sketchforge.losses import ADVERSARIAL, content_loss, gram_loss
from sketchforge.models.encoder import Encoder
from sketchforge.models.tom import GENERATORS, GramDiscriminator
from sketchforge.options import TomTrainOptions
from sketchforge.seeding import derive_seed, numpy_generator
from trainers.crops import CropSampler, Prefetch
from trainers.styles import neighbourhoods, style_vectors

CONTENT_TAP = "relu3_1"  # of Eqs. 1-4. Departure from the authors' pool3: relu3_1 still knows where a line runs
STYLE_TAPS = ("relu2_1", "relu3_1", "relu4_1")  # judged by D and by the Gram term
GENERATOR_TAPS = {"lean": ("relu3_1", "relu2_1", "relu1_1"), "paper": ("pool3",)}
CONTENT_WEIGHT = 1.0  # taps have unit deviation here; the authors' 0.2 belongs to raw VGG16 features
GRAM_WEIGHT = 1.0  # of a loss relative to the drawings' own Gram matrices; the authors' 2000 to theirs
GENERATOR_RATE = {"lean": 1e-3, "paper": 2e-4}  # 2e-4 as published suits 4.7 M parameters; 58 thousand want more
DISCRIMINATOR_RATE = 2e-4
BETAS = (0.5, 0.99)
NUM_EVALUATIONS = 25  # over the whole run; each one after settling ends a style window and is a candidate
NUM_VALIDATION_IMAGES = 8
MAX_REFERENCES = 128  # drawings that styles and realism are measured on
MANNER_TAPS = ("relu1_1", "relu2_1")  # fine layers: how lines are drawn rather than what of


@dataclass
class Networks:
    """What training changes, and what a saved state holds."""

    generator: nn.Module
    discriminator: nn.Module
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer

    def state(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in vars(self).items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, part in vars(self).items():
            part.load_state_dict(state[name])


@dataclass(frozen=True)
class Evaluation:
    """Scores on the validation photos, and the sketches themselves (V,H,W) float32 in [0, 1]."""

    content: float  # correlation of layout between sketch and photo features, higher is better
    realism: float  # relative distance of Gram statistics to those of the drawings imitated, lower is better
    sketches: np.ndarray


class Tom:
    """The procedure for one set of inputs: batches, one step, one evaluation.

    encoder: frozen, with CONTENT_TAP, STYLE_TAPS and the generator's taps. photos, drawings: functions that return
    uint8 H×W×3 RGB.
    """

    def __init__(
        self,
        options: TomTrainOptions,
        encoder: Encoder,
        photos: Sequence[Callable[[], np.ndarray]],
        drawings: Sequence[Callable[[], np.ndarray]],
    ) -> None:
        self.options = options
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
        options, channels = self.options, self.encoder.tap_channels
        taps = GENERATOR_TAPS[options.generator]
        with _seeded(options.seed, "tom generator"):
            generator = GENERATORS[options.generator](taps, [channels(tap) for tap in taps])
        generator.to(self.device, memory_format=torch.channels_last)
        with _seeded(options.seed, "tom discriminator"):
            discriminator = GramDiscriminator({tap: channels(tap) for tap in STYLE_TAPS}).to(self.device)
        return Networks(
            generator,
            discriminator,
            torch.optim.Adam(generator.parameters(), GENERATOR_RATE[options.generator], BETAS),
            torch.optim.Adam(discriminator.parameters(), DISCRIMINATOR_RATE, BETAS),
        )

    def batches(self) -> Prefetch:
        """(step, window) -> (photos, drawings), each (B,3,H,W) in [-1, 1] on the CPU.

        The random pairing of Eq. 4: window None picks from all drawings, a number from that neighbourhood alone.
        """
        count = self.options.batch_size

        def make(step: int, window: int | None) -> tuple[Tensor, Tensor]:
            photos = self.photos.batch(step, count)
            if window is None:
                return photos, self.drawings.batch(step, count)
            group, first = self.group(window), step * count
            picks = numpy_generator(self.options.seed, "tom window", step).choice(group, count)
            crops = [self.drawings.crop_of(int(pick), first + i) for i, pick in enumerate(picks)]
            return photos, torch.cat([to_tensor(crop) for crop in crops])

        return Prefetch(make)

    def group(self, window: int) -> list[int]:
        """The drawings of a style window, by index."""
        return self.groups[window % len(self.groups)]

    def step(self, photos: Tensor, drawings: Tensor) -> dict[str, float]:
        """One update of D and one of G; returns the losses.

        Raises FloatingPointError before the optimiser steps when a loss is not finite.
        """
        net = self.networks
        net.generator.train()
        with torch.no_grad():
            photo_features = self._features(self._here(photos))
            drawing_features = self.encoder(self._here(drawings), [*STYLE_TAPS, CONTENT_TAP])
        sketches = net.generator(self._prepared(photo_features))
        sketch_features = self.encoder(sketches.expand(-1, 3, -1, -1), [*STYLE_TAPS, CONTENT_TAP])

        # D: Eq. 5.
        net.discriminator.requires_grad_(True)
        detached = {tap: features.detach() for tap, features in sketch_features.items()}
        loss_d = self.discriminator_loss(net.discriminator(drawing_features), net.discriminator(detached))
        _update(net.optimizer_d, loss_d, "discriminator")

        # G: Eq. 6, and the Gram term of the authors' code.
        net.discriminator.requires_grad_(False)
        adversarial = self.generator_loss(net.discriminator(sketch_features))
        content = content_loss(
            sketch_features[CONTENT_TAP], photo_features[CONTENT_TAP], drawing_features[CONTENT_TAP]
        )
        style = gram_loss({tap: sketch_features[tap] for tap in STYLE_TAPS}, drawing_features)
        loss_g = adversarial + CONTENT_WEIGHT * content + GRAM_WEIGHT * style
        _update(net.optimizer_g, loss_g, "generator")
        losses = {"loss_d": loss_d, "adversarial": adversarial, "content": content, "gram": style}
        return {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def evaluate(self, window: int | None = None) -> Evaluation:
        """Draw the validation photos with the present generator and score them; changes no state.

        window: whose drawings the realism is measured against; None: all.
        """
        group = self.group(window) if window is not None else list(range(len(self.reference_grams[STYLE_TAPS[0]])))
        generator = self.networks.generator.eval()
        sketches = generator(self._prepared(self.validation_features))
        features = self.encoder(sketches.expand(-1, 3, -1, -1), [*STYLE_TAPS, CONTENT_TAP])
        content = content_correlation(features[CONTENT_TAP], self.validation_features[CONTENT_TAP]).mean()
        distances = []
        for tap, grams in self.reference_grams.items():
            drawn = grams[group].mean(0)
            distances.append((gram(features[tap]).mean(0) - drawn).norm() / drawn.norm())
        pictures = ((sketches[:, 0] + 1) / 2).clamp(0, 1).float().cpu().numpy()
        return Evaluation(float(content), float(sum(distances) / len(distances)), pictures)

    @torch.no_grad()
    def _look_at_drawings(self) -> tuple[dict[str, Tensor], list[list[int]]]:
        """({tap: (M,C,C)} Gram matrices of the first M drawings, their neighbourhoods in style)."""
        whole = CropSampler(self.drawings.readers[:MAX_REFERENCES], self.options.size, self.options.seed, "tom", zoom=1.0)
        taps = [*STYLE_TAPS, *MANNER_TAPS]
        parts = [
            self.encoder(self._here(to_tensor(whole.crop_of(index, index))), taps)
            for index in range(len(whole.readers))
        ]
        features = {tap: torch.cat([part[tap] for part in parts]) for tap in taps}
        groups = neighbourhoods(style_vectors({tap: features[tap] for tap in MANNER_TAPS}))
        return {tap: gram(features[tap]) for tap in STYLE_TAPS}, groups

    def _here(self, images: Tensor) -> Tensor:
        # Channels last: a fifth less time for a step on a CPU with AVX-512.
        return images.to(self.device, memory_format=torch.channels_last)

    def _prepared(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        generator = self.networks.generator
        return generator.prepare({tap: features[tap] for tap in generator.taps})

    @torch.no_grad()
    def _features(self, photos: Tensor) -> dict[str, Tensor]:
        return self.encoder(photos, [*GENERATOR_TAPS[self.options.generator], CONTENT_TAP])


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, what: str) -> None:
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the {what}'s loss became {loss.item()}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


@contextmanager
def _seeded(seed: int, purpose: str) -> Iterator[None]:
    """Layers draw their first weights from torch's global generator: lend them one of our own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, purpose))
        yield


def check_encoder(encoder: Encoder, options: TomTrainOptions) -> None:
    """Raise SketchforgeError if the encoder lacks a layer that TOM looks at."""
    wanted = {CONTENT_TAP, *STYLE_TAPS, *GENERATOR_TAPS[options.generator]}
    if missing := sorted(wanted - set(encoder.tap_names())):
        raise SketchforgeError(
            f"--encoder {options.encoder}: has no {', '.join(missing)}; TOM needs VGG layers up to relu4_1"
        )
