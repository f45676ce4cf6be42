"""The GAN that refines the auto-encoder's pictures (paper section 4.2, appendix A.4, Eqs. 13-14).

The auto-encoder is frozen: it draws a sketch out in the style of an image, as far as a squared error teaches. G2 is
given that picture, f_style and noise, and adds what is missing; a discriminator D, which sees neither sketch nor style,
says whether a picture looks like one of the collection. G2 is held to the image by λ times the squared error.

Everything random derives from (seed, purpose, step or position), so a run that was killed goes on as if nothing had
happened.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sketchforge.losses.adversarial import hinge_discriminator, hinge_generator, r1_penalty
from sketchforge.losses.autoencoder import perceptual, reconstruction
from sketchforge.losses.diff_augment import diff_augment
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.models.encoder import Encoder
from sketchforge.models.gan import Discriminator, Refiner
from sketchforge.models.noise import draw_noise
from sketchforge.utils.seeding import torch_generator
from trainers.distributed import Ranks
from trainers.ema import average_into, seeded
from trainers.gan.recipe import GanRecipe
from trainers.image_models.interface import PERCEPTUAL_TAPS

R1_EVERY = 4  # steps; in those it weighs as much as in all together (lazy regularisation, Karras et al. 2020)


@dataclass
class GanNetworks:
    """What training changes."""

    refiner: Refiner
    average: Refiner  # of G2's weights and buffers over the last steps; it is what is kept
    discriminator: Discriminator
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer


class Refining:
    """The procedure: one step, and pictures of where it stands.

    autoencoder: trained, of the recipe's size; it is frozen. encoder: frozen, with PERCEPTUAL_TAPS, or None where the
    perceptual objective is off.
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
        here = {"device": device, "memory_format": torch.channels_last}
        self.autoencoder = autoencoder.to(**here).eval().requires_grad_(False)
        self.encoder = None if encoder is None else encoder.to(**here)
        with seeded(seed, "refiner"):
            refiner = Refiner(recipe.size, recipe.width, autoencoder.style_dim, recipe.noise).to(**here)
        with seeded(seed, "discriminator"):
            discriminator = Discriminator(recipe.size, recipe.width).to(**here)
        average = copy.deepcopy(refiner).requires_grad_(False).eval()
        optimizers = (
            torch.optim.Adam(module.parameters(), rate, recipe.betas, fused=True)
            for module, rate in ((refiner, recipe.rate), (discriminator, recipe.discriminator_rate))
        )
        self.networks = GanNetworks(refiner, average, discriminator, *optimizers)
        if compiled:
            for module in (self.autoencoder, refiner, discriminator):
                module.compile()

    def step(self, number: int, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """One update of D and of G2 from the parts of a batch (see `sketchforge.pairs`).

        Both are judged as they were before the step, so that each part's pictures are made once.
        Returns the unweighted losses. Raises FloatingPointError before anything steps when one is not finite.
        """
        net = self.networks
        net.refiner.train()
        net.optimizer_g.zero_grad(set_to_none=True)
        net.optimizer_d.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for place, part in enumerate(parts, start=self.ranks.number * len(parts)):
            draw = torch_generator(self.seed, "augment", number, place)
            losses = self._part(number, part, draw, len(parts))
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss / len(parts)
        for player, optimizer in ((net.discriminator, net.optimizer_d), (net.refiner, net.optimizer_g)):
            self.ranks.average_gradients(player.parameters())
            optimizer.step()
        # Over the last ninth of the steps so far, until that is more than the recipe's: short runs average, too.
        average_into(net.average, net.refiner, min(self.recipe.average_decay, (number + 1) / (number + 10)))
        return self.ranks.mean(sums)

    def _part(
        self, number: int, part: Mapping[str, Tensor], draw: torch.Generator, count: int
    ) -> dict[str, float]:
        """Add the gradients of one part of `count`."""
        net, recipe, real = self.networks, self.recipe, part["image"]
        noise = None
        if recipe.noise:
            noise = draw_noise(net.refiner.noise_sides, part["position"].tolist(), self.seed).to(self.device)
        with self._autocast():
            with torch.no_grad():
                style = self.autoencoder.encode_style(real)
                made = self.autoencoder.decode(self.autoencoder.encode_content(part["sketch"]), style)
            fake = net.refiner(made.float(), style.float(), noise)
        fake = fake.float()

        # D: Eq. 13, the standard hinge; as printed, the sign of the real term is the other way round.
        net.discriminator.requires_grad_(True)
        with self._autocast():
            judged_real = net.discriminator(diff_augment(real, recipe.augment, draw)).float()
            judged_fake = net.discriminator(diff_augment(fake.detach(), recipe.augment, draw)).float()
        loss_d = hinge_discriminator(judged_real, judged_fake)
        losses = {"discriminator": loss_d}
        if recipe.r1 and number % R1_EVERY == 0:
            losses["r1"] = r1_penalty(net.discriminator, real)
            loss_d = loss_d + R1_EVERY * recipe.r1 / 2 * losses["r1"]

        # G2: Eq. 14.
        net.discriminator.requires_grad_(False)
        with self._autocast():
            judged = net.discriminator(diff_augment(fake, recipe.augment, draw)).float()
        losses["adversarial"] = hinge_generator(judged)
        losses["reconstruction"] = reconstruction(fake, real)
        loss_g = losses["adversarial"] + recipe.reconstruction * losses["reconstruction"]
        if recipe.perceptual:
            losses["perceptual"] = perceptual(self.encoder, fake, real, PERCEPTUAL_TAPS)
            loss_g = loss_g + recipe.perceptual * losses["perceptual"]

        for total in (loss_d, loss_g):
            if not torch.isfinite(total):
                worst = ", ".join(f"{name} {loss.item():.3g}" for name, loss in losses.items())
                raise FloatingPointError(f"the loss became {total.item()} ({worst})")
        (loss_g / count).backward()
        net.discriminator.requires_grad_(True)
        (loss_d / count).backward()
        return {name: loss.item() for name, loss in losses.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def extra(self) -> dict[str, Any]:
        return {}

    def resume(self, extra: Mapping[str, Any]) -> None: ...

    @torch.no_grad()
    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the averaged weights and without noise."""
        here = {"device": self.device, "memory_format": torch.channels_last}
        style = self.autoencoder.encode_style(images.to(**here))
        made = self.autoencoder.decode(self.autoencoder.encode_content(sketches.to(**here)), style)
        return self.networks.average.eval()(made, style).float()
