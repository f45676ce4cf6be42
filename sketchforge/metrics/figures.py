"""Figures with their intervals over images."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from sketchforge.metrics.bootstrap import intervals
from sketchforge.metrics.evaluation import LEVEL, RESAMPLINGS, Figure


def figures_of(
    count: int,
    statistics: Callable[[np.ndarray], dict[str, float]],
    seed: int,
    resampled: bool = True,
) -> dict[str, Figure]:
    """Figures of `count` images from a function of their indices, each with its interval.

    All are drawn with one purpose, so whatever rests on equally many images has been resampled alike. Of a
    single image, and where not asked for, there are no intervals.
    """

    @cache  # a few images are drawn alike time and again
    def of(drawn: tuple[int, ...]) -> dict[str, float]:
        return statistics(np.array(drawn))

    values = of(tuple(range(count)))
    ends: dict[str, tuple[float, float]] = {}
    if count > 1 and resampled:
        ends = intervals(range(count), lambda drawn: of(tuple(drawn)), seed, "images", RESAMPLINGS, LEVEL)
    result = {}
    for name, value in values.items():
        low, high = (None if math.isnan(end) else end for end in ends.get(name, (math.nan, math.nan)))
        result[name] = Figure(value, low, high, count)
    return result
