"""Choosing a few of many items to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sketchforge.shards.shard_set import ShardSet

MAX_LOOKED_INTO = 32  # shards, of a folder of many: the sidecar and all headers of each are read
Item = TypeVar("Item")


def spread_evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Choose at most `count` of `items`, at equal distances, the first and the last included."""
    if count >= len(items):
        return list(items)
    return [items[round(index * (len(items) - 1) / max(1, count - 1))] for index in range(count)]


def look_into_some(shards: ShardSet, num_samples: Mapping[int, int]) -> ShardSet:
    """The set of at most MAX_LOOKED_INTO shards of a local set, spread evenly over those that hold samples.

    num_samples: of each finished shard, by its number, as `count_samples` has it.
    """
    numbers = [number for number, count in num_samples.items() if count]
    return replace(shards, numbers=spread_evenly(numbers, MAX_LOOKED_INTO))
