"""Estimates: figures with the confidence interval that the number of images allows."""

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
    """A figure, its confidence interval and the number of images it rests on.

    `low` and `high` bound the interval at LEVEL. Both are None for fewer than two images. Three cases:

    A statistic over images: `value` is the statistic, the interval a bootstrap over images.
        Estimate(0.61, 0.58, 0.64, 120)
    The first set of references, compared with itself: `value` is the mean over halvings of the set, and the
    interval is the middle LEVEL of the halvings' values.
        Estimate(0.50, 0.44, 0.57, 100)
    Strokes: `value` is the median over sketches, `p10` and `p90` are percentiles over sketches.
        Estimate(0.031, 0.029, 0.034, 120, p10=0.018, p90=0.052)
    """

    value: float
    low: float | None
    high: float | None
    images: int
    p10: float | None = None
    p90: float | None = None


@dataclass(frozen=True)
class MissingMetric:
    """What could not be measured: its row ("" for all rows), its block and the reason."""

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

    `measurements` holds one entry per image. Sketches of one image belong together, so an entry is an image,
    not a sketch. Each of `count` resamplings samples as many entries with replacement. The interval is the
    middle `level` of the `count` values of the statistic. It covers the choice of images only: the method,
    its training run and the reference stay fixed. It is too narrow for fewer than some twenty images, and for
    extremes.

    The resamplings depend on `seed`, `purpose` and the number of measurements alone, so two methods measured
    on the same images can be compared resampling by resampling. Raises ValueError for no measurements, for a
    `count` below 1, and for a `level` not between 0 and 1.
    """
    return intervals(measurements, lambda sample: {"": statistic(sample)}, seed, purpose, count, level)[""]


def intervals(
    measurements: Sequence[Item],
    statistics: Callable[[Sequence[Item]], Mapping[str, float]],
    seed: int,
    purpose: str,
    count: int = 1000,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """The `interval` of each of several statistics, by name, all from the same resamplings."""
    if not len(measurements):
        raise ValueError("expected at least one measurement, found none")
    if count < 1 or not 0 < level < 1:
        raise ValueError(f"count is {count} and level {level}, expected at least 1 and between 0 and 1")
    rng = numpy_generator(seed, purpose)
    values: dict[str, list[float]] = defaultdict(list)
    for _ in range(count):
        indices = rng.integers(len(measurements), size=len(measurements))
        for name, value in statistics([measurements[index] for index in indices]).items():
            values[name].append(value)
    quantiles = [(1 - level) / 2, (1 + level) / 2]
    return {name: tuple(np.quantile(resampled, quantiles).tolist()) for name, resampled in values.items()}


def estimate_all(
    count: int,
    statistics: Callable[[np.ndarray], dict[str, float]],
    seed: int,
    resampled: bool = True,
) -> dict[str, Estimate]:
    """Estimates over `count` images from a function of their indices, each with its interval.

    All estimates share one seeding purpose, so those over equally many images share their resamplings. A
    single image has no interval, and neither has any estimate where `resampled` is false.
    """

    @cache  # of a few images the same resampling recurs
    def compute(indices: tuple[int, ...]) -> dict[str, float]:
        return statistics(np.array(indices))

    values = compute(tuple(range(count)))
    bounds: dict[str, tuple[float, float]] = {}
    if count > 1 and resampled:
        bounds = intervals(
            range(count), lambda indices: compute(tuple(indices)), seed, "images", RESAMPLINGS, LEVEL
        )
    result = {}
    for name, value in values.items():
        low, high = (None if math.isnan(bound) else bound for bound in bounds.get(name, (math.nan, math.nan)))
        result[name] = Estimate(value, low, high, count)
    return result


def merge_missing(gaps: Sequence[MissingMetric]) -> list[tuple[str, str, str]]:
    """(rows, block, reason): entries that differ in their row alone become one, rows joined by commas."""
    rows: dict[tuple[str, str], list[str]] = {}
    for missing in gaps:
        names = rows.setdefault((missing.block, missing.reason), [])
        names += [missing.row] if missing.row and missing.row not in names else []
    return [(", ".join(names), block, reason) for (block, reason), names in rows.items()]
