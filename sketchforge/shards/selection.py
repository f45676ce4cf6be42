"""Choosing a few of many items to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def spread_evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Choose at most `count` of `items`, at equal distances, the first and the last included."""
    if count >= len(items):
        return list(items)
    return [items[round(index * (len(items) - 1) / max(1, count - 1))] for index in range(count)]
