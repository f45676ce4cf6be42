"""How sure a figure is, given the images it was measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from sketchforge.seeding import numpy_generator

Item = TypeVar("Item")


def interval(
    measurements: Sequence[Item],
    statistic: Callable[[Sequence[Item]], float],
    seed: int,
    purpose: str,
    count: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """The percentile bootstrap confidence interval of `statistic` over images (Efron & Tibshirani 1993, ch. 13).

    `measurements` holds one entry per image, whatever was measured of it. As many are drawn from them with
    replacement, `count` times, and of the `count` values of the statistic the middle `level` is returned: how far it
    would be another with other images of the same kind, the method, its training run and the reference being what
    they are. Below some twenty images, and for extremes, it is too narrow. Sketches of one image belong
    together: an entry is an image, not a sketch.

    The draws depend on `seed`, `purpose` and the number of measurements alone, so two methods measured on
    the same images can be compared draw by draw. Raises ValueError where there is nothing to draw from, for `count`
    below 1, and for a `level` not between 0 and 1.
    """
    if not len(measurements):
        raise ValueError("expected at least one measurement, found none")
    if count < 1 or not 0 < level < 1:
        raise ValueError(f"count is {count} and level {level}, expected at least 1 and between 0 and 1")
    generator = numpy_generator(seed, purpose)
    values = []
    for _ in range(count):
        drawn = generator.integers(len(measurements), size=len(measurements))
        values.append(statistic([measurements[index] for index in drawn]))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
