"""Training by several processes at once, as torchrun starts them: one rank for each device.

Every rank processes its own micro-batches of each batch. The gradients are averaged, so all ranks take the
same step: N ranks learn what one process learns that accumulates gradients over N micro-batches (--accumulate
N), the statistics of BatchNorm included, which are averaged, too. Only rank 0 writes files and prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from sketchforge.errors import UsageError
from sketchforge.utils.device import choose_device, to_device
from trainers.roll_call import RollCall


class LostRankError(Exception):
    """Another rank of this training is gone: killed, out of memory, or ended by an error of its own."""

    explains_signals = True  # torchrun sends SIGTERM to the ranks that are left


def is_main_process() -> bool:
    """Whether this process writes files and prints: rank 0, or the only process."""
    return Ranks.from_environment().is_main_process


def refuse_ranks(command: str) -> None:
    """Raise UsageError where torchrun has started several processes of a command that trains in one."""
    if (world_size := Ranks.from_environment().world_size) > 1:
        raise UsageError(
            f"{command}: trains in one process, found WORLD_SIZE {world_size}; run it without torchrun"
        )


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
        if self.world_size > 1 and (name == "cuda" or (name == "auto" and torch.cuda.is_available())):
            return f"cuda:{self.local_rank}"
        return name

    def claim_device(self, name: str) -> torch.device:
        """This rank's device, which CUDA then uses where none is named; raises as `choose_device` does."""
        device = choose_device(self.device(name))
        if device.type == "cuda":
            # NCCL, and every tensor made on "cuda", would otherwise be on GPU 0, of all ranks.
            torch.cuda.set_device(device)
        return device

    @property
    def roll_call(self) -> RollCall:
        """What the ranks say of themselves; torchrun's own process keeps it."""
        return RollCall.of(self.rank, self.world_size)

    def say(self, word: str) -> None:
        """Tell the other ranks, if there are any."""
        if self.world_size > 1:
            self.roll_call.say(word)

    def barrier(self, device: torch.device) -> None:
        """Wait for all ranks; the first call creates the process group. A single process does not wait.

        Raises LostRankError, as all methods that exchange something, when a rank is gone.
        """
        if self.world_size == 1:
            return
        with self._exchange():
            if not distributed.is_initialized():
                self.roll_call.wait_for_all("ready")  # in Python, where a signal interrupts it
                distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
            distributed.barrier(device_ids=[device.index] if device.type == "cuda" else None)

    def meet(self) -> None:
        """Wait for all ranks between two steps: whoever finds one gone here has nothing half done."""
        if self.world_size > 1:
            with self._exchange():
                device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
                distributed.all_reduce(torch.zeros(1, device=device))

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        """Turn the error of a broken connection into LostRankError, or KeyboardInterrupt where ranks stop."""
        try:
            yield
        except RuntimeError as error:
            missing = self.roll_call.find_missing()
            if missing is None:
                raise KeyboardInterrupt("another rank was stopped") from error
            names = " and ".join(map(str, missing))
            what = f"rank{'s' * (len(missing) > 1)} {names} of {self.world_size} went away"
            if not missing:
                what = f"the connection between the ranks broke ({str(error).splitlines()[0][:200]})"
            raise LostRankError(what) from error

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
        with self._exchange():
            distributed.all_reduce(flat)
        flat /= self.world_size
        for parameter, mean in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = mean.view(parameter.shape).to(memory_format=_get_memory_format(parameter))

    def all_reduce_max(self, value: int, device: torch.device) -> int:
        """The largest value that any rank has."""
        if self.world_size == 1:
            return value
        shared = torch.tensor(value, device=device)
        with self._exchange():
            distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return int(shared)

    def all_reduce_mean(self, values: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, float]:
        """The mean of each value over the ranks that have it; every rank gets the same dict.

        values: scalars, at least one. names: all that a rank may have, in one order on all ranks. One
        message, and one copy from the device.
        """
        zero = torch.zeros_like(next(iter(values.values())))
        sums = torch.stack([values.get(name, zero) for name in names])
        counts = torch.tensor([float(name in values) for name in names])
        if self.world_size > 1:
            shared = torch.cat([sums, to_device(counts, sums.device)])
            with self._exchange():
                distributed.all_reduce(shared)
            sums, counts = shared.cpu().chunk(2)
        return {
            name: value / count
            for name, value, count in zip(names, sums.tolist(), counts.tolist(), strict=True)
            if count
        }

    def average_buffers(self, module: nn.Module) -> None:
        """Replace each buffer of floats, such as a BatchNorm's statistics, by its mean over all ranks."""
        buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        if self.world_size == 1 or not buffers:
            return
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        with self._exchange():
            distributed.all_reduce(flat)
        flat /= self.world_size
        for buffer, mean in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(mean.view(buffer.shape))


def _get_memory_format(parameter: Tensor) -> torch.memory_format:
    is_channels_last = parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_channels_last else torch.contiguous_format
