"""Figures of images with their intervals: means over images, and distances between sets.

Images made from one sketch belong together, so sketches are what is resampled, each with all its images.
The reference stays as it is.

Shape letters: N images, D features, K resamplings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sketchforge.metrics.estimates import Estimate, estimate_all
from sketchforge.metrics.frechet import fit_gaussian, frechet_distance, resampled_distances
from sketchforge.metrics.kid import kernel_distances
from sketchforge.utils.seeding import numpy_generator

DISTANCE_RESAMPLINGS = 100
DEVIATIONS = 1.96  # either way, of a normal distribution's middle 95 %


def estimate_means(values: Mapping[str, np.ndarray], groups: Sequence[int], seed: int) -> dict[str, Estimate]:
    """The mean of each of `values`, (N,), with its percentile-bootstrap interval over `groups`, N numbers."""
    place, count = _places(groups)
    sizes = np.bincount(place, minlength=count)
    sums = {name: np.bincount(place, found, count) for name, found in values.items()}

    def means(drawn: np.ndarray) -> dict[str, float]:
        return {name: float(total[drawn].sum() / sizes[drawn].sum()) for name, total in sums.items()}

    return estimate_all(count, means, seed)


def estimate_distances(
    features: np.ndarray, groups: Sequence[int], reference: np.ndarray, seed: int
) -> dict[str, Estimate]:
    """ "frechet" and "kid" between features (N, D) of `groups` (N numbers) and those of a reference (M, D).

    The interval is the figure ± DEVIATIONS standard deviations over DISTANCE_RESAMPLINGS, not percentiles: a
    set drawn with repetition has fewer different images, and with fewer the Fréchet distance grows, so that
    its replicates lie all above it. Their spread is what says how sure the figure is.
    """
    gaussian = fit_gaussian(reference)
    values = {
        "frechet": frechet_distance(fit_gaussian(features), gaussian),
        "kid": float(kernel_distances(features, reference)[0]),
    }
    place, count = _places(groups)
    if count < 2:
        return {name: Estimate(value, None, None, count) for name, value in values.items()}
    generator = numpy_generator(seed, "images")
    draws = generator.integers(count, size=(DISTANCE_RESAMPLINGS, count))
    counts = np.stack([np.bincount(drawn, minlength=count) for drawn in draws])[:, place]
    spreads = {
        "frechet": float(resampled_distances(features, counts, gaussian).std(ddof=1)),
        "kid": float(kernel_distances(features, reference, counts).std(ddof=1)),
    }
    return {
        name: Estimate(value, value - DEVIATIONS * spreads[name], value + DEVIATIONS * spreads[name], count)
        for name, value in values.items()
    }


def _places(groups: Sequence[int]) -> tuple[np.ndarray, int]:
    """The number of each image's group among the groups there are, and how many these are."""
    different, place = np.unique(np.asarray(groups), return_inverse=True)
    return place, len(different)
