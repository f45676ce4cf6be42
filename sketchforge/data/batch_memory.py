"""A batch in one piece of memory.

Every tensor that leaves a process costs a file in shared memory and a handshake, together longer than it takes to
decode a sample: so a batch leaves as one, or in a place of a pool as none at all.
"""

from __future__ import annotations

import itertools
import math
import mmap
import os
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import reduction
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

ALIGNMENT = 64  # bytes, of tensors within a batch
_WHOLE = np.dtype(np.int64)  # what Python's whole numbers become


class Part(NamedTuple):
    """Where a tensor lies in the memory of a batch."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int  # byte

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class PackedBatch:
    """A batch: its tensors in one piece of memory, and what is no tensor."""

    contents: Tensor  # uint8 (bytes,)
    parts: list[Part]
    others: dict[str, list[Any]]  # by name, of every sample
    slot: Slot | None = None  # where `contents` lies, if that is in a pool

    def tensors(self) -> dict[str, Tensor]:
        """The batch's tensors, in the memory of `contents`."""
        typed = {
            dtype: self.contents.view(_torch_dtype(dtype)) for dtype in {part.dtype for part in self.parts}
        }
        return {
            name: typed[dtype].narrow(0, start // dtype.itemsize, math.prod(shape)).view(shape)
            for name, dtype, shape, start in self.parts
        }

    def batch(self) -> dict[str, Any]:
        return self.tensors() | {name: default_collate(values) for name, values in self.others.items()}

    def pin_memory(self, *device: Any) -> PackedBatch:
        """What torch's loader calls, in a thread, where a batch goes to a GPU; the pool's memory is free then."""
        return PackedBatch(self.contents.pin_memory(*device), self.parts, self.others)

    def received(self) -> PackedBatch:
        """This batch as the process that has the pool gets it: with its last tensor its place is free."""
        if self.slot is None:
            return self
        return _received(self.slot.pool, self.slot.number, len(self.contents), self.parts, self.others)

    def __reduce__(self) -> tuple:  # as it leaves a worker
        if self.slot is None:
            return PackedBatch, (self.contents, self.parts, self.others)
        return _received, (self.slot.pool, self.slot.number, len(self.contents), self.parts, self.others)


def pack(samples: Iterable[Mapping[str, Any]], count: int, slot: Slot | None = None) -> PackedBatch:
    """`count` samples, each with the names, dtypes and shapes of the first one: tensors, arrays and whole
    numbers stacked.

    They lie in `slot` where they fit; else in memory of their own, which a worker shares with other processes.
    Each is let go before the next one is asked for: decoded images of a whole batch at once would make the
    heap grow and shrink, and be paged in anew, every time.
    """
    packed, rows = None, {}
    for row, sample in enumerate(samples):
        if packed is None:
            packed = _empty(sample, count, slot)
            memory = packed.contents.numpy()
            rows = {
                name: np.ndarray(shape, dtype, memory, start) for name, dtype, shape, start in packed.parts
            }
        for name, value in sample.items():
            if name not in rows:
                packed.others[name].append(value)
            else:
                # By numpy: torch would part it among threads, which wait for each other longer than it takes.
                rows[name][row] = value.numpy() if isinstance(value, Tensor) else value
    if packed is None:
        raise ValueError("no samples: expected a batch of 1 or more")
    return packed


def packed_bytes(sample: Mapping[str, Any], count: int) -> int:
    """How much memory the tensors of `count` samples like this one take."""
    return _laid_out(sample, count)[1]


def _empty(sample: Mapping[str, Any], count: int, slot: Slot | None) -> PackedBatch:
    parts, num_bytes = _laid_out(sample, count)
    if slot is not None and num_bytes > slot.memory.nbytes:
        slot = None  # and it is not used again: samples have one size as a rule, or they could not be stacked
    if slot is not None:
        contents = torch.from_numpy(slot.memory[:num_bytes])
    elif get_worker_info() is None:
        contents = torch.empty(num_bytes, dtype=torch.uint8)
    else:
        contents = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(num_bytes))
    others = sample.keys() - {part.name for part in parts}
    return PackedBatch(contents, parts, {name: [] for name in sample if name in others}, slot)


def _laid_out(sample: Mapping[str, Any], count: int) -> tuple[list[Part], int]:
    """The tensors of `count` samples like this one, and how many bytes they take."""
    parts, end = [], 0
    for name, value in sample.items():
        if isinstance(value, Tensor):
            value = value.numpy()
        if isinstance(value, np.ndarray) or type(value) is int:
            dtype, shape = getattr(value, "dtype", _WHOLE), getattr(value, "shape", ())
            parts.append(Part(name, dtype, (count, *shape), end))
            end += -(-parts[-1].num_bytes // ALIGNMENT) * ALIGNMENT
    return parts, end


@lru_cache
def _torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


def _received(pool: int, slot: int, num_bytes: int, parts: list[Part], others: dict[str, Any]) -> PackedBatch:
    return PackedBatch(BatchPool.of(pool).contents(slot, num_bytes), parts, others)


# Memory for batches, shared by the processes that make them and the one that trains, and used again.
#
# Memory fresh from the system costs a page fault for every 4 KB, of a batch nearly as much as decoding it. So a batch
# lies where an earlier one lay, as soon as nobody holds that any longer.


@dataclass(frozen=True)
class Slot:
    """A place for one batch in a pool, as a process that fills it has it."""

    pool: int
    number: int
    memory: np.ndarray  # uint8 (bytes,)


class PoolMemory:
    """The memory of a pool, shared by all processes that have this object: pickled to one at its start."""

    def __init__(self, pool: int, slot_bytes: int, file: int) -> None:
        self.pool, self._slot_bytes, self._file = pool, slot_bytes, file
        weakref.finalize(self, os.close, file)
        self._map = mmap.mmap(file, os.fstat(file).st_size)

    def slot(self, number: int) -> Slot:
        memory = np.frombuffer(self._map, np.uint8, self._slot_bytes, number * self._slot_bytes)
        return Slot(self.pool, number, memory)

    def __reduce__(self) -> tuple:
        return _attached, (self.pool, self._slot_bytes, reduction.DupFd(self._file))


class BatchPool:
    """Places for batches, of the process that reads them: it says which is to be filled, and knows which are free.

    A place is free again when the last tensor of the batch in it is gone. Until then it is not written to,
    whatever its holder does: where none is free, batches come in memory of their own.
    """

    _all: weakref.WeakValueDictionary[int, BatchPool] = weakref.WeakValueDictionary()
    _numbers = itertools.count()

    def __init__(self, slots: int, slot_bytes: int) -> None:
        slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        # Not a file in /dev/shm, of which containers have 64 MB as a rule.
        file = os.memfd_create("sketchforge-batches")
        os.ftruncate(file, slots * slot_bytes)
        self.memory = PoolMemory(next(self._numbers), slot_bytes, file)
        self._free = list(range(slots))
        self._all[self.memory.pool] = self

    @staticmethod
    def possible() -> bool:
        """Whether this system has such memory: Linux has."""
        return hasattr(os, "memfd_create")

    def take(self) -> int | None:
        """The number of a place to be filled, the one last in use; None where all are."""
        return self._free.pop() if self._free else None

    def contents(self, number: int, num_bytes: int) -> Tensor:
        """uint8 (num_bytes,): what lies in a place; with the last reference to its storage the place is free."""
        memory = self.memory.slot(number).memory[:num_bytes]
        # torch keeps this very array for as long as any tensor is a view of its memory.
        weakref.finalize(memory, self._free.append, number).atexit = False
        return torch.from_numpy(memory)

    @classmethod
    def of(cls, number: int) -> BatchPool:
        return cls._all[number]


def _attached(pool: int, slot_bytes: int, file: Any) -> PoolMemory:
    return PoolMemory(pool, slot_bytes, file.detach())
