"""The refiner's input noise: for every sample a function of (seed, key) alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sketchforge.utils.seeding import derive_seed

NOISE_DIM = 512  # length of the noise vector, as in the authors' code, whatever the width of the network


@dataclass(frozen=True)
class Noise:
    """Standard normal numbers for B samples, float32."""

    vector: Tensor  # (B,512)
    maps: Mapping[int, Tensor]  # by side: (B,1,side,side)

    def to(self, device: torch.device | str) -> Noise:
        """The same numbers on another device."""
        return Noise(self.vector.to(device), {side: x.to(device) for side, x in self.maps.items()})


def draw_noise(
    sides: Iterable[int], keys: Sequence[object], seed: int, device: torch.device = torch.device("cpu")
) -> Noise:
    """Noise of one vector and one map per side, for the samples that `keys` name.

    sides: a refiner's `noise_sides`. keys: one per sample, at least one; keys with the same text give the
    same noise. device: where it is drawn and stays. Drawn on the CPU, the numbers are the same for every
    device, and a batch of large images costs a copy of its own size.

    A sample's vector depends on (seed, its key) alone, each of its maps on (seed, its key, side), and both
    on the kind of device, not on the rest of the batch. Raises ValueError where there are no keys.
    """
    if not keys:
        raise ValueError("no keys given, expected one for each sample")

    def draw(*shape: int) -> Tensor:
        return torch.stack([_sample_normal(seed, key, device, *shape) for key in keys])

    maps = {side: draw(1, side, side) for side in sides}
    return Noise(draw(NOISE_DIM), maps)


def _sample_normal(seed: int, key: object, device: torch.device, *shape: int) -> Tensor:
    """Sample standard normal numbers; each shape has a stream of its own."""
    rng = torch.Generator(device).manual_seed(derive_seed(seed, "noise", key, *shape))
    return torch.randn(shape, generator=rng, device=device)


def sample_maps(
    shape: Sequence[int], keys: Sequence[object], seed: int, device: torch.device = torch.device("cpu")
) -> Tensor:
    """Standard normal maps of one shape, (B,*shape) on `device`: each of (seed, its key) alone, on every kind of device.

    Raises ValueError where there are no keys.
    """
    if not keys:
        raise ValueError("no keys given, expected one for each sample")
    cpu = torch.device("cpu")
    return torch.stack([_sample_normal(seed, key, cpu, *shape) for key in keys]).to(device)
