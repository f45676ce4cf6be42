"""Strokes summarised: medians over sketches, and how far their distributions are from the references'."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.metrics.estimates import Estimate, MissingMetric, estimate_all
from sketchforge.metrics.sketches.measure_sets import Measured
from sketchforge.metrics.sketches.result import COMPARED, REALISM, STROKES, SUMMARISED
from sketchforge.metrics.sketches.strokes import Strokes, compare_strokes, distribution_of, values_of
from sketchforge.metrics.sketches.two_sample_test import TwoSampleResult, two_sample_test
from sketchforge.utils.seeding import derive_seed


def estimate_strokes(
    measured: Measured, name: str, seed: int, gaps: list[MissingMetric]
) -> dict[str, Estimate]:
    """Of each of SUMMARISED the median over sketches, p10 and p90. Blank sketches are told in `gaps`."""
    members = measured.members
    result = {}
    table = {part: _column(measured.strokes, part) for part in SUMMARISED}
    known = {part: column for part, column in table.items() if not np.isnan(column).all()}

    def medians(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {part: _median(column[sketches]) for part, column in known.items()}

    for part, figure in estimate_all(len(members), medians, seed).items():
        p10, p90 = (float(value) for value in np.percentile(values_of(measured.strokes, part), (10, 90)))
        images = sum(not np.isnan(known[part][group]).all() for group in members)
        result[part] = Estimate(figure.value, figure.low, figure.high, images, p10, p90)
    blank = sum(one.ink == 0 for one in measured.strokes)
    if blank:
        gaps.append(
            MissingMetric(
                name, STROKES, f"blank, so only ink and fragments count: {blank} of {len(measured.strokes)}"
            )
        )
    return result


def stroke_distances(
    measured: Measured, reference: Measured, name: str, seed: int, gaps: list[MissingMetric], resampled: bool
) -> dict[str, Estimate]:
    """`distance_PART` for each of COMPARED (see `strokes.compare`). Those without one are told in `gaps`."""
    members = measured.members
    whole = compare_strokes(measured.strokes, reference.strokes)
    distances: dict[str, Callable[[np.ndarray], float]] = {}
    for part in (part for part in COMPARED if whole[part] is not None):
        distances[part] = wasserstein(_column(measured.strokes, part), _column(reference.strokes, part))
    unknown = ", ".join(part for part in COMPARED if part not in distances)
    if unknown:
        gaps.append(
            MissingMetric(
                name, STROKES, f"no distance in {unknown}: none has a value, or all references the same"
            )
        )

    def of(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {f"distance_{part}": distance(sketches) for part, distance in distances.items()}

    return estimate_all(len(members), of, seed, resampled)


def wasserstein(values: np.ndarray, reference: np.ndarray) -> Callable[[np.ndarray], float]:
    """A function of indices into `values`: their distance from the reference, as `strokes.compare` has it.

    For resampling: all that does not depend on the indices is done once. NaN stands for no value.
    """
    theirs = np.sort(reference[~np.isnan(reference)])
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    ours = values[order]
    points = np.sort(np.concatenate([ours, theirs]))
    widths = np.diff(points) / distribution_of(theirs)
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


# Realism summarised: the AUC of the two-sample test and KID, each against the references.


def estimate_auc(
    measured: Measured,
    reference: Measured,
    name: str,
    seed: int,
    gaps: list[MissingMetric],
    resampled: bool,
    runs: int,
) -> dict[str, Estimate]:
    """`auc`, the mean over `runs` of the test; nothing, and a gap, where one of them finds too few images.

    A run's AUC depends on which patches it takes to balance the ink, and on its folds. A resampling draws
    images once for all runs, so the interval is that of the mean.
    """
    seeds = [derive_seed(seed, "two-sample test", run) for run in range(runs)]
    try:
        results = [two_sample_test(*_patches(measured), *_patches(reference), one) for one in seeds]
    except UsageError as error:
        gaps.append(MissingMetric(name, REALISM, str(error)))
        return {}
    images = np.unique(np.concatenate([result.groups[result.labels] for result in results]))
    wins, pairs = np.stack([ranked_pairs(result, images) for result in results], axis=1)

    def of(drawn: np.ndarray) -> dict[str, float]:
        return {"auc": mean_area(wins[:, drawn], pairs[:, drawn])}

    return estimate_all(len(images), of, seed, resampled)


def mean_area(wins: np.ndarray, pairs: np.ndarray) -> float:
    """The AUC, mean over runs, from `ranked_pairs` of each, (runs, images); nan where none has a pair.

    A run that has taken no patch of the images drawn has no AUC and does not count.
    """
    won, counted = wins.sum(axis=1), pairs.sum(axis=1)
    has_pairs = counted > 0
    return float((won[has_pairs] / counted[has_pairs]).mean()) if has_pairs.any() else math.nan


def ranked_pairs(result: TwoSampleResult, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of `images`, source images of the first set, the pairs of one of its patches with one of the
    second set in the same fold: those won, ties a half, and all of them, each float64 (images,).

    The AUC of images drawn with replacement is the sum of the one over that of the other, the second set as
    it is. `images` are sorted, and all of the result's first set are among them.
    """
    image = np.searchsorted(images, result.groups[result.labels])
    wins, pairs = np.zeros(len(result.labels)), np.zeros(len(result.labels))
    for fold in np.unique(result.folds):
        first = np.flatnonzero(result.labels & (result.folds == fold))
        second = np.sort(result.scores[~result.labels & (result.folds == fold)])
        sides = [np.searchsorted(second, result.scores[first], side) for side in ("left", "right")]
        wins[first], pairs[first] = (sides[0] + sides[1]) / 2, len(second)
    return tuple(np.bincount(image, found[result.labels], len(images)) for found in (wins, pairs))


def _patches(measured: Measured) -> tuple[np.ndarray, list[str]]:
    groups = [photo for photo, rows in zip(measured.photos, measured.patches, strict=True) for _ in rows]
    return np.concatenate(measured.patches), groups


def estimate_kid(
    measured: Measured, reference: Measured, name: str, seed: int, gaps: list[MissingMetric], resampled: bool
) -> dict[str, Estimate]:
    """`kid` by the built-in encoder; nothing, and a gap, where there are too few images."""
    from sketchforge.metrics.kid import kernel_matrices

    try:
        matrices = kernel_matrices(np.stack(measured.features), np.stack(reference.features))
    except UsageError as error:
        gaps.append(MissingMetric(name, REALISM, str(error)))
        return {}
    members = measured.members

    def of(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {"kid": matrices.mmd2(np.bincount(sketches, minlength=len(measured.photos)))}

    return estimate_all(len(members), of, seed, resampled)
