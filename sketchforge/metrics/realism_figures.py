"""Realism summarised: the AUC of the two-sample test and KID, each against the references."""

from __future__ import annotations

import math

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.metrics.evaluation import REALISM, Figure, Gap
from sketchforge.metrics.figures import figures_of
from sketchforge.metrics.measuring import Measured
from sketchforge.metrics.realism import TwoSampleResult, two_sample_test
from sketchforge.utils.seeding import derive_seed


def auc_figures(
    measured: Measured,
    reference: Measured,
    name: str,
    seed: int,
    gaps: list[Gap],
    resampled: bool,
    runs: int,
) -> dict[str, Figure]:
    """`auc`, the mean over `runs` of the test; nothing, and a gap, where one of them finds too few images.

    A run's AUC depends on which patches it takes to balance the ink, and on its folds. A resampling draws
    images once for all runs, so the interval is that of the mean.
    """
    seeds = [derive_seed(seed, "two-sample test", run) for run in range(runs)]
    try:
        results = [two_sample_test(*_patches(measured), *_patches(reference), one) for one in seeds]
    except UsageError as error:
        gaps.append(Gap(name, REALISM, str(error)))
        return {}
    images = np.unique(np.concatenate([result.groups[result.labels] for result in results]))
    wins, pairs = np.stack([ranked_pairs(result, images) for result in results], axis=1)

    def of(drawn: np.ndarray) -> dict[str, float]:
        return {"auc": mean_area(wins[:, drawn], pairs[:, drawn])}

    return figures_of(len(images), of, seed, resampled)


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


def kid_figures(
    measured: Measured, reference: Measured, name: str, seed: int, gaps: list[Gap], resampled: bool
) -> dict[str, Figure]:
    """`kid` by the built-in encoder; nothing, and a gap, where there are too few images."""
    from sketchforge.metrics.kernel_distance import kernel_matrices

    try:
        matrices = kernel_matrices(np.stack(measured.features), np.stack(reference.features))
    except UsageError as error:
        gaps.append(Gap(name, REALISM, str(error)))
        return {}
    members = measured.members

    def of(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {"kid": matrices.mmd2(np.bincount(sketches, minlength=len(measured.photos)))}

    return figures_of(len(members), of, seed, resampled)
