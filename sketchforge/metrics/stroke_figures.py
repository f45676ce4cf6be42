"""Strokes summarised: medians over sketches, and how far their distributions are from the references'."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sketchforge.metrics.evaluation import COMPARED, STROKES, SUMMARISED, Figure, Gap
from sketchforge.metrics.figures import figures_of
from sketchforge.metrics.measuring import Measured
from sketchforge.metrics.strokes import Strokes, compare, spread_of, values_of


def stroke_figures(measured: Measured, name: str, seed: int, gaps: list[Gap]) -> dict[str, Figure]:
    """Of each of SUMMARISED the median over sketches, p10 and p90. Blank sketches are told in `gaps`."""
    members = measured.members
    result = {}
    table = {part: _column(measured.strokes, part) for part in SUMMARISED}
    known = {part: column for part, column in table.items() if not np.isnan(column).all()}

    def medians(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {part: _median(column[sketches]) for part, column in known.items()}

    for part, figure in figures_of(len(members), medians, seed).items():
        p10, p90 = (float(value) for value in np.percentile(values_of(measured.strokes, part), (10, 90)))
        images = sum(not np.isnan(known[part][group]).all() for group in members)
        result[part] = Figure(figure.value, figure.low, figure.high, images, p10, p90)
    blank = sum(one.ink == 0 for one in measured.strokes)
    if blank:
        gaps.append(
            Gap(name, STROKES, f"blank, so only ink and fragments count: {blank} of {len(measured.strokes)}")
        )
    return result


def stroke_distances(
    measured: Measured, reference: Measured, name: str, seed: int, gaps: list[Gap], resampled: bool
) -> dict[str, Figure]:
    """`distance_PART` for each of COMPARED (see `strokes.compare`). Those without one are told in `gaps`."""
    members = measured.members
    whole = compare(measured.strokes, reference.strokes)
    distances: dict[str, Callable[[np.ndarray], float]] = {}
    for part in (part for part in COMPARED if whole[part] is not None):
        distances[part] = wasserstein(_column(measured.strokes, part), _column(reference.strokes, part))
    unknown = ", ".join(part for part in COMPARED if part not in distances)
    if unknown:
        gaps.append(
            Gap(name, STROKES, f"no distance in {unknown}: none has a value, or all references the same")
        )

    def of(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {f"distance_{part}": distance(sketches) for part, distance in distances.items()}

    return figures_of(len(members), of, seed, resampled)


def wasserstein(values: np.ndarray, reference: np.ndarray) -> Callable[[np.ndarray], float]:
    """A function of indices into `values`: their distance from the reference, as `strokes.compare` has it.

    For resampling: all that does not depend on the indices is done once. NaN stands for no value.
    """
    theirs = np.sort(reference[~np.isnan(reference)])
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    ours = values[order]
    points = np.sort(np.concatenate([ours, theirs]))
    widths = np.diff(points) / spread_of(theirs)
    share = np.searchsorted(theirs, points[:-1], "right") / len(theirs)
    below = np.searchsorted(ours, points[:-1], "right")

    def distance(indices: np.ndarray) -> float:
        counts = np.bincount(indices, minlength=len(values))[order]
        sums = np.concatenate([[0], np.cumsum(counts)])
        return float(np.abs(sums[below] / sums[-1] - share) @ widths) if sums[-1] else math.nan

    return distance


def stroke_values(strokes: Sequence[Strokes]) -> dict[str, list[float]]:
    """Of each of SUMMARISED the values of all sketches that have one."""
    return {part: values_of(strokes, part).tolist() for part in SUMMARISED}


def _column(strokes: Sequence[Strokes], part: str) -> np.ndarray:
    """One part of Strokes over sketches, float64, NaN for none."""
    return np.array([math.nan if (value := getattr(one, part)) is None else value for one in strokes], float)


def _median(values: np.ndarray) -> float:
    """Of those that are no NaN; NaN where there are none."""
    known = np.sort(values[~np.isnan(values)])  # np.median takes several times as long for so few
    return float(known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2 if len(known) else math.nan
