"""Batches of training samples, prepared by worker processes.

A step's batch is the same whatever the number of processes and whatever step the training starts from.
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

PREFETCHED = 4  # batches in preparation per worker: with two, a late one makes the others wait
HELD = 3  # batches that the training process holds at most: one in transfer, one in use, one just read


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

    workers: processes that read; 0: none, each batch is read when it is requested. The batches are the same
    for any number. Workers ignore Ctrl-C, which the main process handles. A SketchforgeError in a worker is
    raised here as the same error, one line. Raises ValueError for numbers out of range.
    """
    if batch_size < 1 or start_step < 0 or num_steps < 0 or workers < 0:
        numbers = f"{batch_size=}, {start_step=}, {num_steps=}, {workers=}"
        raise ValueError(f"{numbers}: expected none below 0, and batches of 1 or more")
    if not 0 <= rank < world:
        raise ValueError(f"rank={rank}: expected 0 to {world - 1}, for there are {world}")
    return Batches(
        dataset, OrderedBatches(batch_size, start_step, num_steps, rank, world), workers, pin_memory
    )


@dataclass(frozen=True)
class Batches:
    """The iterable that `batches` returns; it can be iterated any number of times."""

    dataset: ShardDataset
    order: OrderedBatches
    workers: int
    pin_memory: bool

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        pool = self._create_pool()
        packer, tasks = (
            _BatchPacker(self.dataset, pool.memory if pool else None),
            _BatchTasks(self.order, pool),
        )
        for packed in self._read_by_workers(packer, tasks) if self.workers else map(packer.received, tasks):
            if isinstance(packed, _Failure):
                raise packed.error
            if self.pin_memory and not packed.contents.is_pinned():
                packed = packed.pin_memory()
            yield packed.batch()

    def _read_by_workers(self, packer: _BatchPacker, tasks: _BatchTasks) -> Iterator[PackedBatch | _Failure]:
        loader = DataLoader(
            packer,
            batch_sampler=tasks,
            collate_fn=_return_as_is,
            num_workers=self.workers,
            prefetch_factor=PREFETCHED,
            pin_memory=self.pin_memory,
            multiprocessing_context=_get_worker_context(),
            worker_init_fn=_start_worker,
            generator=torch_generator(0, "loader"),  # its numbers are never used
        )
        # The tracker unblocks signals when it starts, which must not happen in the block below.
        resource_tracker.ensure_running()
        with deferred_signals(signal.SIGINT):  # workers inherit the deferral, until they ignore the signal
            packed = iter(loader)
        try:
            yield from packed
        except (RuntimeError, ConnectionError, EOFError) as error:
            # The loader's own message for a dead worker, or a broken connection to the process with the
            # tensors.
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker (pid"):
                raise
            raise SketchforgeError(
                "a process that reads samples died, out of memory as a rule; try fewer --workers, or 0"
            ) from error

    def _create_pool(self) -> BatchPool | None:
        """Create a pool with a slot for every batch that can exist at a time; None if there can be none."""
        if not BatchPool.possible() or (blank := self.dataset.blank()) is None:
            return None
        num_bytes = packed_bytes(blank, self.order.batch_size)
        try:
            return BatchPool(self.workers * PREFETCHED + HELD, num_bytes) if num_bytes else None
        except OSError:
            return None  # no such memory, or not enough: each batch gets new memory


@dataclass(frozen=True)
class _BatchTasks:
    """A task per batch: the slot of the pool to fill (None: new memory), and the batch's positions."""

    order: OrderedBatches
    pool: BatchPool | None

    def __iter__(self) -> Iterator[tuple[int | None, list[int]]]:
        for positions in self.order:
            yield self.pool.take() if self.pool else None, positions

    def __len__(self) -> int:
        return len(self.order)


@dataclass(frozen=True)
class _Failure:
    """An error returned by a worker: raised there, torch would turn it into a page of text."""

    error: SketchforgeError


class _BatchPacker(Dataset):
    """The dataset for torch's loader: reads and packs the batch of a task."""

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
        """The batch of a task, read and received in this process."""
        packed = self.__getitems__(task)
        return packed if isinstance(packed, _Failure) else packed.received()


def _return_as_is(batch: Any) -> Any:
    return batch


def _get_worker_context() -> multiprocessing.context.BaseContext:
    """Choose how workers start, never by a fork of this process, whose torch or cv2 threads may hold locks.

    A fork server imports both once and uses neither; where there is none, every worker imports them itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start_worker(number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)  # the processes are the parallelism; torch's loader sees to its own threads
    torch.set_num_threads(1)
