"""Training by several processes at once, as torchrun starts them: one rank for each device.

Every rank goes through its own micro-batches of each batch, gradients are averaged, and so all ranks take the same step:
what N of them learn is what one learns that accumulates gradients over N micro-batches (--accumulate N). Rank 0 alone
writes and speaks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


def is_main_process() -> bool:
    """Whether this process is the one that writes and speaks: rank 0, or the only one."""
    return Ranks.from_environment().is_main_process


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0  # on this machine
    local_world_size: int = 1

    @classmethod
    def from_environment(cls) -> Ranks:
        """From the variables that torchrun sets; one process where there are none."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        return cls(
            *(int(os.environ.get(name, default)) for name, default in zip(names, (0, 1, 0, 1), strict=True))
        )

    @property
    def is_main_process(self) -> bool:
        return self.rank == 0

    def device(self, name: str) -> str:
        """--device for this rank: with CUDA, each on a machine has one of its own."""
        if self.world_size > 1 and (name == "cuda" or name == "auto" and torch.cuda.is_available()):
            return f"cuda:{self.local_rank}"
        return name

    def barrier(self, device: torch.device) -> None:
        """Wait until all ranks are here; the first time they join. Nothing to do for one alone."""
        if self.world_size == 1:
            return
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        distributed.barrier(device_ids=[device.index] if device.type == "cuda" else None)

    def shutdown(self) -> None:
        """Say good-bye, after which the others may end. Nothing to do for one alone."""
        if self.world_size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the mean over all ranks in the place of each gradient; one that a rank has not got counts as zero."""
        if self.world_size == 1:
            return
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in parameters]
        together = torch.cat([gradient.flatten() for gradient in gradients])  # one message, not hundreds
        distributed.all_reduce(together)
        together /= self.world_size
        for parameter, mean in zip(parameters, together.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = mean.view(parameter.shape).to(memory_format=_format_of(parameter))

    def all_reduce_max(self, value: int, device: torch.device) -> int:
        """The largest value that any rank has."""
        if self.world_size == 1:
            return value
        shared = torch.tensor(value, device=device)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return int(shared)

    def all_reduce_mean(self, values: dict[str, float]) -> dict[str, float]:
        """The means over those ranks that have a value of the name; the same dict everywhere."""
        if self.world_size == 1:
            return values
        gathered: list[dict[str, float]] = [{} for _ in range(self.world_size)]
        distributed.all_gather_object(gathered, values)
        names = dict.fromkeys(name for values in gathered for name in values)
        by_name = {name: [values[name] for values in gathered if name in values] for name in names}
        return {name: sum(each) / len(each) for name, each in by_name.items()}


def _format_of(parameter: Tensor) -> torch.memory_format:
    four = parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if four else torch.contiguous_format
