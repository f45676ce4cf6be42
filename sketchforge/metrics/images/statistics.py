"""Estimates over images with their intervals: means over images, and distances between sets.

Images made from one sketch belong together, so sketches are resampled, each with all its images. The
reference is not resampled.

Shape letters: N images, D features, K resamplings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sketchforge.metrics.estimates import Estimate, estimate_all
from sketchforge.metrics.frechet import fit_gaussian, frechet_distance, resampled_distances
from sketchforge.metrics.kid import kernel_distances
from sketchforge.utils.seeding import numpy_generator

DISTANCE_RESAMPLINGS = 100
DEVIATIONS = 1.96  # standard deviations to either side: the middle 95 % of a normal distribution


def estimate_means(values: Mapping[str, np.ndarray], groups: Sequence[int], seed: int) -> dict[str, Estimate]:
    """The mean of each of `values`, (N,), with its percentile-bootstrap interval over `groups`, N numbers."""
    group_index, num_groups = _index_groups(groups)
    sizes = np.bincount(group_index, minlength=num_groups)
    sums = {name: np.bincount(group_index, column, num_groups) for name, column in values.items()}

    def means(indices: np.ndarray) -> dict[str, float]:
        return {
            name: float(sums_by_group[indices].sum() / sizes[indices].sum())
            for name, sums_by_group in sums.items()
        }

    return estimate_all(num_groups, means, seed)


def estimate_statistic(
    name: str,
    values: Mapping[str, np.ndarray],
    statistic: Callable[[Mapping[str, float]], float],
    groups: Sequence[int],
    seed: int,
) -> dict[str, Estimate]:
    """{name: statistic(sums)}, of the sums over images of each of `values`, (N,); interval over `groups`."""
    group_index, num_groups = _index_groups(groups)
    sums = {key: np.bincount(group_index, column, num_groups) for key, column in values.items()}

    def compute(indices: np.ndarray) -> dict[str, float]:
        return {name: statistic({key: float(column[indices].sum()) for key, column in sums.items()})}

    return estimate_all(num_groups, compute, seed)


def estimate_distances(
    features: np.ndarray, groups: Sequence[int], reference: np.ndarray, seed: int
) -> dict[str, Estimate]:
    """The "frechet" and "kid" distances of features (N, D) from those of a reference (M, D).

    groups: N numbers, the group of each image.

    The interval is the figure ± DEVIATIONS standard deviations over DISTANCE_RESAMPLINGS, not percentiles. A
    set sampled with replacement has fewer different images, and the Fréchet distance grows with fewer, so all
    replicates lie above the figure. Only their standard deviation measures the uncertainty.
    """
    gaussian = fit_gaussian(reference)
    values = {
        "frechet": frechet_distance(fit_gaussian(features), gaussian),
        "kid": float(kernel_distances(features, reference)[0]),
    }
    group_index, num_groups = _index_groups(groups)
    if num_groups < 2:
        return {name: Estimate(value, None, None, num_groups) for name, value in values.items()}
    rng = numpy_generator(seed, "images")
    resamplings = rng.integers(num_groups, size=(DISTANCE_RESAMPLINGS, num_groups))
    counts = np.stack([np.bincount(indices, minlength=num_groups) for indices in resamplings])[:, group_index]
    stds = {
        "frechet": float(resampled_distances(features, counts, gaussian).std(ddof=1)),
        "kid": float(kernel_distances(features, reference, counts).std(ddof=1)),
    }
    return {name: _surround(name, value, stds[name], num_groups) for name, value in values.items()}


def _surround(name: str, value: float, std: float, num_groups: int) -> Estimate:
    """The estimate with its interval; without one where resamplings of so few images have no distance.

    Unlike KID's, which is unbiased, the Fréchet distance's is cut at 0: there are none below.
    """
    if not math.isfinite(std):
        return Estimate(value, None, None, num_groups)
    low = value - DEVIATIONS * std
    return Estimate(value, max(low, 0.0) if name == "frechet" else low, value + DEVIATIONS * std, num_groups)


def _index_groups(groups: Sequence[int]) -> tuple[np.ndarray, int]:
    """The index of each image's group among the distinct groups, int (N,), and the number of these."""
    distinct, group_index = np.unique(np.asarray(groups), return_inverse=True)
    return group_index, len(distinct)
