"""Shards whose samples tell by their greys which they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.stored import png, store

SIDE, STYLES = 16, ["a", "b", "c"]


SIZES = [4, 1, 6, 3]


TARS = ["00000.tar", "00001.tar", "00002.tar", "00003.tar"]


def sample(number: int, **changes) -> dict:
    levels = [np.full((SIDE, SIDE), 10 * number + sketch, np.uint8) for sketch in range(3)]
    sketches = [png(level, binary=False) for level in levels]
    return {"key": f"k{number:02d}" + "x" * number, "sketches": sketches, "size": (SIDE, SIDE), **changes}


def make_set(folder: Path, sizes=SIZES, captions=(), **options) -> Path:
    """captions: the number of a sample -> its caption."""
    numbers = iter(range(sum(sizes)))
    samples = [[sample(next(numbers)) for _ in range(size)] for size in sizes]
    for number in captions:
        [each for shard in samples for each in shard][number]["caption"] = captions[number]
    return store(folder, samples, STYLES, **{"size": SIDE, **options})
