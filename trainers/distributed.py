"""Training by several processes at once, as torchrun starts them: one rank for each device.

Every rank processes its own part of each batch. The gradients are averaged, so all ranks take the same step: N
ranks learn what one process learns from the same batch in N micro-batches (--accumulate N), the statistics of
BatchNorm included, which are averaged, too. Only rank 0 writes files and prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from sketchforge.utils.device import choose_device, set_threads, to_device, usable_cores
from trainers.optimization import LossSums
from trainers.roll_call import RollCall, open_store

# The others wait while rank 0 evaluates. A rank that is lost is noticed by its connections, long before.
TIMEOUT = timedelta(hours=2)


class LostRankError(Exception):
    """Another rank of this training is gone: killed, out of memory, or ended by an error of its own."""

    explains_signals = True  # torchrun sends SIGTERM to the ranks that are left


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

    def claim_threads(self, threads: int) -> int:
        """Fix torch's CPU threads as `set_threads` does; unless told, the ranks of a machine share its cores."""
        if not threads and self.local_world_size > 1:  # torchrun sets OMP_NUM_THREADS to 1 unasked
            threads = max(usable_cores() // self.local_world_size, 1)
        return set_threads(threads)

    def number_of(self, micro_batch: int) -> int:
        """The number among all parts of a batch of this rank's micro-batch: ranks take them in turn."""
        return micro_batch * self.world_size + self.rank

    def rows_of(self, batch_size: int) -> range:
        """The rows of a batch that this rank takes where a batch has no micro-batches."""
        return range(self.rank, batch_size, self.world_size)

    @property
    def roll_call(self) -> RollCall:
        """What the ranks say of themselves; torchrun's own process keeps it."""
        return RollCall.of(self.rank, self.world_size)

    def say(self, word: str, text: str = "") -> None:
        """Tell the other ranks, if there are any."""
        if self.world_size > 1:
            self.roll_call.say(word, text)

    def barrier(self, device: torch.device) -> None:
        """Wait for all ranks; the first call creates the process group. A single process does not wait.

        Raises LostRankError, as all methods that exchange something, when a rank is gone.
        """
        if self.world_size == 1:
            return
        with self._exchange():
            if not distributed.is_initialized():
                self.roll_call.wait_for_all("ready")  # in Python, where a signal interrupts it
                distributed.init_process_group(
                    "nccl" if device.type == "cuda" else "gloo",
                    timeout=TIMEOUT,
                    store=open_store("group", self.rank, self.world_size),
                    rank=self.rank,
                    world_size=self.world_size,
                )
            distributed.barrier(device_ids=[device.index] if device.type == "cuda" else None)

    def meet(self) -> None:
        """Wait for all ranks between two steps: whoever finds one gone here has nothing half done."""
        if self.world_size > 1:
            self._all_reduce(torch.zeros(1, device=self._find_device()))

    def collect(self, name: str, text: str) -> list[str]:
        """The text of every rank, by rank; also before there is a process group."""
        with self._exchange():
            return self.roll_call.collect(name, text)

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
            for rank in missing:
                if reason := self.roll_call.read_failure(rank):
                    what = f"rank {rank} of {self.world_size} failed ({reason})"
                    break
            if not missing:
                what = f"the connection between the ranks broke ({str(error).splitlines()[0][:200]})"
            raise LostRankError(what) from error

    def shutdown(self) -> None:
        """Destroy the process group, after which the other ranks may end. A single process does nothing."""
        if self.world_size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def disconnect(self) -> None:
        """Break this rank's connections, where that cannot block: the others need not wait for its end."""
        if distributed.is_initialized() and distributed.get_backend() == "gloo":
            distributed.destroy_process_group()

    def _all_reduce(
        self, tensor: Tensor, operation: distributed.ReduceOp.RedOpType = distributed.ReduceOp.SUM
    ) -> None:
        with self._exchange():
            distributed.all_reduce(tensor, operation)

    def _find_device(self) -> str:
        """Where numbers of the host are exchanged."""
        return "cuda" if distributed.get_backend() == "nccl" else "cpu"

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over all ranks; a gradient that a rank lacks counts as zero."""
        if self.world_size == 1:
            return
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])  # one message, not hundreds
        self._all_reduce(flat)
        flat /= self.world_size
        for parameter, mean in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = mean.view(parameter.shape).to(memory_format=_get_memory_format(parameter))

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all ranks, with the gradient of this rank's own.

        `average_gradients` divides by the number of ranks; so what is computed from it gets the gradient that
        one process with all ranks' samples would compute.
        """
        if self.world_size == 1:
            return value
        total = value.detach().clone(memory_format=torch.contiguous_format)
        self._all_reduce(total)
        return value + (total / self.world_size - value).detach()

    def all_reduce_max(self, value: int) -> int:
        """The largest value that any rank has."""
        if self.world_size == 1:
            return value
        shared = torch.tensor(value, device=self._find_device())
        self._all_reduce(shared, distributed.ReduceOp.MAX)
        return int(shared)

    def all_reduce_sum(self, value: int) -> int:
        """The sum of the ranks' values."""
        if self.world_size == 1:
            return value
        shared = torch.tensor(value, device=self._find_device())
        self._all_reduce(shared)
        return int(shared)

    def union(self, indices: Iterable[int], count: int) -> set[int]:
        """The indices, below `count`, that any rank has."""
        if self.world_size == 1:
            return set(indices)
        mask = torch.zeros(count, dtype=torch.uint8, device=self._find_device())
        mask[list(indices)] = 1
        self._all_reduce(mask, distributed.ReduceOp.MAX)
        return set(mask.nonzero()[:, 0].tolist())

    def broadcast(self, values: Sequence[float]) -> list[float]:
        """Rank 0's values; the other ranks pass as many, of whatever value."""
        if self.world_size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self._find_device())
        with self._exchange():
            distributed.broadcast(shared, 0)
        return shared.tolist()

    def broadcast_module(self, module: nn.Module) -> None:
        """Give all ranks the parameters and buffers of rank 0: other processors may round otherwise."""
        if self.world_size > 1:
            with self._exchange():
                for tensor in (*module.parameters(), *module.buffers()):
                    shared = tensor.detach().contiguous()
                    distributed.broadcast(shared, 0)
                    tensor.detach().copy_(shared)

    def all_reduce_mean(self, losses: LossSums, names: Sequence[str]) -> dict[str, float]:
        """The mean of each loss over all micro-batches of all ranks that have it; every rank gets the same dict.

        losses: at least one. names: all that a rank may have, in one order on all ranks. One message, and one
        copy from the device.
        """
        zero = torch.zeros_like(next(iter(losses.sums.values())))
        sums = torch.stack([losses.sums.get(name, zero) for name in names])
        counts = torch.tensor([float(losses.counts[name]) for name in names])
        if self.world_size > 1:
            shared = torch.cat([sums, to_device(counts, sums.device)])
            self._all_reduce(shared)
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
        self._all_reduce(flat)
        flat /= self.world_size
        for buffer, mean in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(mean.view(buffer.shape))


def _get_memory_format(parameter: Tensor) -> torch.memory_format:
    is_channels_last = parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_channels_last else torch.contiguous_format
