"""How sure a figure is, given the images it was measured on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from sketchforge.utils.seeding import numpy_generator

Item = TypeVar("Item")


def interval(
    measurements: Sequence[Item],
    statistic: Callable[[Sequence[Item]], float],
    seed: int,
    purpose: str,
    count: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """The percentile bootstrap confidence interval of `statistic` over images (Efron & Tibshirani 1993).

    `measurements` holds one entry per image, whatever was measured of it: sketches of one image belong
    together, so an entry is an image, not a sketch. As many are drawn from them with replacement, `count`
    times, and the middle `level` of the `count` values of the statistic is returned. It says how far the
    figure would be another with other images of the same kind, all else equal: the method, its training run,
    the reference. With fewer than some twenty images, and for extremes, it is too narrow.

    The draws depend on `seed`, `purpose` and the number of measurements alone, so that two methods measured
    on the same images can be compared draw by draw. Raises ValueError where there is nothing to draw from,
    for a `count` below 1, and for a `level` not between 0 and 1.
    """
    return intervals(measurements, lambda drawn: {"": statistic(drawn)}, seed, purpose, count, level)[""]


def intervals(
    measurements: Sequence[Item],
    statistics: Callable[[Sequence[Item]], Mapping[str, float]],
    seed: int,
    purpose: str,
    count: int = 1000,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Of several statistics, by name, what `interval` gives for each, all from the same draws."""
    if not len(measurements):
        raise ValueError("expected at least one measurement, found none")
    if count < 1 or not 0 < level < 1:
        raise ValueError(f"count is {count} and level {level}, expected at least 1 and between 0 and 1")
    generator = numpy_generator(seed, purpose)
    values: dict[str, list[float]] = defaultdict(list)
    for _ in range(count):
        drawn = generator.integers(len(measurements), size=len(measurements))
        for name, value in statistics([measurements[index] for index in drawn]).items():
            values[name].append(value)
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {name: tuple(np.quantile(found, ends).tolist()) for name, found in values.items()}
