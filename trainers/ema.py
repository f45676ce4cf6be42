"""What trainings do with networks: first weights from a seed, an average of the weights along the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from sketchforge.utils.seeding import derive_seed


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Layers draw their first weights from torch's global generator: lend them one of our own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, purpose))
        yield


@torch.no_grad()
def average_into(average: nn.Module, present: nn.Module, decay: float) -> None:
    """Pull the average's weights and buffers towards the present ones: average = decay·average + (1-decay)·present."""
    for old, new in zip(average.state_dict().values(), present.state_dict().values(), strict=True):
        if new.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)  # counters
