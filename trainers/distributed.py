"""Training by several processes at once, as torchrun starts them: one rank for each device.

Every rank processes its own micro-batches of each batch. The gradients are averaged, so all ranks take the
same step: N ranks learn what one process learns that accumulates gradients over N micro-batches (--accumulate
N). Only rank 0 writes files and prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


def is_main_process() -> bool:
    """Whether this process writes files and prints: rank 0, or the only process."""
    return Ranks.from_environment().is_main_process


@dataclass(frozen=True)
class Ranks:
    """The rank of this process and the number of processes."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0  # on this machine
    local_world_size: int = 1

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read the variables that torchrun sets; where there are none, this is the only process."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        return cls(
            *(int(os.environ.get(name, default)) for name, default in zip(names, (0, 1, 0, 1), strict=True))
        )

    @property
    def is_main_process(self) -> bool:
        return self.rank == 0

    def device(self, name: str) -> str:
        """This rank's device under --device `name`: with CUDA, each rank of a machine has a GPU to itself."""
        if self.world_size > 1 and (name == "cuda" or name == "auto" and torch.cuda.is_available()):
            return f"cuda:{self.local_rank}"
        return name

    def barrier(self, device: torch.device) -> None:
        """Wait for all ranks; the first call creates the process group. A single process does not wait."""
        if self.world_size == 1:
            return
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        distributed.barrier(device_ids=[device.index] if device.type == "cuda" else None)

    def shutdown(self) -> None:
        """Destroy the process group, after which the other ranks may end. A single process does nothing."""
        if self.world_size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over all ranks; a gradient that a rank lacks counts as zero."""
        if self.world_size == 1:
            return
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])  # one message, not hundreds
        distributed.all_reduce(flat)
        flat /= self.world_size
        for parameter, mean in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = mean.view(parameter.shape).to(memory_format=_get_memory_format(parameter))

    def all_reduce_max(self, value: int, device: torch.device) -> int:
        """The largest value that any rank has."""
        if self.world_size == 1:
            return value
        shared = torch.tensor(value, device=device)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return int(shared)

    def all_reduce_mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of each value over the ranks that have it; every rank gets the same dict."""
        if self.world_size == 1:
            return values
        gathered: list[dict[str, float]] = [{} for _ in range(self.world_size)]
        distributed.all_gather_object(gathered, values)
        names = dict.fromkeys(name for rank_values in gathered for name in rank_values)
        by_name = {
            name: [rank_values[name] for rank_values in gathered if name in rank_values] for name in names
        }
        return {name: sum(named_values) / len(named_values) for name, named_values in by_name.items()}


def _get_memory_format(parameter: Tensor) -> torch.memory_format:
    is_channels_last = parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_channels_last else torch.contiguous_format
