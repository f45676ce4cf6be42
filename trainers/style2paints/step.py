"""Training of Style2Paints V1: a sketch and the style hint of an image -> that image.

The residual U-net learns from absolute errors of its image and, through guide decoders, of what its middle holds
(Eqs. 1 and 2), and from a discriminator that sees the image alone. There are two discriminators, which take turns
step by step: an auxiliary classifier, which finds the style hint in real images and 0 in fake ones, and that of
DCGAN.

All randomness derives from (seed, purpose), so a killed run resumes with the same results.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sketchforge.checkpoints.style2paints import write_style2paints
from sketchforge.losses.absolute_error import absolute_error
from sketchforge.losses.adversarial import log_discriminator, log_generator
from sketchforge.losses.style2paints import auxiliary_discriminator, auxiliary_generator, entry_target
from sketchforge.models.autoencoder import channels_at
from sketchforge.models.encoder import Encoder
from sketchforge.models.style2paints import (
    DECODER_CHANNELS,
    ENCODER_CHANNELS,
    ENTRY,
    GuideDecoder,
    ResidualUnet,
    Style2Paints,
    UnetMaps,
    VectorDiscriminator,
)
from sketchforge.models.style_hint import StyleHint
from trainers.distributed import Ranks
from trainers.ema import ema_update, warmed_up_decay
from trainers.image_models.interface import MicroBatch
from trainers.optimization import LossSums, channels_last, check_finite_means, seed_torch, total_of
from trainers.players import build_optimizers, frozen
from trainers.safe_points import buffers_kept_on_error
from trainers.state import Stateful
from trainers.style2paints.recipe import DISCRIMINATORS, Style2PaintsRecipe

MIDDLE_SHARE = "middle_gradient_share"  # in the log, beside the losses
SHARE_EVERY = 10  # steps
LOSSES = (
    *("auxiliary_discriminator", "auxiliary_adversarial", "plain_discriminator", "plain_adversarial"),
    *("reconstruction", "entry_guide", "exit_guide", MIDDLE_SHARE),
)


@dataclass
class Style2PaintsNetworks:
    """The networks and optimisers that training updates."""

    unet: ResidualUnet
    ema: ResidualUnet  # of the U-net's weights; the file holds these
    guides: nn.ModuleDict  # "entry" and "exit", or none
    discriminators: nn.ModuleDict  # "auxiliary", "plain", or one of them
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer


class Style2PaintsTrainer:
    """Style2Paints' training step, and synthesis with its EMA weights.

    hint: with weights; this freezes it.
    """

    encoder: Encoder | None = None  # there is no perceptual loss

    def __init__(
        self,
        recipe: Style2PaintsRecipe,
        hint: StyleHint,
        seed: int,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
        ranks: Ranks = Ranks(),
    ) -> None:
        self.ranks = ranks
        self.recipe, self.device, self.precision = recipe, device, precision
        self.hint = channels_last(hint, device)
        self.turns = DISCRIMINATORS[recipe.discriminator]
        with seed_torch(seed, "style2paints"):
            unet = ResidualUnet(recipe.size, recipe.width, hint.size)
        with seed_torch(seed, "guides"):
            guides = _build_guides(recipe)
        discriminators = nn.ModuleDict()
        for name in self.turns:
            with seed_torch(seed, f"{name} discriminator"):
                num_outputs = hint.size if name == "auxiliary" else 1
                discriminators[name] = VectorDiscriminator(recipe.size, recipe.width, num_outputs)
        channels_last(unet, device)
        for modules in (guides, discriminators):
            channels_last(modules, device)
        ema = copy.deepcopy(unet).requires_grad_(False).eval()
        optimizers = build_optimizers(
            recipe, [*unet.parameters(), *guides.parameters()], discriminators.parameters()
        )
        self.networks = Style2PaintsNetworks(unet, ema, guides, discriminators, *optimizers)
        self.interruptible, self.changing = device.type == "cpu" and not compiled, False
        if compiled:
            for module in (unet, *guides.values(), *discriminators.values()):
                module.compile()

    def step(self, number: int, batch: Sequence[MicroBatch]) -> dict[str, float]:
        """Update U-net, guides and the discriminator whose turn it is, once; return the unweighted losses.

        Beside them, every SHARE_EVERY steps, the share of the U-net's gradient norm that its middle has.
        All losses use the networks as they were before the step. Raises FloatingPointError before the
        optimisers step when a loss is not finite. What raises while `changing` is false leaves the state as it
        was.
        """
        net, ranks = self.networks, self.ranks
        turn = self.turns[number % len(self.turns)]
        discriminator = net.discriminators[turn]
        net.optimizer_g.zero_grad(set_to_none=True)
        net.optimizer_d.zero_grad(set_to_none=True)
        sums = LossSums()
        with buffers_kept_on_error(net.unet, net.discriminators):
            for micro_batch in batch:
                real, hint = micro_batch["image"], self.hint(micro_batch["image"])
                maps = self._generate(micro_batch["sketch"], hint)
                loss_d = self._compute_discriminator_loss(turn, real, maps.image.detach(), hint)
                with frozen(discriminator):
                    losses_g = self._compute_generator_losses(turn, real, maps, hint)
                    (self._weigh(losses_g) / len(batch)).backward()
                (loss_d / len(batch)).backward()
                sums.add(losses_g | {f"{turn}_discriminator": loss_d})
            networks = (discriminator, net.unet, net.guides)
            ranks.average_gradients([x for network in networks for x in network.parameters()])
            if number % SHARE_EVERY == 0:
                share = gradient_share(net.unet.middle_parameters(), net.unet.parameters())
                sums.add({MIDDLE_SHARE: share})
            means = ranks.all_reduce_mean(sums, LOSSES)
            check_finite_means(means)
        self.changing = True
        for optimizer in (net.optimizer_d, net.optimizer_g):
            optimizer.step()  # the learning rates are constant
        ema_update(net.ema, net.unet, warmed_up_decay(number, self.recipe.ema_decay))
        self.changing = False
        return means

    def _generate(self, sketches: Tensor, hint: Tensor) -> UnetMaps:
        with self._autocast():
            maps = self.networks.unet(sketches, hint)
        return maps._replace(image=maps.image.float())

    def _compute_logits(self, turn: str, images: Tensor) -> Tensor:
        with self._autocast():
            return self.networks.discriminators[turn](images).float()

    def _compute_discriminator_loss(self, turn: str, real: Tensor, fake: Tensor, hint: Tensor) -> Tensor:
        real_logits, fake_logits = self._compute_logits(turn, real), self._compute_logits(turn, fake)
        if turn == "auxiliary":
            return auxiliary_discriminator(real_logits, fake_logits, hint)
        return log_discriminator(real_logits, fake_logits)

    def _compute_generator_losses(
        self, turn: str, real: Tensor, maps: UnetMaps, hint: Tensor
    ) -> dict[str, Tensor]:
        logits, guides = self._compute_logits(turn, maps.image), self.networks.guides
        adversarial = auxiliary_generator(logits, hint) if turn == "auxiliary" else log_generator(logits)
        losses = {
            f"{turn}_adversarial": adversarial,
            "reconstruction": absolute_error(maps.image, real),
        }
        if self.recipe.guides:
            with self._autocast():
                entry, exit_image = guides["entry"](maps.entry).float(), guides["exit"](maps.exit).float()
            losses["entry_guide"] = absolute_error(entry, entry_target(real, self.recipe.guide_target))
            losses["exit_guide"] = absolute_error(exit_image, real)
        return losses

    def _weigh(self, losses: Mapping[str, Tensor]) -> Tensor:
        """λ·[L1 + α·L1(entry, its target) + β·L1(exit)] + adversarial."""
        recipe = self.recipe
        weights = {
            "reconstruction": recipe.reconstruction,
            "entry_guide": recipe.reconstruction * recipe.entry_guide,
            "exit_guide": recipe.reconstruction * recipe.exit_guide,
        }
        return total_of(weights.get(name, 1.0) * loss for name, loss in losses.items())

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def stateful(self) -> dict[str, Stateful]:
        return dict(vars(self.networks))

    def extra(self) -> dict[str, Any]:
        return {}

    def load_extra(self, extra: Mapping[str, Any]) -> None: ...

    def write_model(self, path: Path, metadata: Mapping[str, Any]) -> None:
        write_style2paints(path, Style2Paints(self.networks.ema, self.hint), metadata)

    @torch.no_grad()
    def encode_style(self, images: Tensor) -> Tensor:
        """(B,3,S,S) in [-1, 1] -> the style hint (B,D), by the frozen network."""
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.hint(images).float()

    @torch.no_grad()
    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the EMA weights."""
        sketches, images = (
            tensor.to(self.device, memory_format=torch.channels_last) for tensor in (sketches, images)
        )
        return self.networks.ema(sketches, self.hint(images)).image.float()


def gradient_share(part: Iterable[nn.Parameter], whole: Iterable[nn.Parameter]) -> Tensor:
    """The norm of a part's gradient over that of the whole: a scalar in [0, 1], 0 where there is no gradient."""
    part_norm, norm = (
        torch.stack([x.grad.float().norm() for x in parameters if x.grad is not None]).norm()
        for parameters in (part, whole)
    )
    return torch.where(norm > 0, part_norm / norm, torch.zeros_like(norm))


def _build_guides(recipe: Style2PaintsRecipe) -> nn.ModuleDict:
    if not recipe.guides:
        return nn.ModuleDict()
    entry_channels, exit_channels = (
        channels_at(table, ENTRY, recipe.width) for table in (ENCODER_CHANNELS, DECODER_CHANNELS)
    )
    num_outputs = 1 if recipe.guide_target == "grey" else 3
    return nn.ModuleDict(
        {
            "entry": GuideDecoder(recipe.size, recipe.width, entry_channels, num_outputs),
            "exit": GuideDecoder(recipe.size, recipe.width, exit_channels, 3),
        }
    )
