"""The study behind TOM's recipe: one thing changed at a time, the same steps for all.

    python benchmarks/tom_recipe.py train   --data DATA --work DIR [NAME ...]   # each variant once; again to go on
    python benchmarks/tom_recipe.py table   --work DIR > table.md

DATA holds photos/bsds500/{train,val,boundaries_val}, sketches/style_set, sketches/pacs and photo_sketch_pairs.tsv.
Photos R are bsds500/train. A variant is trained without style windows, so that one generator stands for it, and
draws the photos of bsds500/val with an even number (counted from 0) for the scores of content, and 40 photos that
people have drawn for those of realism; the photos with odd numbers are kept for the report on what was chosen.
Annotations are looked at by the scores alone. Each variant leaves NAME.json and a picture NAME.png.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sketchforge.features import gram
from sketchforge.files import write_json
from sketchforge.images import read_image, to_tensor
from sketchforge.metrics.boundaries import boundary_counts, read_boundaries, summarise
from sketchforge.metrics.bootstrap import interval
from sketchforge.models.tom import LeanGenerator
from sketchforge.options import TomTrainOptions
from sketchforge.weights import load_encoder
from trainers import tom_session
from trainers.tom import Batch, Tom
from trainers.tom_recipe import RECIPES, TomRecipe

THRESHOLDS = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)  # of darkness
STEPS, SIZE = 400, 160
NUM_CONTENT, NUM_REALISM = 24, 40  # photos


@dataclass(frozen=True)
class Variant:
    """One row of the table: how it differs from the default recipe."""

    what: str
    recipe: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    procedure: type[Tom] = Tom
    num_drawings: int | None = None
    base: str = "lean"


class AverageWeights(Tom):
    """Draws with an exponential moving average of G's weights (decay 0.98)."""

    def step(self, batch: Batch) -> dict[str, float]:
        losses = super().step(batch)
        present = self.networks.generator.state_dict()
        if not hasattr(self, "average"):
            self.average = {name: tensor.clone() for name, tensor in present.items()}
        for name, tensor in self.average.items():
            tensor.lerp_(present[name], 0.02)
        return losses

    def finish(self) -> None:
        self.networks.generator.load_state_dict(self.average)


class FallingRate(Tom):
    """G's learning rate falls to nothing along a half cosine over the second half."""

    at = 0

    def step(self, batch: Batch) -> dict[str, float]:
        self.at += 1
        part = max(0.0, 2 * self.at / STEPS - 1)
        for group in self.networks.optimizer_g.param_groups:
            group["lr"] = self.recipe.generator_rate * 0.5 * (1 + np.cos(np.pi * part))
        return super().step(batch)


class RawFeatures(Tom):
    """G sees the encoder's features as they are, without instance normalisation."""

    def _prepared(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {tap: features[tap] for tap in self.networks.generator.taps}


class LocalContrast(Tom):
    """G sees features normalised in neighbourhoods of an eighth of the picture, not over all of it."""

    def _prepared(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {tap: locally_normalized(features[tap]) for tap in self.networks.generator.taps}


def locally_normalized(x: Tensor, floor: float = 0.05) -> Tensor:
    """(B,C,H,W): local mean 0, and deviation over all channels of 1, in windows of about an eighth of the side."""
    side = max(min(x.shape[2:]) // 8, 2) * 2 + 1

    def smooth(y: Tensor) -> Tensor:
        padded = F.pad(y, [side // 2] * 4, mode="replicate")
        return F.avg_pool2d(padded, side, stride=1)

    centred = x - smooth(x)
    return centred / (smooth(centred.square()).mean(1, keepdim=True) + floor).sqrt()


class ContrastAugmented(Tom):
    """Photos at random contrast (0.3 to 1) and brightness: outlines of low contrast are met more often."""

    def batch(self, step: int, window: int | None) -> Batch:
        made = super().batch(step, window)
        draw = np.random.default_rng([self.options.seed, step])
        gain = torch.from_numpy(draw.uniform(0.3, 1.0, (len(made.photos), 1, 1, 1)).astype(np.float32))
        shift = torch.from_numpy(draw.uniform(-0.3, 0.3, (len(made.photos), 1, 1, 1)).astype(np.float32))
        return replace(made, photos=(made.photos * gain + shift).clamp(-1, 1))


class PaperDiscriminator(nn.Module):
    """The authors' D: Gram matrices over C·H·W, pooled to 128x256, seen as 128 channels of 16x16."""

    def __init__(self, taps: list[str]) -> None:
        super().__init__()
        self.taps = taps
        n = 128 * len(taps)
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(n, n // 2, 3)), nn.BatchNorm2d(n // 2), nn.LeakyReLU(0.1),
            spectral_norm(nn.Conv2d(n // 2, n // 4, 3)), nn.BatchNorm2d(n // 4), nn.LeakyReLU(0.1),
            nn.AvgPool2d(2), spectral_norm(nn.Conv2d(n // 4, 1, 4, stride=2, padding=1)),
        )  # fmt: skip

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        parts = []
        for tap in self.taps:
            matrix = gram(features[tap]) / features[tap].shape[1]
            parts.append(F.adaptive_avg_pool2d(matrix[:, None], (128, 256))[:, 0].view(-1, 128, 16, 16))
        return self.layers(torch.cat(parts, 1))


class PaperJudged(Tom):
    """The authors' discriminator in place of ours."""

    def _new_networks(self) -> Any:
        networks = super()._new_networks()
        torch.manual_seed(0)
        networks.discriminator = PaperDiscriminator(list(self.recipe.style_taps)).to(self.device)
        networks.optimizer_d = torch.optim.Adam(
            networks.discriminator.parameters(), self.recipe.discriminator_rate, self.recipe.betas
        )
        return networks


DEFAULT = RECIPES["lean"]
AS_CODED = {
    "content_taps": ("pool3",), "content_weight": 0.2, "style_taps": ("pool2", "pool3", "pool4"),
    "gram_weight": 1.0, "coloured_weight": 0.0,
}  # fmt: skip
VARIANTS: dict[str, Variant] = {"default": Variant("the default recipe")}


def load(data: Path, variant: Variant) -> tuple[Any, Any]:
    photos, _ = tom_session._photos(data / "photos/bsds500/train")
    drawings, _ = tom_session._drawings(variant.options.get("drawings"))
    if variant.num_drawings:  # spread over all subjects and pens
        spread = np.linspace(0, len(drawings) - 1, variant.num_drawings).round().astype(int)
        drawings = [drawings[index] for index in spread]
    return photos, drawings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["train", "table"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
