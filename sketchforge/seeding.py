"""Randomness as a pure function of (seed, purpose, key).

Nothing here reads or changes global random state, so the order in which work is done, the number of workers and
the point at which a run was resumed cannot change what is drawn.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import torch


def derive_seed(seed: int, purpose: str, *key: object) -> int:
    """A 63-bit integer that depends on every argument and on nothing else.

    SHA-256 rather than `hash()`, which is salted per process for strings.
    """
    text = "\x1f".join([str(int(seed)), purpose, *map(str, key)])
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1


def numpy_generator(seed: int, purpose: str, *key: object) -> numpy.random.Generator:
    """A fresh NumPy generator for this (seed, purpose, key)."""
    import numpy

    return numpy.random.default_rng(derive_seed(seed, purpose, *key))


def torch_generator(seed: int, purpose: str, *key: object) -> torch.Generator:
    """A fresh CPU torch generator for this (seed, purpose, key)."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, purpose, *key))
