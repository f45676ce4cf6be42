"""Memory for batches, shared by the processes that make them and the one that trains, and used again.

Memory fresh from the system costs a page fault for every 4 KB, of a batch nearly as much as decoding it. So a batch
lies where an earlier one lay, as soon as nobody holds that any longer.
"""

from __future__ import annotations

import itertools
import mmap
import os
import weakref
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch
from torch import Tensor


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
