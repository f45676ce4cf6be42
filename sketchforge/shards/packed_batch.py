"""A batch in one piece of memory.

Every tensor that leaves a process costs a file in shared memory and a handshake, together longer than it takes to
decode a sample: so a batch leaves as one, or in a place of a pool as none at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from sketchforge.shards.batch_pool import BatchPool, Slot

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
    Each is let go before the next one is asked for: decoded pictures of a whole batch at once would make the
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
