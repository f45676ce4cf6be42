"""Realism summarised: the AUC of the two-sample test and KID, each against the references."""

from __future__ import annotations

import math

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.metrics.evaluation import REALISM, Figure, Gap
from sketchforge.metrics.figures import figures_of
from sketchforge.metrics.measuring import Measured
from sketchforge.metrics.realism import TwoSampleResult, two_sample_test


def auc_figures(
    measured: Measured, reference: Measured, name: str, seed: int, gaps: list[Gap], resamplings: int
) -> dict[str, Figure]:
    """`auc`; nothing, and a gap, where there are too few images."""
    try:
        result = two_sample_test(*_patches(measured), *_patches(reference), seed)
    except UsageError as error:
        gaps.append(Gap(name, REALISM, str(error)))
        return {}
    wins, pairs = ranked_pairs(result)

    def resampled(drawn: np.ndarray) -> dict[str, float]:
        total = pairs[drawn].sum()
        return {"auc": float(wins[drawn].sum() / total) if total else math.nan}

    return figures_of(len(wins), resampled, seed, resamplings)


def ranked_pairs(result: TwoSampleResult) -> tuple[np.ndarray, np.ndarray]:
    """Of each source image of the first set, in order of their names, the pairs of one of its patches with
    one of the second set in the same fold: those won, ties a half, and all of them, each float64 (images,).

    The AUC of images drawn with replacement is the sum of the one over that of the other, the second set as
    it is.
    """
    names, image = np.unique(result.groups[result.labels], return_inverse=True)
    wins, pairs = np.zeros(len(result.labels)), np.zeros(len(result.labels))
    for fold in np.unique(result.folds):
        first = np.flatnonzero(result.labels & (result.folds == fold))
        second = np.sort(result.scores[~result.labels & (result.folds == fold)])
        sides = [np.searchsorted(second, result.scores[first], side) for side in ("left", "right")]
        wins[first], pairs[first] = (sides[0] + sides[1]) / 2, len(second)
    return tuple(np.bincount(image, found[result.labels], len(names)) for found in (wins, pairs))


def _patches(measured: Measured) -> tuple[np.ndarray, list[str]]:
    groups = [photo for photo, rows in zip(measured.photos, measured.patches, strict=True) for _ in rows]
    return np.concatenate(measured.patches), groups


def kid_figures(
    measured: Measured, reference: Measured, name: str, seed: int, gaps: list[Gap], resamplings: int
) -> dict[str, Figure]:
    """`kid` by the built-in encoder; nothing, and a gap, where there are too few images."""
    from sketchforge.metrics.kernel_distance import kernel_matrices

    try:
        matrices = kernel_matrices(np.stack(measured.features), np.stack(reference.features))
    except UsageError as error:
        gaps.append(Gap(name, REALISM, str(error)))
        return {}
    members = measured.members

    def resampled(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {"kid": matrices.mmd2(np.bincount(sketches, minlength=len(measured.photos)))}

    return figures_of(len(members), resampled, seed, resamplings)
