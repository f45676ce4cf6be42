"""Buffers over a step whose batch comes in micro-batches and in parts on several ranks.

They are BatchNorm's statistics, and the vectors of spectral norms, which every pass moves.
"""

from __future__ import annotations

import torch
from torch import nn

from trainers.distributed import Ranks


class MeanStatistics:
    """Makes a step's buffers the mean of what each micro-batch of each rank makes of those before it.

    Left alone, the last micro-batch would count most, each rank would keep its own, and a spectral norm would
    depend on how many micro-batches there are. Of whole numbers, which count passes, the last is kept.
    """

    def __init__(self, num_micro_batches: int, *modules: nn.Module) -> None:
        self._modules, self._count = modules, num_micro_batches
        # A single micro-batch leaves its own.
        several = modules if num_micro_batches > 1 else ()
        self._buffers = [buffer for module in several for buffer in module.buffers()]
        self._before = [buffer.clone() for buffer in self._buffers]
        self._sums = [torch.zeros_like(buffer) for buffer in self._buffers]

    @torch.no_grad()
    def note(self) -> None:
        """Note what a micro-batch has made of the buffers, and put back those before the step."""
        for buffer, total, before in zip(self._buffers, self._sums, self._before, strict=True):
            total.copy_(total + buffer if buffer.is_floating_point() else buffer)
            buffer.copy_(before)

    @torch.no_grad()
    def finish(self, ranks: Ranks) -> None:
        """Set the buffers to the mean over all micro-batches, on all ranks."""
        for buffer, total in zip(self._buffers, self._sums, strict=True):
            buffer.copy_(total / self._count if buffer.is_floating_point() else total)
        for module in self._modules:
            ranks.average_buffers(module)
