"""A batch in one piece of memory.

Every tensor that leaves a process costs a file in shared memory and a handshake, which together take longer
than decoding a sample. So a batch leaves as a single tensor or, in a slot of a pool, as no tensor at all.
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
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

ALIGNMENT = 64  # bytes, of tensors within a batch
_INTEGER = np.dtype(np.int64)  # the dtype of stacked Python ints


class Part(NamedTuple):
    """The location of a tensor in the memory of a batch."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int  # byte

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class PackedBatch:
    """A batch: its tensors in one piece of memory, and its other values."""

    contents: Tensor  # uint8 (bytes,)
    parts: list[Part]
    others: dict[str, list[Any]]  # name -> the value of every sample
    slot: Slot | None = None  # that holds `contents`, if a pool does

    def tensors(self) -> dict[str, Tensor]:
        """The batch's tensors, in the memory of `contents`."""
        views = {
            dtype: self.contents.view(_to_torch_dtype(dtype)) for dtype in {part.dtype for part in self.parts}
        }
        return {
            name: views[dtype].narrow(0, start // dtype.itemsize, math.prod(shape)).view(shape)
            for name, dtype, shape, start in self.parts
        }

    def batch(self) -> dict[str, Any]:
        return self.tensors() | {name: default_collate(values) for name, values in self.others.items()}

    def pin_memory(self, *device: Any) -> PackedBatch:
        """Copy to pinned memory, which frees the slot; for a GPU, torch's loader calls this in a thread."""
        return PackedBatch(self.contents.pin_memory(*device), self.parts, self.others)

    def received(self) -> PackedBatch:
        """The batch as the pool's process receives it: when its last tensor is gone, its slot is free."""
        if self.slot is None:
            return self
        return _receive(self.slot.pool, self.slot.number, len(self.contents), self.parts, self.others)

    def __reduce__(self) -> tuple[Any, ...]:  # pickled when it leaves a worker
        if self.slot is None:
            return PackedBatch, (self.contents, self.parts, self.others)
        return _receive, (self.slot.pool, self.slot.number, len(self.contents), self.parts, self.others)


def pack(samples: Iterable[Mapping[str, Any]], count: int, slot: Slot | None = None) -> PackedBatch:
    """Stack the tensors, arrays and ints of `count` samples, with names, dtypes and shapes of the first.

    The batch is stored in `slot` if it fits; else in new memory, which a worker shares with other processes.
    Each sample is released before the next one is read: the decoded images of a whole batch at once would
    make the heap grow and shrink, with new page faults, for every batch.
    """
    packed, arrays = None, {}
    for row, sample in enumerate(samples):
        if packed is None:
            packed = _allocate(sample, count, slot)
            memory = packed.contents.numpy()
            arrays = {
                name: np.ndarray(shape, dtype, memory, start) for name, dtype, shape, start in packed.parts
            }
        for name, value in sample.items():
            if name not in arrays:
                packed.others[name].append(value)
            else:
                # Copied by numpy: torch would split the copy among threads, whose waiting takes longer than
                # the copy.
                arrays[name][row] = value.numpy() if isinstance(value, Tensor) else value
    if packed is None:
        raise ValueError("no samples: expected a batch of 1 or more")
    return packed


def packed_bytes(sample: Mapping[str, Any], count: int) -> int:
    """The bytes of memory that the tensors of `count` samples like this one take."""
    return _lay_out(sample, count)[1]


def _allocate(sample: Mapping[str, Any], count: int, slot: Slot | None) -> PackedBatch:
    parts, num_bytes = _lay_out(sample, count)
    if slot is not None and num_bytes > slot.memory.nbytes:
        # The slot is never used again: rare, for samples that can be stacked have one size as a rule.
        slot = None
    if slot is not None:
        contents = torch.from_numpy(slot.memory[:num_bytes])
    elif get_worker_info() is None:
        contents = torch.empty(num_bytes, dtype=torch.uint8)
    else:
        storage = torch.UntypedStorage._new_shared(num_bytes)  # type: ignore[no-untyped-call]  # torch's
        contents = torch.empty(0, dtype=torch.uint8).set_(storage)
    other_names = sample.keys() - {part.name for part in parts}
    return PackedBatch(contents, parts, {name: [] for name in sample if name in other_names}, slot)


def _lay_out(sample: Mapping[str, Any], count: int) -> tuple[list[Part], int]:
    """Lay out the tensors of `count` samples like this one: their parts, and how many bytes they take."""
    parts, end = [], 0
    for name, value in sample.items():
        if isinstance(value, Tensor):
            value = value.numpy()
        if isinstance(value, np.ndarray) or type(value) is int:
            dtype, shape = getattr(value, "dtype", _INTEGER), getattr(value, "shape", ())
            parts.append(Part(name, dtype, (count, *shape), end))
            end += -(-parts[-1].num_bytes // ALIGNMENT) * ALIGNMENT
    return parts, end


@lru_cache
def _to_torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


def _receive(pool: int, slot: int, num_bytes: int, parts: list[Part], others: dict[str, Any]) -> PackedBatch:
    return PackedBatch(BatchPool.of(pool).contents(slot, num_bytes), parts, others)


# The pool: memory for batches, shared by the processes that make them and the one that trains, and reused.
#
# New memory from the system costs a page fault for every 4 KB, for a batch nearly as much as decoding it. So
# a batch reuses the slot of an earlier one as soon as no tensor of that is left.


@dataclass(frozen=True)
class Slot:
    """The memory for one batch in a pool, as seen by the process that fills it."""

    pool: int
    number: int
    memory: np.ndarray  # uint8 (bytes,)


class PoolMemory:
    """The memory of a pool, shared by all processes that get this object pickled at their start."""

    def __init__(self, pool: int, slot_bytes: int, file: int) -> None:
        self.pool, self._slot_bytes, self._file = pool, slot_bytes, file
        weakref.finalize(self, os.close, file)
        self._map = mmap.mmap(file, os.fstat(file).st_size)

    def slot(self, number: int) -> Slot:
        memory = np.frombuffer(self._map, np.uint8, self._slot_bytes, number * self._slot_bytes)
        return Slot(self.pool, number, memory)

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (self.pool, self._slot_bytes, reduction.DupFd(self._file))


class BatchPool:
    """The slots for batches, owned by the process that reads them: it assigns them and knows which are free.

    A slot is free again when the last tensor of its batch is gone. Until then it is not written to, whatever
    its holder does: where no slot is free, a batch gets new memory.
    """

    _instances: ClassVar[weakref.WeakValueDictionary[int, BatchPool]] = weakref.WeakValueDictionary()
    _ids = itertools.count()

    def __init__(self, slots: int, slot_bytes: int) -> None:
        slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        # Not a file in /dev/shm: containers limit that to 64 MB as a rule.
        file = os.memfd_create("sketchforge-batches")
        os.ftruncate(file, slots * slot_bytes)
        self.memory = PoolMemory(next(self._ids), slot_bytes, file)
        self._free = list(range(slots))
        self._instances[self.memory.pool] = self

    @staticmethod
    def possible() -> bool:
        """Whether this system has such memory; Linux does."""
        return hasattr(os, "memfd_create")

    def take(self) -> int | None:
        """Take the free slot used most recently, to fill it; returns its number, None where none is free."""
        return self._free.pop() if self._free else None

    def contents(self, number: int, num_bytes: int) -> Tensor:
        """The bytes of a slot, uint8 (num_bytes,); the last reference to their storage frees the slot."""
        memory = self.memory.slot(number).memory[:num_bytes]
        # torch keeps this array object for as long as any tensor is a view of its memory.
        weakref.finalize(memory, self._free.append, number).atexit = False
        return torch.from_numpy(memory)

    @classmethod
    def of(cls, number: int) -> BatchPool:
        return cls._instances[number]


def _attach(pool: int, slot_bytes: int, file: Any) -> PoolMemory:
    return PoolMemory(pool, slot_bytes, file.detach())
