"""Batches of training samples, prepared by other processes and copied to the device ahead of time.

The batches are the same whatever the number of processes, and from any step on.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from sketchforge.errors import SketchforgeError
from sketchforge.pairs import normalized
from sketchforge.seeding import torch_generator
from sketchforge.shards.order import OrderedBatches
from sketchforge.signals import held

ALIGNMENT = 64  # bytes, of tensors within the memory of a batch


def batches(
    dataset: Dataset,
    batch_size: int,
    start_step: int,
    num_steps: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader:
    """The batches of steps start_step … start_step + num_steps - 1 for one rank, as dicts of stacked tensors.

    A position's sample is the same whatever `workers` is (processes; 0: none, read when asked for), and so
    are the batches. Workers do not see Ctrl-C, which is the main process's to handle, and what goes wrong in
    one is raised as the SketchforgeError it is, one line. ValueError for numbers that make no sense.
    """
    if batch_size < 1 or start_step < 0 or num_steps < 0 or workers < 0:
        found = f"{batch_size=}, {start_step=}, {num_steps=}, {workers=}"
        raise ValueError(f"{found}: expected none below 0, and batches of 1 or more")
    if not 0 <= rank < world:
        raise ValueError(f"rank={rank}: expected 0 to {world - 1}, for there are {world}")
    return _Loader(
        _Reporting(dataset),
        batch_sampler=OrderedBatches(batch_size, start_step, num_steps, rank, world),
        collate_fn=_collate,
        num_workers=workers,
        pin_memory=pin_memory,
        multiprocessing_context=_worker_context() if workers else None,
        worker_init_fn=_start_worker if workers else None,
        generator=torch_generator(0, "loader"),  # nobody uses what is drawn from it
    )


@dataclass(frozen=True)
class _Failure:
    """An error on its way out of a worker: torch would make a page of it."""

    error: SketchforgeError


class _Reporting(Dataset):
    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitems__(self, positions: list[int]) -> list[Any] | _Failure:
        try:
            return [self.dataset[position] for position in positions]
        except SketchforgeError as error:
            return _Failure(error)


class _Packed(NamedTuple):
    """A batch. Every tensor that leaves a worker costs a file in shared memory and a handshake, together
    longer than it takes to decode a sample: so all of them leave as one."""

    contents: Tensor  # uint8 (bytes,)
    # name, dtype, shape, where in `contents` it begins
    parts: list[tuple[str, torch.dtype, tuple[int, ...], int]]
    others: dict[str, list[Any]]  # what is no tensor, by name, of every sample

    def tensors(self) -> dict[str, Tensor]:
        """The batch's tensors, in the memory of `contents`."""
        found = {}
        for name, dtype, shape, start in self.parts:
            end = start + math.prod(shape) * dtype.itemsize
            found[name] = self.contents[start:end].view(dtype).view(*shape)
        return found

    def batch(self) -> dict[str, Any]:
        return self.tensors() | {name: default_collate(values) for name, values in self.others.items()}


def _collate(samples: list[Any] | _Failure) -> Any:
    if isinstance(samples, _Failure):
        return samples
    columns = {name: [sample[name] for sample in samples] for name in samples[0]}
    tensors = {name: values for name, values in columns.items() if isinstance(values[0], Tensor)}
    others = {name: values for name, values in columns.items() if name not in tensors}
    parts, end = [], 0
    for name, values in tensors.items():
        shape = (len(values), *values[0].shape)
        parts.append((name, values[0].dtype, shape, end))
        end += -(-math.prod(shape) * values[0].dtype.itemsize // ALIGNMENT) * ALIGNMENT
    packed = _Packed(_memory(end), parts, others)
    for name, stacked in packed.tensors().items():
        # By numpy: torch would part it among threads, which wait for each other longer than it takes.
        np.stack([value.numpy() for value in tensors[name]], out=stacked.numpy())
    return packed


def _memory(num_bytes: int) -> Tensor:
    """uint8 (num_bytes,), to be filled; in a worker it is memory that processes share."""
    if get_worker_info() is None:
        return torch.empty(num_bytes, dtype=torch.uint8)
    return torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(num_bytes))


class _Loader(DataLoader):
    def __iter__(self) -> Iterator[Any]:
        if self.num_workers:
            # It lets signals through when it starts, which must not happen in the block below.
            resource_tracker.ensure_running()
        with held(signal.SIGINT):  # workers inherit that it is held, until they ignore it
            batches = super().__iter__()
        while True:
            try:
                batch = next(batches, None)
            except (RuntimeError, ConnectionError, EOFError) as error:
                # The loader's own word for it, or a broken line to the process that has the tensors.
                lost = not isinstance(error, RuntimeError) or str(error).startswith("DataLoader worker (pid")
                if not (self.num_workers and lost):
                    raise
                raise SketchforgeError(
                    "a process that reads samples died, out of memory (or of shared memory, /dev/shm) as a "
                    "rule; try fewer --workers, or 0"
                ) from error
            if batch is None:
                return
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch.batch()


def _worker_context() -> multiprocessing.context.BaseContext:
    """Never fork this process: threads of torch or cv2 may hold locks. A fork server imports them once and
    uses them not; where there is none, every worker imports them for itself."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start_worker(number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)  # the processes are the parallelism; torch's loader sees to its own threads
    torch.set_num_threads(1)


class DevicePrefetch:
    """Batches on a device, the next one on its way while one is trained on.

    loader: batches as dicts; tensors go to the device, of them uint8 ones become float32 in [-1, 1] there
    (pictures travel at a quarter of the size), anything else stays as it is. On CUDA, copies run on a stream
    of their own from pinned memory.
    """

    def __init__(self, loader: Iterable[Mapping[str, Any]], device: torch.device) -> None:
        self._loader, self._device = loader, torch.device(device)
        self._waited = 0.0

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    @property
    def waited(self) -> float:
        """Seconds spent waiting for the loader since this was last asked."""
        waited, self._waited = self._waited, 0.0
        return waited

    def __iter__(self) -> Iterator[dict[str, Any]]:
        loader = iter(self._loader)
        if self._device.type != "cuda":
            while (batch := self._next(loader)) is not None:
                yield {name: self._moved(value) for name, value in batch.items()}
            return
        stream = torch.cuda.Stream(self._device)
        ahead = self._copied(self._next(loader), stream)
        while ahead is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(stream)
            for value in ahead.values():
                if isinstance(value, Tensor):
                    value.record_stream(current)  # or its memory might be given away while it is in use
            batch, ahead = ahead, self._copied(self._next(loader), stream)
            yield batch

    def _next(self, loader: Iterator[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        start = time.perf_counter()
        batch = next(loader, None)
        self._waited += time.perf_counter() - start
        return batch

    def _copied(self, batch: Mapping[str, Any] | None, stream: torch.cuda.Stream) -> dict[str, Any] | None:
        if batch is None:
            return None
        with torch.cuda.stream(stream):
            return {name: self._moved(value) for name, value in batch.items()}

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if self._device.type == "cuda" and value.device.type == "cpu" and not value.is_pinned():
            value = value.pin_memory()
        value = value.to(self._device, non_blocking=self._device.type == "cuda")
        return normalized(value) if value.dtype == torch.uint8 else value
