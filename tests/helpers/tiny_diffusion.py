"""Networks of DiffSketching of next to nothing, and a U-net whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sketchforge.models.diffsketching import (
    CONCATENATION,
    GUIDANCE,
    DiffSketching,
    NoisedClassifier,
    Sampling,
)
from sketchforge.models.diffusion import NoiseSchedule, build_unet, unet_settings
from sketchforge.models.encoder import Encoder, freeze
from sketchforge.models.sketch_view import SketchView
from sketchforge.models.tom import LeanGenerator
from trainers.diffsketching.recipe import DiffSketchingRecipe

SIZE = 16
SAMPLING = Sampling(steps=5, strength=0.8, sketch_scale=0.3, class_scale=1.0)
TINY = DiffSketchingRecipe(
    size=64,
    steps=4,
    batch_size=4,
    channels=(4, 8),
    layers=1,
    groups=4,
    classifier_width=8,
    denoising_steps=None,
    tuning_share=0.5,
    anchor=1.0,
    sampling_steps=2,
    learning_rate=1e-3,
    tuning_learning_rate=1e-3,
    tuning_optimizer="adam",
    ema_decay=0.5,
)
TUNED = replace(TINY, denoising_steps=2)


def tiny_encoder() -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return freeze(Encoder(((4, 4), (6, 6), (8, 8), (8,))))


def tiny_view(size: int = SIZE, drawn_size: int = 2 * SIZE) -> SketchView:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        generator = LeanGenerator(("relu2_1", "relu1_1"), (6, 4), (4, 4))
    view = SketchView(tiny_encoder(), generator, size, drawn_size)
    return view.eval().requires_grad_(False)


def tiny_model(
    condition: str = GUIDANCE, classes: tuple[str, ...] = (), unet: nn.Module | None = None, **changes: Any
) -> DiffSketching:
    """A model of SIZE pixels with random weights, frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        channels = 4 if condition == CONCATENATION else 3
        unet = unet or build_unet(unet_settings(SIZE, channels, (4, 8), 1, (), 4))
        classifier = NoisedClassifier(len(classes), 8) if classes else None
    sampling = replace(SAMPLING, **changes)
    model = DiffSketching(unet, NoiseSchedule(), tiny_view(), condition, sampling, classifier, classes)
    return model.eval().requires_grad_(False)


def rows(count: int = 2, seed: int = 0, size: int = SIZE) -> tuple[Tensor, Tensor, Tensor]:
    """(sketches, images, noise) at random."""
    rng = torch.Generator().manual_seed(seed)
    sketches, images = (torch.rand(count, x, size, size, generator=rng) * 2 - 1 for x in (1, 3))
    return sketches, images, torch.randn(count, 3, size, size, generator=rng)


class GaussianOracle(nn.Module):
    """The best possible U-net where every number of an image is normal: its mean and deviation."""

    def __init__(self, schedule: NoiseSchedule, mean: float, deviation: float) -> None:
        super().__init__()
        self.schedule, self.mean, self.deviation = schedule, mean, deviation

    def forward(self, noisy: Tensor, times: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """v for E[x_0 | x_t] = μ + s²·a·(x_t − a·μ) / (a²·s² + b²)."""
        share = self.schedule.share_at(times)
        a, b, variance = share.sqrt(), (1 - share).sqrt(), self.deviation**2
        image = self.mean + variance * a * (noisy - a * self.mean) / (share * variance + 1 - share)
        return ((a * noisy - image) / b,)
