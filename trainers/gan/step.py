"""The GAN that refines the auto-encoder's images (paper section 4.2, appendix A.4, Eqs. 13-14).

The auto-encoder is frozen: it decodes a sketch to an image in the style of another image, as sharp as a
squared error teaches. G2 maps that image, f_style and noise to a refined image. The discriminator D sees
neither sketch nor style and classifies images as real or fake. λ times the squared error keeps G2's output
close to the real image.

All randomness derives from (seed, purpose, step or position), so a killed run resumes with the same results.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sketchforge.checkpoints.synthesizer import write_synthesizer
from sketchforge.losses.adversarial import hinge_discriminator, hinge_generator, r1_penalty
from sketchforge.losses.autoencoder import perceptual, reconstruction, shift_alike
from sketchforge.losses.diff_augment import diff_augment
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.models.encoder import Encoder
from sketchforge.models.feature_discriminator import FeatureDiscriminator
from sketchforge.models.gan import Discriminator, Refiner
from sketchforge.models.noise import draw_noise
from sketchforge.utils.seeding import torch_generator
from trainers.batch_statistics import MeanStatistics
from trainers.distributed import Ranks
from trainers.ema import ema_update, warmed_up_decay
from trainers.gan.recipe import FEATURES, GanRecipe
from trainers.image_models.interface import PERCEPTUAL_TAPS, MicroBatch
from trainers.optimization import LossSums, channels_last, check_finite_means, seed_torch
from trainers.players import build_optimizers, frozen
from trainers.safe_points import buffers_kept_on_error
from trainers.state import Stateful

LOSSES = ("discriminator", "r1", "adversarial", "reconstruction", "perceptual")
R1_EVERY = 4  # steps; the penalty is 4 times as large there (lazy regularisation, Karras et al. 2020)


@dataclass
class GanNetworks:
    """The networks and optimisers that training updates."""

    refiner: Refiner
    ema: Refiner  # of G2's weights and buffers; the file holds these
    discriminator: Discriminator | FeatureDiscriminator
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer


class GanTrainer:
    """The GAN's training step, and synthesis with its EMA weights.

    autoencoder: trained, of the recipe's size; this freezes it. encoder: frozen, with PERCEPTUAL_TAPS, and
    those of a discriminator of features; None where neither needs it.
    """

    def __init__(
        self,
        recipe: GanRecipe,
        autoencoder: AutoEncoder,
        encoder: Encoder | None,
        seed: int,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
        ranks: Ranks = Ranks(),
    ) -> None:
        self.ranks = ranks
        self.recipe, self.seed, self.device, self.precision = recipe, seed, device, precision
        self.autoencoder = channels_last(autoencoder, device).eval().requires_grad_(False)
        self.encoder = None if encoder is None else channels_last(encoder, device)
        with seed_torch(seed, "refiner"):
            refiner = Refiner(
                recipe.size, recipe.width, autoencoder.style_dim, recipe.noise, autoencoder.padding
            )
        with seed_torch(seed, "discriminator"):
            discriminator = self._build_discriminator()
        refiner, discriminator = channels_last(refiner, device), channels_last(discriminator, device)
        ema = copy.deepcopy(refiner).requires_grad_(False).eval()
        optimizers = build_optimizers(recipe, refiner.parameters(), discriminator.parameters())
        self.networks = GanNetworks(refiner, ema, discriminator, *optimizers)
        self.interruptible, self.changing = device.type == "cpu" and not compiled, False
        if compiled:
            for module in (*self.autoencoder.children(), refiner, discriminator):
                module.compile()

    def _build_discriminator(self) -> Discriminator | FeatureDiscriminator:
        recipe = self.recipe
        if recipe.discriminator == FEATURES:
            assert self.encoder is not None  # by `plan_gan`
            return FeatureDiscriminator(self.encoder, recipe.width)
        return Discriminator(recipe.size, recipe.width, recipe.spectral_norm)

    def step(self, number: int, batch: Sequence[MicroBatch]) -> dict[str, float]:
        """Update D and G2 once from the micro-batches; return the unweighted losses.

        Both losses use the networks as they were before the step, so that each micro-batch is refined once.
        Raises FloatingPointError before the optimisers step when a loss is not finite. What raises while
        `changing` is false leaves the state as it was.
        """
        net, ranks = self.networks, self.ranks
        net.refiner.train()
        net.optimizer_g.zero_grad(set_to_none=True)
        net.optimizer_d.zero_grad(set_to_none=True)
        sums = LossSums()
        with buffers_kept_on_error(net.refiner, net.discriminator):
            statistics = MeanStatistics(len(batch), net.refiner, net.discriminator)
            for index, micro_batch in enumerate(batch):
                rng, real = (
                    torch_generator(self.seed, "augment", number, ranks.number_of(index)),
                    micro_batch["image"],
                )
                fake = self._refine(micro_batch)
                # D sees the fakes once for each loss: torch.compile cannot go back through one graph twice.
                loss_d, losses_d = self._compute_discriminator_loss(
                    real, fake.detach(), rng, number % R1_EVERY == 0
                )
                with frozen(net.discriminator):
                    loss_g, losses_g = self._compute_generator_loss(real, fake, rng)
                    (loss_g / len(batch)).backward()
                (loss_d / len(batch)).backward()
                sums.add(losses_d | losses_g)
                statistics.note()
            for network in (net.discriminator, net.refiner):
                ranks.average_gradients(network.parameters())
            statistics.finish(ranks)
            means = ranks.all_reduce_mean(sums, LOSSES)
            check_finite_means(means)
        self.changing = True
        for optimizer in (net.optimizer_d, net.optimizer_g):
            optimizer.step()  # the learning rates are constant
        ema_update(net.ema, net.refiner, warmed_up_decay(number, self.recipe.ema_decay))
        self.changing = False
        return means

    def _refine(self, micro_batch: MicroBatch) -> Tensor:
        """Decode sketches in their images' styles and refine them: (B,3,S,S) float32, with G2's gradient."""
        net, noise = self.networks, None
        if self.recipe.noise:
            positions = micro_batch["position"].tolist()
            noise = draw_noise(net.refiner.noise_sides, positions, self.seed, self.device)
        with self._autocast():
            with torch.no_grad():
                style = self.autoencoder.encode_style(micro_batch["image"])
                decoded = self.autoencoder.decode(
                    self.autoencoder.encode_content(micro_batch["sketch"]), style
                )
            fake = net.refiner(decoded.float(), style.float(), noise)
        return fake.float()

    def _compute_logits(self, images: Tensor, rng: torch.Generator) -> Tensor:
        with self._autocast():
            return self.networks.discriminator(diff_augment(images, self.recipe.augment, rng)).float()

    def _compute_discriminator_loss(
        self, real: Tensor, fake: Tensor, rng: torch.Generator, with_r1: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss of Eq. 13, its terms)."""
        discriminator, recipe = self.networks.discriminator, self.recipe
        discriminator.requires_grad_(True)
        real_logits, fake_logits = self._compute_logits(real, rng), self._compute_logits(fake, rng)
        loss = hinge_discriminator(real_logits, fake_logits)
        losses = {"discriminator": loss}
        if recipe.r1 and with_r1:
            # Not compiled, whatever `compiled` says: torch.compile has no gradient of a gradient.
            losses["r1"] = r1_penalty(discriminator.forward, real)
            loss = loss + R1_EVERY * recipe.r1 / 2 * losses["r1"]
        return loss, losses

    def _compute_generator_loss(
        self, real: Tensor, fake: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss of Eq. 14, its terms)."""
        recipe = self.recipe
        losses = {"adversarial": hinge_generator(self._compute_logits(fake, rng))}
        losses["reconstruction"] = reconstruction(fake, real)
        loss = losses["adversarial"] + recipe.reconstruction * losses["reconstruction"]
        if self.encoder is not None and recipe.perceptual:
            with self._autocast():
                shifted = shift_alike(fake, real, rng)
                losses["perceptual"] = perceptual(self.encoder, *shifted, PERCEPTUAL_TAPS)
            loss = loss + recipe.perceptual * losses["perceptual"]
        return loss, losses

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def stateful(self) -> dict[str, Stateful]:
        return dict(vars(self.networks))

    def extra(self) -> dict[str, Any]:
        return {}

    def load_extra(self, extra: Mapping[str, Any]) -> None: ...

    def write_model(self, path: Path, metadata: Mapping[str, Any]) -> None:
        write_synthesizer(path, self.autoencoder, self.networks.ema, metadata)

    @torch.no_grad()
    def encode_style(self, images: Tensor) -> Tensor:
        """(B,3,S,S) in [-1, 1] -> f_style (B,D), by the frozen auto-encoder."""
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.autoencoder.encode_style(images).float()

    @torch.no_grad()
    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the EMA weights, without noise."""
        images = images.to(self.device, memory_format=torch.channels_last)
        sketches = sketches.to(self.device, memory_format=torch.channels_last)
        style = self.autoencoder.encode_style(images)
        decoded = self.autoencoder.decode(self.autoencoder.encode_content(sketches), style)
        return self.networks.ema.eval()(decoded, style).float()
