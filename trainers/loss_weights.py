"""Weights of losses, as `--loss NAME=WEIGHT` gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sketchforge.errors import UsageError

INFINITY = float("inf")


def read_weights(given: Iterable[tuple[str, float]], names: Sequence[str]) -> dict[str, Any]:
    """Weights by name, as `replace` of a recipe takes them. Raises UsageError for names that are not in `names`, and for weights below 0."""
    for name, weight in given:
        if name not in names:
            raise UsageError(f"--loss {name}: no such loss; there are {', '.join(names)}")
        if not 0 <= weight < INFINITY:
            raise UsageError(f"--loss {name}={weight}: expected a weight of 0 (off) or more")
    return dict(given)
