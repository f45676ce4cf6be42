"""BatchNorm's statistics over a step whose batch comes in micro-batches and in parts on several ranks."""

from __future__ import annotations

import torch
from torch import nn

from trainers.distributed import Ranks


class MeanStatistics:
    """Makes a step's statistics the mean of what each micro-batch of each rank makes of those before it.

    Left alone, the last micro-batch would count most, and each rank would keep its own.
    """

    def __init__(self, module: nn.Module, num_micro_batches: int) -> None:
        self._module, self._count = module, num_micro_batches
        # A single micro-batch leaves its own.
        buffers = module.buffers() if num_micro_batches > 1 else ()
        self._buffers = [buffer for buffer in buffers if buffer.is_floating_point()]
        self._before = [buffer.clone() for buffer in self._buffers]
        self._sums = [torch.zeros_like(buffer) for buffer in self._buffers]

    @torch.no_grad()
    def note(self) -> None:
        """Note what a micro-batch has made of the statistics, and put back those before the step."""
        for buffer, total, before in zip(self._buffers, self._sums, self._before, strict=True):
            total += buffer
            buffer.copy_(before)

    @torch.no_grad()
    def finish(self, ranks: Ranks) -> None:
        """Set the statistics to the mean over all micro-batches, on all ranks."""
        for buffer, total in zip(self._buffers, self._sums, strict=True):
            buffer.copy_(total / self._count)
        ranks.average_buffers(self._module)
