"""Figures with their intervals over images."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from sketchforge.metrics.bootstrap import interval
from sketchforge.metrics.evaluation import LEVEL, RESAMPLINGS, Figure


def figures_of(
    count: int,
    statistics: Callable[[np.ndarray], dict[str, float]],
    seed: int,
    resamplings: int = RESAMPLINGS,
) -> dict[str, Figure]:
    """Figures of `count` images from a function of their indices, each with its interval.

    All are drawn with one purpose, so whatever rests on equally many images has been resampled alike. Without
    resamplings, and of a single image, there are no intervals.
    """

    @cache
    def of(drawn: tuple[int, ...]) -> dict[str, float]:
        return statistics(np.array(drawn))

    result = {}
    for name, value in of(tuple(range(count))).items():
        low = high = None
        if count > 1 and resamplings:
            low, high = interval(
                range(count),
                lambda drawn, name=name: of(tuple(drawn))[name],
                seed,
                "images",
                resamplings,
                LEVEL,
            )
        ends = [None if end is None or math.isnan(end) else end for end in (low, high)]
        result[name] = Figure(value, *ends, count)
    return result
