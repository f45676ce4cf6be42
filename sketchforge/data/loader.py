"""Batches of training samples, prepared by worker processes.

A step's batch is the same whatever the number of processes and whatever step the training starts from.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from torch.utils.data import DataLoader, Dataset

from sketchforge.data.batch_memory import BatchPool, PackedBatch, PoolMemory, pack, packed_bytes
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.order import OrderedBatches, batch_positions
from sketchforge.data.worker_process import (
    describe_death,
    describe_failure,
    end_workers,
    kept_child_handler,
    pass_on_warnings,
    start_worker,
)
from sketchforge.errors import SketchforgeError
from sketchforge.utils.seeding import torch_generator
from sketchforge.utils.signals import deferred_signals

PREFETCHED = 4  # batches in preparation per worker: with two, a late one makes the others wait
HELD = 3  # batches that the training process holds at most: one in transfer, one in use, one just read
CHECK_SECONDS = 2  # how often a process that waits for a batch looks after its workers
PATIENCE = 60.0  # seconds without a batch before a warning tells what is waited for; doubled every time

_logger = logging.getLogger(__name__)


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
    for any number. Workers ignore Ctrl-C and SIGTERM, which the main process handles. A SketchforgeError in a
    worker is raised here as the same error, any other one as a SketchforgeError of one line; so is a worker's
    death. Their warnings, and one where no batch comes for long, go to the log "sketchforge". Raises ValueError
    for numbers out of range.
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
        context = _get_worker_context()
        warnings, warnings_end = context.Pipe(duplex=False)
        loader = DataLoader(
            packer,
            batch_sampler=tasks,  # type: ignore[arg-type]  # what `__getitems__` takes, any object will do
            collate_fn=_return_as_is,
            num_workers=self.workers,
            prefetch_factor=PREFETCHED,
            pin_memory=self.pin_memory,
            timeout=CHECK_SECONDS,
            multiprocessing_context=context,
            worker_init_fn=partial(start_worker, warnings_end),
            generator=torch_generator(0, "loader"),  # its numbers are never used
        )
        others = {*multiprocessing.active_children()}
        # The tracker unblocks signals when it starts, which must not happen in the block below.
        resource_tracker.ensure_running()
        # Workers inherit the deferral, until they ignore the signals.
        with deferred_signals(signal.SIGINT, signal.SIGTERM), kept_child_handler():
            packed = iter(loader)
        processes = [process for process in multiprocessing.active_children() if process not in others]
        try:
            for step, _ in enumerate(tasks.order, tasks.order.start_step):
                yield self._await_batch(packed, step, warnings)
        except (ConnectionError, EOFError, RuntimeError) as error:
            # A broken connection to the process with the tensors, or the loader's own message.
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker (pid"):
                raise
            raise SketchforgeError(describe_death(processes)) from error
        finally:
            end_workers(processes)
            pass_on_warnings(warnings)
            warnings.close()
            warnings_end.close()
            if (cache := self.dataset.shards.cache) is not None:
                cache.sweep()

    def _await_batch(
        self, packed: Iterator[PackedBatch | _Failure], step: int, warnings: Connection
    ) -> PackedBatch | _Failure:
        started_at, patience = time.monotonic(), PATIENCE
        while True:
            pass_on_warnings(warnings)
            try:
                return next(packed)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader timed out"):
                    raise
            if (seconds := time.monotonic() - started_at) > patience:
                patience *= 2
                _logger.warning(
                    "no batch for %.0f s; waiting for %s; Ctrl-C ends the training, no step is lost",
                    seconds,
                    self._describe_sources(step),
                )

    def _describe_sources(self, step: int) -> str:
        """The shards that the batch of a step is read from, three at most."""
        order, dataset = self.order, self.dataset
        positions = batch_positions(step, order.batch_size, order.rank, order.world)
        shards = sorted({dataset.order[position][0] for position in positions})
        more = f" and {len(shards) - 3} more" if len(shards) > 3 else ""
        return ", ".join(dataset.shards.address(shard) for shard in shards[:3]) + more

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


class _BatchPacker(Dataset[Any]):
    """The dataset for torch's loader: reads and packs the batch of a task."""

    def __init__(self, dataset: ShardDataset, memory: PoolMemory | None) -> None:
        self.dataset, self.memory = dataset, memory

    def __getitems__(self, task: tuple[int | None, list[int]]) -> PackedBatch | _Failure:
        number, positions = task
        slot = None if number is None or self.memory is None else self.memory.slot(number)
        try:
            return pack(self.dataset.samples(positions), len(positions), slot)
        except SketchforgeError as error:
            return _Failure(error)
        except Exception as error:
            return _Failure(describe_failure(error))

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
