"""Estimates of strokes and realism: medians, distances from the references' distributions, AUC and KID."""

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
    """The median over sketches, p10 and p90 of each of SUMMARISED; blank sketches are reported in `gaps`."""
    members = measured.members
    result = {}
    columns = {measure: _collect_column(measured.strokes, measure) for measure in SUMMARISED}
    known_columns = {measure: column for measure, column in columns.items() if not np.isnan(column).all()}

    def medians(indices: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in indices])
        return {measure: _compute_median(column[sketches]) for measure, column in known_columns.items()}

    for measure, estimate in estimate_all(len(members), medians, seed).items():
        p10, p90 = (float(value) for value in np.percentile(values_of(measured.strokes, measure), (10, 90)))
        images = sum(not np.isnan(known_columns[measure][group]).all() for group in members)
        result[measure] = Estimate(estimate.value, estimate.low, estimate.high, images, p10, p90)
    num_blank = sum(strokes.ink == 0 for strokes in measured.strokes)
    if num_blank:
        gaps.append(
            MissingMetric(
                name,
                STROKES,
                f"blank, so only ink and fragments count: {num_blank} of {len(measured.strokes)}",
            )
        )
    return result


def stroke_distances(
    measured: Measured, reference: Measured, name: str, seed: int, gaps: list[MissingMetric], resampled: bool
) -> dict[str, Estimate]:
    """`distance_MEASURE` for each of COMPARED (see `compare_strokes`); those without one go to `gaps`."""
    members = measured.members
    comparison = compare_strokes(measured.strokes, reference.strokes)
    distances: dict[str, Callable[[np.ndarray], float]] = {}
    for measure in (measure for measure in COMPARED if comparison[measure] is not None):
        distances[measure] = wasserstein(
            _collect_column(measured.strokes, measure), _collect_column(reference.strokes, measure)
        )
    unknown = ", ".join(measure for measure in COMPARED if measure not in distances)
    if unknown:
        gaps.append(
            MissingMetric(
                name, STROKES, f"no distance in {unknown}: none has a value, or all references the same"
            )
        )

    def compute_distances(indices: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in indices])
        return {f"distance_{measure}": distance(sketches) for measure, distance in distances.items()}

    return estimate_all(len(members), compute_distances, seed, resampled)


def wasserstein(values: np.ndarray, reference: np.ndarray) -> Callable[[np.ndarray], float]:
    """A function of indices into `values`: the distance of these from the reference, as in `compare_strokes`.

    For resampling: what does not depend on the indices is computed once. NaN stands for no value.
    """
    reference_values = np.sort(reference[~np.isnan(reference)])
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    sorted_values = values[order]
    points = np.sort(np.concatenate([sorted_values, reference_values]))
    widths = np.diff(points) / distribution_of(reference_values)
    reference_share = np.searchsorted(reference_values, points[:-1], "right") / len(reference_values)
    below = np.searchsorted(sorted_values, points[:-1], "right")

    def distance(indices: np.ndarray) -> float:
        counts = np.bincount(indices, minlength=len(values))[order]
        sums = np.concatenate([[0], np.cumsum(counts)])
        return float(np.abs(sums[below] / sums[-1] - reference_share) @ widths) if sums[-1] else math.nan

    return distance


def stroke_values(strokes: Sequence[Strokes]) -> dict[str, list[float]]:
    """The values of each of SUMMARISED over the sketches that have one."""
    return {measure: values_of(strokes, measure).tolist() for measure in SUMMARISED}


def _collect_column(strokes: Sequence[Strokes], measure: str) -> np.ndarray:
    """One field of Strokes over sketches, float64 (N,), NaN for None."""
    return np.array(
        [math.nan if (value := getattr(sketch, measure)) is None else value for sketch in strokes], float
    )


def _compute_median(values: np.ndarray) -> float:
    """The median of the values that are not NaN; NaN where there are none."""
    known = np.sort(values[~np.isnan(values)])  # np.median takes several times as long for so few
    return float(known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2 if len(known) else math.nan


# Estimates of realism: the AUC of the two-sample test and KID, each against the references.


def estimate_auc(
    measured: Measured,
    reference: Measured,
    name: str,
    seed: int,
    gaps: list[MissingMetric],
    resampled: bool,
    runs: int,
) -> dict[str, Estimate]:
    """`auc`, the mean over `runs` of the test; empty, with a gap, where a run has too few images.

    A run's AUC depends on the patches it takes to balance the ink, and on its folds. A resampling samples
    images once for all runs, so the interval is that of the mean.
    """
    seeds = [derive_seed(seed, "two-sample test", run) for run in range(runs)]
    try:
        results = [
            two_sample_test(*_collect_patches(measured), *_collect_patches(reference), run_seed)
            for run_seed in seeds
        ]
    except UsageError as error:
        gaps.append(MissingMetric(name, REALISM, str(error)))
        return {}
    images = np.unique(np.concatenate([result.groups[result.labels] for result in results]))
    wins, pairs = np.stack([ranked_pairs(result, images) for result in results], axis=1)

    def compute_auc(indices: np.ndarray) -> dict[str, float]:
        return {"auc": mean_area(wins[:, indices], pairs[:, indices])}

    return estimate_all(len(images), compute_auc, seed, resampled)


def mean_area(wins: np.ndarray, pairs: np.ndarray) -> float:
    """The AUC, mean over runs, from `ranked_pairs` of each, (runs, images); nan where none has a pair.

    A run that took no patch of the resampled images has no AUC and does not count.
    """
    won, counted = wins.sum(axis=1), pairs.sum(axis=1)
    has_pairs = counted > 0
    return float((won[has_pairs] / counted[has_pairs]).mean()) if has_pairs.any() else math.nan


def ranked_pairs(result: TwoSampleResult, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(wins, pairs) of each of `images`, source images of the first set, each float64 (images,).

    A pair is one of the image's patches with one patch of the second set in the same fold. Won pairs count 1,
    ties a half. The AUC of images sampled with replacement is the sum of their wins over the sum of their
    pairs; the second set is not resampled. `images` are sorted and hold all images of the result's first set.
    """
    image = np.searchsorted(images, result.groups[result.labels])
    wins, pairs = np.zeros(len(result.labels)), np.zeros(len(result.labels))
    for fold in np.unique(result.folds):
        first = np.flatnonzero(result.labels & (result.folds == fold))
        second = np.sort(result.scores[~result.labels & (result.folds == fold)])
        ranks = [np.searchsorted(second, result.scores[first], side) for side in ("left", "right")]
        wins[first], pairs[first] = (ranks[0] + ranks[1]) / 2, len(second)
    won, compared = (np.bincount(image, values[result.labels], len(images)) for values in (wins, pairs))
    return won, compared


def _collect_patches(measured: Measured) -> tuple[np.ndarray, list[str]]:
    groups = [photo for photo, rows in zip(measured.photos, measured.patches, strict=True) for _ in rows]
    return np.concatenate(measured.patches), groups


def estimate_kid(
    measured: Measured, reference: Measured, name: str, seed: int, gaps: list[MissingMetric], resampled: bool
) -> dict[str, Estimate]:
    """`kid` by the built-in encoder; empty, with a gap, where there are too few images."""
    from sketchforge.metrics.kid import kernel_matrices

    try:
        matrices = kernel_matrices(np.stack(measured.features), np.stack(reference.features))
    except UsageError as error:
        gaps.append(MissingMetric(name, REALISM, str(error)))
        return {}
    members = measured.members

    def compute_kid(indices: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in indices])
        return {"kid": matrices.mmd2(np.bincount(sketches, minlength=len(measured.photos)))}

    return estimate_all(len(members), compute_kid, seed, resampled)
