"""The refiner's input noise: for every sample a function of (seed, key) alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sketchforge.utils.seeding import torch_generator

NOISE_DIM = 512  # length of the noise vector, as in the authors' code, whatever the width of the network


@dataclass(frozen=True)
class Noise:
    """Standard normal numbers for B samples, float32."""

    vector: Tensor  # (B,512)
    maps: Mapping[int, Tensor]  # by side: (B,1,side,side)

    def to(self, device: torch.device | str) -> Noise:
        """The same numbers on another device."""
        return Noise(self.vector.to(device), {side: x.to(device) for side, x in self.maps.items()})


def draw_noise(sides: Iterable[int], keys: Sequence[object], seed: int) -> Noise:
    """Noise of one vector and one map per side, on the CPU, for the samples that `keys` name.

    sides: a refiner's `noise_sides`. keys: one per sample, at least one; keys with the same text give the
    same noise.

    A sample's vector depends on (seed, its key) alone, each of its maps on (seed, its key, side), neither on
    the rest of the batch nor on the device. Raises ValueError where there are no keys.
    """
    if not keys:
        raise ValueError("no keys given, expected one for each sample")
    maps = {side: torch.stack([_sample_normal(seed, key, 1, side, side) for key in keys]) for side in sides}
    return Noise(torch.stack([_sample_normal(seed, key, NOISE_DIM) for key in keys]), maps)


def _sample_normal(seed: int, key: object, *shape: int) -> Tensor:
    """Sample standard normal numbers; each shape has a stream of its own."""
    return torch.randn(shape, generator=torch_generator(seed, "noise", key, *shape))
