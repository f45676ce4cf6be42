"""TOM: Train Once and get Multiple transfers (paper section 3, Eqs. 1-6).

A generator G learns to draw photos R in the style of drawings S. It sees the features f_c = E(I_c) of a photo and
draws I_c2s = G(f_c); the same frozen encoder looks at the result, f̂ = E(I_c2s). A discriminator on Gram matrices says
whether f̂ goes together as a drawing's features do, and f̂ is to have the photo's layout under the statistics of a
drawing picked at random at every step (Eq. 4). Because that drawing changes, so does the style of G: snapshots taken
along the way are different styles.

Everything random derives from (seed, purpose, step), so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Mapping, Sequence
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
from trainers.ema import ema_update
from trainers.optimization import channels_last, check_finite, seeded, total_of
from trainers.state import Stateful
from trainers.tom.recipe import TomRecipe
from trainers.tom.style_windows import neighbourhoods, style_vectors
from trainers.tom.synthetic_photos import denoise, synthesize_photo

LAYOUT_TAP = "relu3_1"  # where the validation asks whether sketch and photo have the same layout
NUM_VALIDATION_IMAGES = 8
MAX_REFERENCES = 128  # drawings that styles and realism are measured on
FINE_TAPS = ("relu1_1", "relu2_1")  # fine layers: how lines are drawn rather than what of


@dataclass
class Networks:
    """What training changes, and what a saved state holds."""

    generator: nn.Module
    ema: nn.Module  # of the generator's weights; it is what draws
    discriminator: nn.Module
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer


@dataclass(frozen=True)
class Batch:
    """What a step sees, each (·,3,H,W) float32 in [-1, 1]; what the recipe does without is empty."""

    photos: Tensor
    denoised: Tensor  # the photos without their texture: where the content of Eq. 4 is taken from
    drawings: Tensor
    synthetic: Tensor  # photos made from drawings
    originals: Tensor  # those drawings


@dataclass(frozen=True)
class TomEvaluation:
    """Scores on the validation photos, and the sketches themselves (V,H,W) float32 in [0, 1]."""

    content: float  # correlation of layout between sketch and photo features, higher is better
    realism: float  # relative distance of Gram statistics to those of the drawings imitated, lower is better
    sketches: np.ndarray


class TomTrainer:
    """Batches, one step and one evaluation, for one set of inputs.

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
        self.encoder = channels_last(encoder, self.device)
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
        channels_last(generator, self.device)
        ema = copy.deepcopy(generator).requires_grad_(False)
        with seeded(options.seed, "tom discriminator"):
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
        """The batches of the steps from `start` on; each is prepared while the one before is trained on."""
        prefetch = Prefetch(self.batch)
        try:
            for step in range(start, steps):
                yield prefetch.get((step, window_of(step)), (step + 1, window_of(step + 1)))
        finally:
            prefetch.close()

    def batch(self, step: int, window: int | None) -> Batch:
        """The random pairing of Eq. 4, on the CPU: window None picks from all drawings, a number from its group."""
        count, first = self.options.batch_size, step * self.options.batch_size
        seed, recipe = self.options.seed, self.recipe
        photos = [self.photos.crop(first + i) for i in range(count)]
        if window is None:
            drawings = [self.drawings.crop(first + i) for i in range(count)]
        else:
            picks = numpy_generator(seed, "tom window", step).choice(self.group(window), count)
            drawings = [self.drawings.crop_of(int(pick), first + i) for i, pick in enumerate(picks)]
        originals = drawings[: recipe.num_synthetic if recipe.synthetic_weight else 0]
        synthetic = []
        for i, original in enumerate(originals):
            rng = numpy_generator(seed, "tom coloured", first + i)
            synthetic.append(
                synthesize_photo(original[..., 0], np.stack(photos), recipe.pattern_contrast, rng)
            )
        calm = [denoise(photo, recipe.denoising) for photo in photos] if recipe.denoising else []
        return Batch(*(_stack(images) for images in (photos, calm, drawings, synthetic, originals)))

    def group(self, window: int) -> list[int]:
        """The drawings of a style window, by index."""
        return self.groups[window % len(self.groups)]

    def step(self, number: int, batch: Batch) -> dict[str, float]:
        """One update of D, then one of G; returns the unweighted losses.

        Raises FloatingPointError before the optimiser steps when a loss is not finite.
        """
        net, recipe = self.networks, self.recipe
        net.generator.train()
        with torch.no_grad():
            photos = self._features(self._here(batch.photos))
            content = photos
            if len(batch.denoised):
                content = self.encoder(self._here(batch.denoised), recipe.content_taps)
            drawings = self.encoder(self._here(batch.drawings), self._seen_taps())
        images = net.generator(self._prepared(photos))
        sketches = self.encoder(images.expand(-1, 3, -1, -1), self._seen_taps())

        net.discriminator.requires_grad_(True)
        detached = {tap: features.detach() for tap, features in sketches.items()}
        loss_d = self.discriminator_loss(net.discriminator(drawings), net.discriminator(detached))  # Eq. 5
        check_finite(loss_d, "the discriminator's loss")
        _update(net.optimizer_d, loss_d)

        net.discriminator.requires_grad_(False)
        losses = self._generator_losses(batch, content, drawings, sketches)
        weights = {name: getattr(recipe, f"{name}_weight") for name in losses}
        loss_g = total_of(weights[name] * loss for name, loss in losses.items())
        check_finite(loss_g, "the generator's loss")
        _update(net.optimizer_g, loss_g)  # the learning rates stay as they are
        ema_update(net.ema, net.generator, recipe.ema_decay)
        return {name: loss.item() for name, loss in ({"discriminator": loss_d} | losses).items()}

    def _generator_losses(
        self,
        batch: Batch,
        content: Mapping[str, Tensor],
        drawings: Mapping[str, Tensor],
        sketches: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Eq. 6, Eq. 4, the Gram term of the authors' code, and drawings found again in synthetic photos."""
        net, recipe = self.networks, self.recipe
        # In this order: gradients are added up in the order of the terms, and to the last bit that matters.
        losses = {"adversarial": self.generator_loss(net.discriminator(sketches))}
        of_taps = [content_loss(sketches[tap], content[tap], drawings[tap]) for tap in recipe.content_taps]
        losses["content"] = total_of(of_taps) / len(of_taps)
        losses["gram"] = gram_loss({tap: sketches[tap] for tap in recipe.style_taps}, drawings)
        if recipe.synthetic_weight:
            drawn = net.generator(self._prepared(self._features(self._here(batch.synthetic))))
            losses["synthetic"] = F.mse_loss(drawn, self._here(batch.originals)[:, :1])
        return losses

    @torch.no_grad()
    def evaluate(self, window: int | None = None, generator: nn.Module | None = None) -> TomEvaluation:
        """Draw the validation photos and score the sketches; changes no state.

        window: whose drawings the realism is measured against; None: all. generator: None: the averaged one.
        """
        group = self.group(window) if window is not None else list(range(len(self.groups)))
        generator = self.networks.ema if generator is None else generator
        sketches = generator.eval()(self._prepared(self.validation_features))
        features = self.encoder(sketches.expand(-1, 3, -1, -1), [*self.recipe.style_taps, LAYOUT_TAP])
        content = content_correlation(features[LAYOUT_TAP], self.validation_features[LAYOUT_TAP]).mean()
        distances = []
        for tap, grams in self.reference_grams.items():
            drawn = grams[group].mean(0)
            distances.append((gram(features[tap]).mean(0) - drawn).norm() / drawn.norm())
        levels = ((sketches[:, 0] + 1) / 2).clamp(0, 1).float().cpu().numpy()
        return TomEvaluation(float(content), float(sum(distances) / len(distances)), levels)

    def stateful(self) -> dict[str, Stateful]:
        """What a saved state holds: networks and optimisers by name."""
        return dict(vars(self.networks))

    @torch.no_grad()
    def _look_at_drawings(self) -> tuple[dict[str, Tensor], list[list[int]]]:
        """({tap: (M,C,C)} Gram matrices of the first M drawings, their neighbourhoods in style)."""
        whole = CropSampler(
            self.drawings.readers[:MAX_REFERENCES], self.options.size, self.options.seed, "tom", zoom=1.0
        )
        taps = [*self.recipe.style_taps, *FINE_TAPS]
        of_each = [
            self.encoder(self._here(to_tensor(whole.crop_of(index, index))), taps)
            for index in range(len(whole.readers))
        ]
        features = {tap: torch.cat([each[tap] for each in of_each]) for tap in taps}
        groups = neighbourhoods(style_vectors({tap: features[tap] for tap in FINE_TAPS}))
        return {tap: gram(features[tap]) for tap in self.recipe.style_taps}, groups

    def _seen_taps(self) -> list[str]:
        """Where sketches and drawings are compared."""
        return list(dict.fromkeys((*self.recipe.style_taps, *self.recipe.content_taps)))

    def _here(self, images: Tensor) -> Tensor:
        return images.to(self.device, memory_format=torch.channels_last)

    def _prepared(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        generator = self.networks.generator
        return generator.prepare({tap: features[tap] for tap in generator.taps})

    @torch.no_grad()
    def _features(self, photos: Tensor) -> dict[str, Tensor]:
        return self.encoder(photos, [*self.recipe.generator_taps, *self.recipe.content_taps, LAYOUT_TAP])


def _stack(images: Sequence[np.ndarray]) -> Tensor:
    return to_tensor(np.stack(images)) if images else torch.empty(0, 3, 1, 1)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
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
