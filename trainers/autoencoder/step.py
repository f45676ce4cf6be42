"""Training of the auto-encoder: sketch and style to image (paper section 4.1, appendix A, Eqs. 7-12).

E_style maps an image to f_style, E_content maps a sketch to f_content, and G1 decodes both to an image. The
model learns from single images: G1 reconstructs an image from the f_style of a translation of it and the
f_content of a transformed sketch of it (Eq. 12): the layout of the image is not to be had from its style. A
share of each batch is decoded from the image's own f_style and the plain sketch. Self-supervised losses
separate style from content. f_style stays the same when the image is turned, flipped, cut and scaled, and
differs between images (Eqs. 7-8). f_content stays the same for another sketch of the image, with bolder lines
and holes (Eq. 10), and does not identify images as f_style does (Eq. 9).

All randomness derives from (seed, purpose, step), so a killed run resumes with the same results.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from sketchforge.checkpoints.autoencoder import write_autoencoder
from sketchforge.losses.autoencoder import (
    content_confusion,
    derange,
    perceptual,
    reconstruction,
    sample_style,
    shift_alike,
    style_classification,
    style_prior,
    triplet,
)
from sketchforge.models.autoencoder import AutoEncoder, ContentFeatures, StyleHead
from sketchforge.models.encoder import Encoder
from sketchforge.utils.device import to_device
from sketchforge.utils.seeding import torch_generator
from trainers.autoencoder.recipe import LOSSES, AeRecipe
from trainers.batch_statistics import MeanStatistics
from trainers.distributed import Ranks
from trainers.ema import ema_update
from trainers.image_models.interface import PERCEPTUAL_TAPS, MicroBatch
from trainers.optimization import (
    LossSums,
    channels_last,
    check_finite_means,
    seed_torch,
    set_learning_rate,
    total_of,
)
from trainers.safe_points import buffers_kept_on_error
from trainers.state import Stateful

EncodedT = TypeVar("EncodedT", Tensor, ContentFeatures)

PLAIN_LOSS = "plain_reconstruction"  # of the second optimiser step, in the log

LATER = ("style_encoder", "decoder")  # these learn at the recipe's later learning rate


@dataclass
class AeNetworks:
    """The networks and optimisers that training updates."""

    model: AutoEncoder
    ema: AutoEncoder  # of the model's weights; the file holds these
    head: StyleHead  # classifies the images of the current subset (Eq. 8)
    optimizer: torch.optim.Optimizer
    head_optimizer: torch.optim.Optimizer


def is_translated(positions: Tensor, share: float) -> Tensor:
    """Which samples are decoded from their translations, bool (B,), by their positions in the order (B,).

    Every `share` of the pairs of neighbouring positions, evenly spread; so however a batch is divided among
    ranks and micro-batches, the same samples are.
    """
    pair = positions.cpu().double().div(2).floor()
    return ((pair + 1) * share).floor() > (pair * share).floor()


class _Encoded(NamedTuple, Generic[EncodedT]):
    """encoded: of plain inputs, then of translated ones, if both were. decoded: of what is decoded."""

    encoded: EncodedT
    decoded: EncodedT


def _encode_pairs(
    encode: Callable[[Tensor], EncodedT], plain: Tensor, other: Tensor, translated: Tensor, both: bool
) -> _Encoded[EncodedT]:
    """Encode (B,C,S,S) plain inputs and their translations; not `both`: of each pair only what is decoded."""
    mask, count = to_device(translated, plain.device), len(plain)

    def choose(x: Tensor) -> Tensor:
        rows = mask.view(-1, *[1] * (x.ndim - 1))
        return torch.where(rows, x[count:], x[:count])  # whose gradient costs less than that of an index

    if not both:
        encoded = encode(torch.where(mask[:, None, None, None], other, plain))
        return _Encoded(encoded, encoded)
    encoded = encode(torch.cat([plain, other]))
    chosen = choose(encoded) if isinstance(encoded, Tensor) else encoded.apply(choose)
    return _Encoded(encoded, chosen)  # type: ignore[arg-type]  # of the same type as `encoded`


class AutoEncoderTrainer:
    """The auto-encoder's training step, and synthesis with its EMA weights.

    encoder: frozen, with PERCEPTUAL_TAPS; None where the perceptual loss is off.
    num_images: of the training set; there are as many classes, at most `recipe.subset`.
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
        self.encoder = None if encoder is None else channels_last(encoder, device)
        self.rotates = num_images > recipe.subset
        self.num_classes = min(num_images, recipe.subset)
        self.group = 0  # the subset whose images are the classes
        # Between the two steps of the optimiser there is no state to go back to.
        self.interruptible = device.type == "cpu" and not compiled and not recipe.plain_step
        self.changing = False
        self.networks = self._build_networks()
        if compiled:
            # In place, so that the names of the weights do not change.
            for module in self.networks.model.children():
                module.compile()

    def _build_networks(self) -> AeNetworks:
        recipe = self.recipe
        with seed_torch(self.seed, "auto-encoder"):
            model = recipe.build_model()
            head = StyleHead(recipe.style_dim, self.num_classes)
        channels_last(model, self.device)
        head.reset(self.seed, self.group)
        head.to(self.device)
        ema = copy.deepcopy(model).requires_grad_(False).eval()
        groups = [{"params": part.parameters(), "name": name} for name, part in model.named_children()]
        return AeNetworks(model, ema, head, self._make_adam(groups), self._make_adam(head.parameters()))

    def _make_adam(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.recipe.learning_rate, self.recipe.betas, fused=True)

    def step(self, number: int, batch: Sequence[MicroBatch]) -> dict[str, float]:
        """Update the weights once from the micro-batches, in order; return the unweighted losses.

        Raises FloatingPointError before the optimisers step when a loss is not finite (the loss of the plain
        step: before its own). What raises while
        `changing` is false leaves the state as it was, or with the head of the subset that comes next.
        """
        net, ranks, recipe = self.networks, self.ranks, vars(self.recipe)
        net.model.train()
        self._change_subset(ranks.all_reduce_max(self._find_subset(batch)))
        net.optimizer.zero_grad(set_to_none=True)
        net.head_optimizer.zero_grad(set_to_none=True)
        sums = LossSums()
        with buffers_kept_on_error(net.model, net.head):
            statistics = MeanStatistics(len(batch), net.model)
            for index, micro_batch in enumerate(batch):
                losses = self.losses(
                    micro_batch, torch_generator(self.seed, "mismatched", number, ranks.number_of(index))
                )
                (total_of(recipe[name] * loss for name, loss in losses.items()) / len(batch)).backward()
                sums.add(losses)
                statistics.note()
            ranks.average_gradients(net.model.parameters())
            if self.recipe.style_class:
                ranks.average_gradients(net.head.parameters())
            statistics.finish(ranks)
            means = ranks.all_reduce_mean(sums, LOSSES)
            check_finite_means(means)
        self.changing = True
        set_learning_rate(net.optimizer, self._get_learning_rates())
        net.optimizer.step()
        if self.recipe.style_class:
            net.head_optimizer.step()
        if self.recipe.plain_step:
            means |= self._step_plain(batch)
        ema_update(net.ema, net.model, self.recipe.ema_decay)
        self.changing = False
        return means

    def _step_plain(self, batch: Sequence[MicroBatch]) -> dict[str, float]:
        """Update the weights once more, to give images back from their own styles and plain sketches."""
        net, ranks, sums = self.networks, self.ranks, LossSums()
        statistics = MeanStatistics(len(batch), net.model)
        net.optimizer.zero_grad(set_to_none=True)
        for micro_batch in batch:
            with self._autocast():
                output = net.model(micro_batch["sketch"], micro_batch["image"])
            loss = reconstruction(output.float(), micro_batch["image"])
            (self.recipe.reconstruction * loss / len(batch)).backward()
            sums.add({PLAIN_LOSS: loss})
            statistics.note()
        ranks.average_gradients(net.model.parameters())
        statistics.finish(ranks)
        means = ranks.all_reduce_mean(sums, [PLAIN_LOSS])
        check_finite_means(means)
        net.optimizer.step()
        return means

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def losses(self, micro_batch: MicroBatch, rng: torch.Generator) -> dict[str, Tensor]:
        """The losses of Eq. 12 that have a weight, unweighted."""
        recipe, image, sketch = self.recipe, micro_batch["image"], micro_batch["sketch"]
        negatives = None
        if recipe.style_triplet or recipe.content_triplet:
            negatives = self._choose_negatives(micro_batch["index"], rng)
        translated = is_translated(micro_batch["position"], recipe.translated)
        model, count = self.networks.model, len(image)
        losses: dict[str, Tensor] = {}
        with self._autocast():
            # One pass for images and views: half the calls, and batch statistics over twice as many images.
            # What no loss compares is not encoded twice.
            styles = _encode_pairs(
                model.encode_style_distribution, image, micro_batch["style_view"], translated,
                both=bool(recipe.style_triplet or recipe.style_class),
            )  # fmt: skip
            contents = _encode_pairs(
                model.encode_content, sketch, micro_batch["variant"], translated, bool(recipe.content_triplet)
            )
            decoded_style = styles.decoded
            if recipe.variational:
                decoded_style = sample_style(styles.decoded.float(), rng)
                if recipe.style_prior:
                    losses["style_prior"] = style_prior(styles.encoded.float())
            output = model.decode(contents.decoded, decoded_style).float()
            if recipe.reconstruction:
                losses["reconstruction"] = reconstruction(output, image)
            if self.encoder is not None and recipe.perceptual:
                shifted = shift_alike(output, image, rng)
                losses["perceptual"] = perceptual(self.encoder, *shifted, PERCEPTUAL_TAPS)
        means = styles.encoded.float()[:, : model.style_dim]
        style, view = means[:count], means[count:]
        if recipe.style_triplet and negatives is not None:
            losses["style_triplet"] = triplet(view, style, style[negatives], recipe.style_margin)
        if recipe.style_class:
            rows, labels = self._get_labels(micro_batch)
            if len(rows):
                logits = self.networks.head(torch.cat([style[rows], view[rows]]))
                losses["style_class"] = style_classification(logits, labels.repeat(2))
        bottleneck = contents.encoded.bottleneck.float()
        plain, variant = bottleneck[:count], bottleneck[count:]
        if recipe.content_triplet and negatives is not None:
            losses["content_triplet"] = triplet(variant, plain, plain[negatives], recipe.content_margin)
        if recipe.content_class:
            losses["content_class"] = content_confusion(self.networks.head, plain.mean((2, 3)))
        return losses

    def _choose_negatives(self, index: Tensor, rng: torch.Generator) -> Tensor | None:
        """For each sample the index of one of another image; None where one image fills most of the batch."""
        try:
            return to_device(derange(index, rng), self.device)
        except ValueError:
            # Where two passes over few images meet: no negatives, so no triplet losses in this step.
            return None

    def _get_labels(self, micro_batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """(the rows of the samples that belong to the current subset, their classes), on the device.

        Half of a batch is of all images and has no class, and a batch may span two subsets.
        """
        if not self.rotates:
            rows, labels = torch.arange(len(micro_batch["index"])), micro_batch["index"]
        else:
            rows = (micro_batch["group"] == self.group).nonzero()[:, 0]
            labels = micro_batch["label"][rows]
        return to_device(rows, self.device), to_device(labels, self.device)

    def _find_subset(self, batch: Sequence[MicroBatch]) -> int:
        """The latest subset of classes that a sample of the batch belongs to."""
        if not self.rotates:
            return 0
        return max(self.group, *(int(micro_batch["group"].max()) for micro_batch in batch))

    def _change_subset(self, group: int) -> None:
        """Reset the head and its optimiser for a new subset of classes (appendix A.1)."""
        if group != self.group:
            net = self.networks
            self.group = group
            net.head.reset(self.seed, group)
            net.head_optimizer = self._make_adam(net.head.parameters())

    def _get_learning_rates(self) -> dict[str, float]:
        """The learning rate of each part of the model; after the first subset, LATER uses the later one."""
        recipe = self.recipe
        lr, later = recipe.learning_rate, recipe.later_learning_rate if self.group else recipe.learning_rate
        return {name: later if name in LATER else lr for name, _ in self.networks.model.named_children()}

    def stateful(self) -> dict[str, Stateful]:
        return dict(vars(self.networks))

    def extra(self) -> dict[str, Any]:
        return {"group": self.group}

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        if type(extra["group"]) is not int or extra["group"] < 0:
            raise ValueError("its subset of classes is none")
        self.group = extra["group"]

    def write_model(self, path: Path, metadata: Mapping[str, Any]) -> None:
        write_autoencoder(path, self.networks.ema, metadata)

    @torch.no_grad()
    def encode_style(self, images: Tensor) -> Tensor:
        """(B,3,S,S) in [-1, 1] -> f_style (B,D), by the EMA weights."""
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.networks.ema.eval().encode_style(images).float()

    @torch.no_grad()
    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the EMA weights."""
        images = images.to(self.device, memory_format=torch.channels_last)
        sketches = sketches.to(self.device, memory_format=torch.channels_last)
        return self.networks.ema.eval()(sketches, images).float()
