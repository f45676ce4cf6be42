"""Batches of training samples, prepared by other processes.

The batches are the same whatever the number of processes, and from any step on.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from sketchforge.data.batch_memory import BatchPool, PackedBatch, PoolMemory, pack, packed_bytes
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.order import OrderedBatches
from sketchforge.errors import SketchforgeError
from sketchforge.utils.seeding import torch_generator
from sketchforge.utils.signals import deferred_signals

PREFETCHED = 4  # batches per worker that are under way: with two, one that is late has the others wait
HELD = 3  # and those that the process that trains has at most: one on its way, one in use, one just read


def batches(
    dataset: ShardDataset,
    batch_size: int,
    start_step: int,
    num_steps: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> Batches:
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
    return Batches(
        dataset, OrderedBatches(batch_size, start_step, num_steps, rank, world), workers, pin_memory
    )


@dataclass(frozen=True)
class Batches:
    """What `batches` returns: may be gone through any number of times."""

    dataset: ShardDataset
    order: OrderedBatches
    workers: int
    pin_memory: bool

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        pool = self._pool()
        packing, tasks = _Packing(self.dataset, pool.memory if pool else None), _Tasks(self.order, pool)
        for packed in self._by_workers(packing, tasks) if self.workers else map(packing.received, tasks):
            if isinstance(packed, _Failure):
                raise packed.error
            if self.pin_memory and not packed.contents.is_pinned():
                packed = packed.pin_memory()
            yield packed.batch()

    def _by_workers(self, packing: _Packing, tasks: _Tasks) -> Iterator[PackedBatch | _Failure]:
        loader = DataLoader(
            packing,
            batch_sampler=tasks,
            collate_fn=_as_it_is,
            num_workers=self.workers,
            prefetch_factor=PREFETCHED,
            pin_memory=self.pin_memory,
            multiprocessing_context=_worker_context(),
            worker_init_fn=_start_worker,
            generator=torch_generator(0, "loader"),  # nobody uses what is drawn from it
        )
        # It lets signals through when it starts, which must not happen in the block below.
        resource_tracker.ensure_running()
        with deferred_signals(signal.SIGINT):  # workers inherit that it is held, until they ignore it
            packed = iter(loader)
        try:
            yield from packed
        except (RuntimeError, ConnectionError, EOFError) as error:
            # The loader's own word for it, or a broken line to the process that has the tensors.
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker (pid"):
                raise
            raise SketchforgeError(
                "a process that reads samples died, out of memory as a rule; try fewer --workers, or 0"
            ) from error

    def _pool(self) -> BatchPool | None:
        """Places for as many batches as there can be at a time."""
        if not BatchPool.possible() or (blank := self.dataset.blank()) is None:
            return None
        num_bytes = packed_bytes(blank, self.order.batch_size)
        try:
            return BatchPool(self.workers * PREFETCHED + HELD, num_bytes) if num_bytes else None
        except OSError:
            return None  # no such memory, or not as much: batches come in memory of their own


@dataclass(frozen=True)
class _Tasks:
    """Every batch's positions, and the place in the pool where it is to lie."""

    order: OrderedBatches
    pool: BatchPool | None

    def __iter__(self) -> Iterator[tuple[int | None, list[int]]]:
        for positions in self.order:
            yield self.pool.take() if self.pool else None, positions

    def __len__(self) -> int:
        return len(self.order)


@dataclass(frozen=True)
class _Failure:
    """An error on its way out of a worker: torch would make a page of it."""

    error: SketchforgeError


class _Packing(Dataset):
    """Batches by task, for torch's loader."""

    def __init__(self, dataset: ShardDataset, memory: PoolMemory | None) -> None:
        self.dataset, self.memory = dataset, memory

    def __getitems__(self, task: tuple[int | None, list[int]]) -> PackedBatch | _Failure:
        number, positions = task
        slot = None if number is None else self.memory.slot(number)
        try:
            return pack(self.dataset.samples(positions), len(positions), slot)
        except SketchforgeError as error:
            return _Failure(error)

    def received(self, task: tuple[int | None, list[int]]) -> PackedBatch | _Failure:
        """The same without another process."""
        packed = self.__getitems__(task)
        return packed if isinstance(packed, _Failure) else packed.received()


def _as_it_is(batch: Any) -> Any:
    return batch


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
