"""Training of DiffSketching: denoising of the shards' images, then fine-tuning by their sketches.

The first stage also trains the classifier of noised images where there are classes. In the second each image is noised, its
own clone is denoised, and what comes of it is compared with the image and with its sketch, seen through TOM: gradients
go through P and the denoising to the U-net. With the sketch as an input there is no second stage.

All randomness derives from (seed, purpose, position), so a killed run resumes with the same results.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.checkpoints.diffsketching import write_diffsketching
from sketchforge.losses.diffsketching import (
    denoising_error,
    image_identity,
    sketch_perceptual,
    weigh_tuning,
)
from sketchforge.models.diffsketching import (
    CONCATENATION,
    DiffSketching,
    NoisedClassifier,
    Sampling,
)
from sketchforge.models.diffusion import (
    SCHEDULE,
    NoiseSchedule,
    apply_unet,
    build_unet,
    patch_of,
    unet_settings,
)
from sketchforge.models.encoder import Encoder
from sketchforge.models.noise import sample_maps
from sketchforge.models.sketch_view import SketchView
from sketchforge.utils.seeding import torch_generator
from trainers.diffsketching.recipe import ONE_STEP, DiffSketchingRecipe
from trainers.distributed import Ranks
from trainers.ema import ema_update, warmed_up_decay
from trainers.image_models.interface import MicroBatch
from trainers.optimization import LossSums, channels_last, check_finite_means, seed_torch
from trainers.state import Stateful

CLASS = "class"  # an entry of a micro-batch, where the shards have classes
LOSSES = ("denoising", "class", "sketch", "identity")
MOMENTUM = 0.9  # of SGD in fine-tuning
PREVIEW_STEPS = 5  # of sampling, for a run's figures and grids: hundreds of images, of as many passes each


@dataclass
class DiffSketchingNetworks:
    """The networks and optimisers that training updates; those of a classifier where there are classes."""

    unet: nn.Module
    ema: nn.Module  # of the U-net's weights
    optimizer: torch.optim.Optimizer  # of the first stage
    tuning_optimizer: torch.optim.Optimizer  # of the second
    classifier: NoisedClassifier | None
    optimizer_c: torch.optim.Optimizer | None


class DiffSketchingTrainer:
    """DiffSketching's training step, and synthesis with its EMA weights.

    encoder: frozen, F_i. view: frozen, P and F_s. classes: names of the shards' classes, () where there are none.
    pretrained: a U-net to begin with, and the settings of its schedule; None: random weights, and ours.
    """

    def __init__(
        self,
        recipe: DiffSketchingRecipe,
        encoder: Encoder,
        view: SketchView,
        seed: int,
        device: torch.device,
        classes: Sequence[str] = (),
        pretrained: tuple[nn.Module, Mapping[str, Any]] | None = None,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
        ranks: Ranks = Ranks(),
    ) -> None:
        self.ranks, self.classes = ranks, tuple(classes)
        self.recipe, self.seed, self.device, self.precision = recipe, seed, device, precision
        self.encoder = channels_last(encoder, device).eval().requires_grad_(False)
        self.view = channels_last(view, device).eval().requires_grad_(False)
        ours = SCHEDULE | {"beta_schedule": recipe.schedule}
        self.schedule = NoiseSchedule(ours if pretrained is None else pretrained[1])
        unet = self._begin_unet(None if pretrained is None else pretrained[0])
        classifier, optimizer_c = None, None
        if self.classes:
            with seed_torch(seed, "noised classifier"):
                classifier = NoisedClassifier(len(self.classes), recipe.classifier_width).to(device)
            optimizer_c = _adam(recipe, classifier, recipe.classifier_learning_rate)
        tuned = _adam(recipe, unet, recipe.tuning_learning_rate)
        if recipe.tuning_optimizer == "sgd":
            tuned = torch.optim.SGD(unet.parameters(), recipe.tuning_learning_rate, MOMENTUM)
        ema = copy.deepcopy(unet).requires_grad_(False).eval()
        self.networks = DiffSketchingNetworks(
            unet, ema, _adam(recipe, unet, recipe.learning_rate), tuned, classifier, optimizer_c
        )
        self.interruptible, self.changing = device.type == "cpu" and not compiled, False
        if compiled:
            unet.compile()

    def _begin_unet(self, pretrained: nn.Module | None) -> nn.Module:
        if pretrained is None:
            with seed_torch(self.seed, "unet"):
                return channels_last(build_unet(settings_of_unet(self.recipe)), self.device)
        unet = widen_input(pretrained) if self.recipe.condition == CONCATENATION else pretrained
        return channels_last(unet, self.device).requires_grad_(True).train()

    def step(self, number: int, batch: Sequence[MicroBatch]) -> dict[str, float]:
        """Update the U-net once from the micro-batches, in the first stage the classifier, too; return the unweighted losses.

        Raises FloatingPointError before an optimiser steps when a loss is not finite. What raises while
        `changing` is false leaves the state as it was.
        """
        net, recipe = self.networks, self.recipe
        tunes = recipe.tunes_at(number)
        optimizers = [net.tuning_optimizer if tunes else net.optimizer]
        if net.optimizer_c is not None and not tunes:
            optimizers.append(net.optimizer_c)
        net.unet.train()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        sums = LossSums()
        for micro_batch in batch:
            loss, losses = self._tune(micro_batch) if tunes else self._denoise(micro_batch)
            (loss / len(batch)).backward()
            sums.add(losses)
        parameters = [
            p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]
        ]
        self.ranks.average_gradients(parameters)
        means = self.ranks.all_reduce_mean(sums, LOSSES)
        check_finite_means(means)
        self.changing = True
        for optimizer in optimizers:
            optimizer.step()  # the learning rates are constant
        first = recipe.denoising_steps if tunes and recipe.denoising_steps else 0
        ema_update(net.ema, net.unet, warmed_up_decay(number - first, recipe.ema_decay))
        if recipe.tunes_at(number + 1) and not tunes:
            net.unet.load_state_dict(net.ema.state_dict())  # what is fine-tuned is what would be used
        self.changing = False
        return means

    def _noised(self, micro_batch: MicroBatch, last: int) -> tuple[Tensor, Tensor, Tensor]:
        """(x_t, ε, t) of the images, each by its position: t uniform in 0 .. last."""
        images, times, noise = micro_batch["image"], [], []
        for position in micro_batch["position"].tolist():
            rng = torch_generator(self.seed, "diffusion", position)
            times.append(torch.randint(last + 1, (1,), generator=rng))
            noise.append(torch.randn(images.shape[1:], generator=rng))
        t, epsilon = torch.cat(times).to(self.device), torch.stack(noise).to(self.device)
        return self.schedule.add_noise(images, epsilon, t), epsilon, t

    def _denoise(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The first stage: the error of what the U-net predicts, and of the classifier on the same noised images."""
        net = self.networks
        noisy, noise, times = self._noised(micro_batch, self.schedule.num_times - 1)
        with self._autocast():
            output = apply_unet(net.unet, self._input_of(noisy, micro_batch), times)
        target = self.schedule.target_of(micro_batch["image"], noise, times)
        losses = {"denoising": denoising_error(output.float(), target)}
        loss = losses["denoising"]
        if net.classifier is not None:
            losses["class"] = F.cross_entropy(
                net.classifier(noisy, times), micro_batch[CLASS].to(self.device)
            )
            loss = loss + losses["class"]  # of other parameters
        return loss, losses

    def _input_of(self, noisy: Tensor, micro_batch: MicroBatch) -> Tensor:
        if self.recipe.condition == CONCATENATION:
            return torch.cat([noisy, micro_batch["sketch"]], dim=1)
        return noisy

    def _tune(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The second stage: L of what comes of the image's own noised clone, and the anchor."""
        recipe, image, sketch = self.recipe, micro_batch["image"], micro_batch["sketch"]
        times = self.schedule.list_times(recipe.sampling_steps, recipe.strength)
        noisy, noise, now = self._noised(micro_batch, times[0])
        losses: dict[str, Tensor] = {}
        model = self._model_of(self.networks.unet)
        if recipe.anchor or recipe.through == ONE_STEP:
            with self._autocast():
                output = apply_unet(self.networks.unet, noisy, now).float()
            losses["denoising"] = denoising_error(output, self.schedule.target_of(image, noise, now))
            made = self.schedule.read_output(output, noisy, now).image
        if recipe.through != ONE_STEP:
            start = torch.full_like(now, times[0])
            clone = self.schedule.add_noise(image, noise, start)
            labels = micro_batch[CLASS].to(self.device) if self.classes else None
            made = model.denoise(clone, sketch, times, recipe.sampling, recipe.through, labels)
        # L_p likes a lattice as fine as the patches, which a U-net of patches has at hand; so it is not shown that fine.
        seen = blur_lattice(made) if patch_of(self.networks.unet) > 1 else made
        losses["sketch"] = sketch_perceptual(self.view, seen, sketch)
        losses["identity"] = image_identity(self.encoder, made, image)
        loss = weigh_tuning(losses["identity"], losses["sketch"], recipe.identity)
        if recipe.anchor:
            loss = loss + recipe.anchor * losses["denoising"]
        return loss, losses

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def stateful(self) -> dict[str, Stateful]:
        return {name: part for name, part in vars(self.networks).items() if part is not None}

    def extra(self) -> dict[str, Any]:
        return {}

    def load_extra(self, extra: Mapping[str, Any]) -> None: ...

    def _model_of(self, unet: nn.Module) -> DiffSketching:
        recipe = self.recipe
        return DiffSketching(
            unet,
            self.schedule,
            self.view,
            recipe.condition,
            recipe.sampling,
            self.networks.classifier,
            self.classes,
        )

    @property
    def model(self) -> DiffSketching:
        """The EMA weights with all that guides them."""
        return self._model_of(self.networks.ema)

    def write_model(self, path: Path, metadata: Mapping[str, Any]) -> None:
        write_diffsketching(path, self.model, metadata)

    @torch.no_grad()
    def encode_style(self, images: Tensor) -> Tensor:
        """(B,3,S,S) in [-1, 1] -> what stands in for f_style (B,D), by the frozen encoder."""
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.model.encode_style(images).float()

    def synthesize(self, sketches: Tensor, images: Tensor, sampling: Sampling | None = None) -> Tensor:
        """(B,1,S,S), (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1], by the EMA weights.

        sampling: None: the recipe's, in PREVIEW_STEPS at most. The noise of a row is that of its number, so that what
        differs between two calls differs by their inputs alone.
        """
        sketches, images = (tensor.to(self.device) for tensor in (sketches, images))
        if sampling is None:
            sampling = self.recipe.sampling
            sampling = replace(sampling, steps=min(PREVIEW_STEPS, sampling.steps))
        noise = sample_maps(tuple(images.shape[1:]), range(len(images)), self.seed, self.device)
        return self.model.sample(sketches, images, noise, sampling)


def count_unet_parameters(
    recipe: DiffSketchingRecipe, pretrained: tuple[nn.Module, Mapping[str, Any]] | None
) -> int:
    """The parameters of the U-net that is trained."""
    unet = build_unet(settings_of_unet(recipe)) if pretrained is None else pretrained[0]
    return sum(parameter.numel() for parameter in unet.parameters())


def settings_of_unet(recipe: DiffSketchingRecipe) -> dict[str, Any]:
    """The configuration of the U-net that a recipe begins with."""
    in_channels = 4 if recipe.condition == CONCATENATION else 3
    return unet_settings(
        recipe.size,
        in_channels,
        recipe.channels,
        recipe.layers,
        recipe.attention,
        recipe.groups,
        recipe.patch,
    )


def widen_input(unet: nn.Module) -> nn.Module:
    """A UNet2DModel of three input channels -> one of four that does the same, whatever the fourth is."""
    from sketchforge.checkpoints.diffsketching import describe_unet

    more = patch_of(unet) ** 2
    widened = build_unet(describe_unet(unet) | {"in_channels": 4 * more})
    state = unet.state_dict()
    first = state["conv_in.weight"]
    state["conv_in.weight"] = torch.cat([first, torch.zeros_like(first[:, :more])], dim=1)
    widened.load_state_dict(state)
    return widened


def blur_lattice(images: Tensor) -> Tensor:
    """(B,C,S,S) -> the same by 1-2-1 in rows and columns: nothing of what changes from pixel to pixel is left."""
    line = torch.tensor([0.25, 0.5, 0.25], dtype=images.dtype, device=images.device)
    kernel = (line[:, None] * line).expand(images.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), kernel, groups=images.shape[1])


def _adam(recipe: DiffSketchingRecipe, module: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), learning_rate, recipe.betas, fused=True)
