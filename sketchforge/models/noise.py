"""The noise that the refiner is given: for every sample a function of (seed, key) alone."""

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

    sides: of the maps, a refiner's `noise_sides`. keys: one per sample, told apart by their text; at least
    one.

    A sample's numbers depend on (seed, its key) and, each map by itself, on its side: on nothing else in the
    batch, and on no device. Raises ValueError where there are no keys.
    """
    if not keys:
        raise ValueError("no keys given, expected one for each sample")
    drawn = {side: torch.stack([_normal(seed, key, 1, side, side) for key in keys]) for side in sides}
    return Noise(torch.stack([_normal(seed, key, NOISE_DIM) for key in keys]), drawn)


def _normal(seed: int, key: object, *shape: int) -> Tensor:
    """Standard normal numbers; each shape has a stream of its own."""
    return torch.randn(shape, generator=torch_generator(seed, "noise", key, *shape))
