"""The auto-encoder: a sketch drawn out in the manner of a picture (paper section 4.1, appendix A, Eqs. 7-12).

E_style looks at a picture and gives f_style, E_content looks at a sketch and gives f_content, G1 makes a picture of
both. It learns from single images: f_style of an image and f_content of one of its own sketches are to give the image
back (Eq. 12). What keeps style and content apart is learnt beside that: f_style stays the same when the image is
turned, flipped, cut and scaled, and tells it from others (Eqs. 7-8); f_content stays the same when another sketch of
the image, bolder and with holes, takes the sketch's place (Eq. 10), and does not tell images apart as styles do (Eq. 9).

Everything random derives from (seed, purpose, step), so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sketchforge.losses.autoencoder import (
    content_confusion,
    mismatched,
    perceptual,
    reconstruction,
    style_classification,
    triplet,
)
from sketchforge.models.autoencoder import AutoEncoder, StyleHead
from sketchforge.models.encoder import Encoder
from sketchforge.utils.seeding import torch_generator
from trainers.autoencoder.recipe import AeRecipe
from trainers.distributed import Ranks
from trainers.ema import average_into, seeded
from trainers.image_models.interface import PERCEPTUAL_TAPS

LATER = ("style_encoder", "decoder")  # what learns at the recipe's later rate


@dataclass
class AeNetworks:
    """What training changes."""

    model: AutoEncoder
    average: AutoEncoder  # of the model's weights over the last steps; it is what is kept
    head: StyleHead  # tells the images of the present subset apart (Eq. 8)
    optimizer: torch.optim.Optimizer
    head_optimizer: torch.optim.Optimizer


class AutoEncoding:
    """The procedure: one step, and pictures of where it stands.

    encoder: frozen, with PERCEPTUAL_TAPS; None where the perceptual objective is off.
    num_images: of the training set; it decides how many classes there are.
    """

    def __init__(
        self,
        recipe: AeRecipe,
        encoder: Encoder | None,
        num_images: int,
        seed: int,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
        ranks: Ranks = Ranks(),
    ) -> None:
        self.ranks = ranks
        self.recipe, self.seed, self.device, self.precision = recipe, seed, device, precision
        self.encoder = None if encoder is None else encoder.to(device, memory_format=torch.channels_last)
        self.rotates = num_images > recipe.num_classes
        self.num_classes = min(num_images, recipe.num_classes)
        self.group = 0  # which subset the classes are of
        self.networks = self._new_networks()
        if compiled:
            # In place, so that the names of the weights stay as they are.
            for module in self.networks.model.children():
                module.compile()

    def _new_networks(self) -> AeNetworks:
        recipe = self.recipe
        with seeded(self.seed, "auto-encoder"):
            model = AutoEncoder(recipe.size, recipe.width, recipe.style_dim, recipe.dmi, recipe.style)
            head = StyleHead(recipe.style_dim, self.num_classes)
        model.to(self.device, memory_format=torch.channels_last)
        head.reset(self.seed, self.group)
        head.to(self.device)
        average = copy.deepcopy(model).requires_grad_(False).eval()
        groups = [{"params": part.parameters(), "name": name} for name, part in model.named_children()]
        return AeNetworks(model, average, head, self._adam(groups), self._adam(head.parameters()))

    def _adam(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.recipe.rate, self.recipe.betas, fused=True)

    def step(self, number: int, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """One update from the parts of a batch (see `sketchforge.data`), gone through one after another.

        Returns the unweighted losses. Raises FloatingPointError before the optimisers step when one is not finite.
        """
        net, recipe = self.networks, self.recipe
        net.model.train()
        group = int(max(part["group"].max() for part in parts)) if self.rotates else 0
        self._turn_to(self.ranks.largest(group, self.device))
        net.optimizer.zero_grad(set_to_none=True)
        net.head_optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for place, part in enumerate(parts, start=self.ranks.number * len(parts)):
            losses = self.losses(part, torch_generator(self.seed, "mismatched", number, place))
            total = sum(getattr(recipe, name) * loss for name, loss in losses.items()) / len(parts)
            if not torch.isfinite(total):
                worst = ", ".join(f"{name} {loss.item():.3g}" for name, loss in losses.items())
                raise FloatingPointError(f"the loss became {total.item()} ({worst})")
            total.backward()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss.item() / len(parts)
        self.ranks.average_gradients(net.model.parameters())
        net.optimizer.step()
        if recipe.style_class:
            self.ranks.average_gradients(net.head.parameters())
            net.head_optimizer.step()
        average_into(net.average, net.model, recipe.average_decay)
        return self.ranks.mean(sums)

    def losses(self, part: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The objectives of Eq. 12 that have a weight, unweighted, of a part of a batch."""
        net, recipe = self.networks, self.recipe
        image, sketch = part["image"], part["sketch"]
        others = (
            self._others(part["index"], generator) if recipe.style_triplet or recipe.content_triplet else None
        )
        views = recipe.style_triplet or recipe.style_class
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            # One pass for an image and its view: half the calls, and batches twice as large to be normalised by.
            styles = net.model.encode_style(torch.cat([image, part["style_view"]]) if views else image)
            content = net.model.encode_content(sketch)
            variant = net.model.encode_content(part["variant"]).coarsest if recipe.content_triplet else None
            output = net.model.decode(content, styles[: len(image)])
        output, styles = output.float(), styles.float()
        style, view = styles[: len(image)], styles[len(image) :]
        coarsest = content.coarsest.float()
        losses = {}
        if recipe.reconstruction:
            losses["reconstruction"] = reconstruction(output, image)
        if recipe.perceptual:
            losses["perceptual"] = perceptual(self.encoder, output, image, PERCEPTUAL_TAPS)
        if recipe.style_triplet and others is not None:
            losses["style_triplet"] = triplet(view, style, style[others], recipe.margin)
        if recipe.style_class:
            labels, known = self._labels(part)
            if known.any():
                both = torch.cat([style[known], view[known]])
                losses["style_class"] = style_classification(net.head(both), labels[known].repeat(2))
        if recipe.content_triplet and others is not None:
            losses["content_triplet"] = triplet(variant.float(), coarsest, coarsest[others], recipe.margin)
        if recipe.content_class:
            losses["content_class"] = content_confusion(net.head, coarsest.mean((2, 3)))
        return losses

    def _others(self, index: Tensor, generator: torch.Generator) -> Tensor | None:
        """For each sample the place of one of another image; None where one image fills most of the batch."""
        try:
            return mismatched(index.cpu(), generator).to(self.device)
        except ValueError:  # where two passes over few images meet: no negatives, so no triplets this time
            return None

    def _labels(self, part: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(class of each sample, whether it belongs to the present subset): a batch may straddle two subsets."""
        if not self.rotates:
            return part["index"], torch.ones_like(part["index"], dtype=torch.bool)
        return part["label"], part["group"] == self.group

    def _turn_to(self, group: int) -> None:
        """A new subset of classes (appendix A.1): the head and its optimiser start afresh."""
        if group == self.group:
            return
        net, recipe = self.networks, self.recipe
        self.group = group
        net.head.reset(self.seed, group)
        net.head_optimizer = self._adam(net.head.parameters())
        for settings in net.optimizer.param_groups:
            settings["lr"] = recipe.later_rate if settings["name"] in LATER else recipe.rate

    def extra(self) -> dict[str, Any]:
        """Plain values that belong to a saved state."""
        return {"group": self.group}

    def resume(self, extra: Mapping[str, Any]) -> None:
        self.group = extra["group"]

    @torch.no_grad()
    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the averaged weights."""
        here = {"device": self.device, "memory_format": torch.channels_last}
        return self.networks.average.eval()(sketches.to(**here), images.to(**here)).float()
