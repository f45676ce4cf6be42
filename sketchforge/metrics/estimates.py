"""How sure a figure is, given the images it was measured on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from sketchforge.utils.seeding import numpy_generator

Item = TypeVar("Item")


RESAMPLINGS = 1000  # of the images, for an interval
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number, its interval (None for fewer than two images) and how many images it rests on.

    Of the first references, what compares is the mean over halvings, and the interval theirs. Of strokes,
    `value` is the median over sketches, `p10` and `p90` are the percentiles.
    """

    value: float
    low: float | None
    high: float | None
    images: int
    p10: float | None = None
    p90: float | None = None


@dataclass(frozen=True)
class MissingMetric:
    """What could not be measured, of which row ("" for all), and why."""

    row: str
    block: str
    reason: str


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


def estimate_all(
    count: int,
    statistics: Callable[[np.ndarray], dict[str, float]],
    seed: int,
    resampled: bool = True,
) -> dict[str, Estimate]:
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
        result[name] = Estimate(value, low, high, count)
    return result


def merge_missing(gaps: Sequence[MissingMetric]) -> list[tuple[str, str, str]]:
    """(whose, what, why) with those that differ in their row alone in one."""
    rows: dict[tuple[str, str], list[str]] = {}
    for gap in gaps:
        names = rows.setdefault((gap.block, gap.reason), [])
        names += [gap.row] if gap.row and gap.row not in names else []
    return [(", ".join(names), block, reason) for (block, reason), names in rows.items()]
