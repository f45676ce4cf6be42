"""KID (Bińkowski et al., ICLR 2018) between sets of images or sketches, in any features.

The squared maximum mean discrepancy with the kernel (x·y / D + 1)³, in its unbiased form (Gretton et al.
2012, Eq. 3) over whole sets. Published figures are means over 100 subsets of 1,000 images: equal in
expectation, with a higher variance. The figure is KID proper in Inception's features only.

`KernelMatrices` keeps the whole kernel for any number of resamplings of both sets, for hundreds of sketches.
`kernel_distances` computes it in blocks, for tens of thousands of images.

Shape letters: M, N images of the two sets, D features, K weightings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.metrics.frechet import check_features

BLOCK = 1024  # rows of a kernel that are in memory at a time


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(M, D), (N, D) -> (M, N)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kernel_distances(
    features: np.ndarray, reference: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray:
    """features (M, D), reference (N, D) -> (K,), one number per row of counts; None: each image once.

    counts (K, M): how often each image of the first set counts, such as a bootstrap has sampled it. Pairs of
    an image with itself do not count, even where it was sampled twice: they would raise every replicate above
    the estimate. nan where fewer than two images are left. 0 in expectation for sets of one distribution,
    and so below 0 about as often as above.

    Raises UsageError for fewer than two images on a side, ValueError for other shapes and for values that are
    not finite.
    """
    a, b = check_features(features), check_features(reference)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features have {a.shape[1]} and {b.shape[1]} numbers, expected equally many")
    weights = np.ones((1, len(a))) if counts is None else np.asarray(counts, np.float64)
    between = _sum_kernel(a, b, weights, np.ones((1, len(b)))) / (weights.sum(1) * len(b))
    within_b = _average_kernel(b, np.ones((1, len(b))))
    return _average_kernel(a, weights) + within_b - 2 * between


def _average_kernel(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(K,): the weighted mean of the kernel over pairs of different images."""
    diagonal = ((x**2).sum(1) / x.shape[1] + 1) ** 3
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    total = _sum_kernel(x, x, weights, weights) - weights**2 @ diagonal
    return np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _sum_kernel(x: np.ndarray, y: np.ndarray, weights_x: np.ndarray, weights_y: np.ndarray) -> np.ndarray:
    """(K,): the sum of the kernel over all pairs, each times its two weights."""
    total = np.zeros(len(weights_x))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        total += (weights_x[:, rows] * (weights_y @ kernel(x[rows], y).T)).sum(1)
    return total


@dataclass(frozen=True)
class KernelMatrices:
    """The kernel among and between two sets, computed once for any number of resamplings."""

    aa: np.ndarray  # float64 (M, M)
    bb: np.ndarray  # float64 (N, N)
    ab: np.ndarray  # float64 (M, N)

    def mmd2(self, weights_a: np.ndarray | None = None, weights_b: np.ndarray | None = None) -> float:
        """The unbiased squared maximum mean discrepancy (Gretton et al. 2012, Eq. 3) over whole sets.

        0 in expectation for sets of one distribution, and so negative about as often as positive. weights_a
        (M,), weights_b (N,): how often each sketch counts, such as a bootstrap has sampled it; default once.
        Pairs of a sketch with itself do not count, even where it was sampled twice: they would raise every
        replicate above the estimate. nan where a side has fewer than two sketches left.
        """
        a = np.ones(len(self.aa)) if weights_a is None else np.asarray(weights_a, np.float64)
        b = np.ones(len(self.bb)) if weights_b is None else np.asarray(weights_b, np.float64)
        return _average_within(self.aa, a) + _average_within(self.bb, b) - 2 * _average_between(self.ab, a, b)


def kernel_matrices(features_a: np.ndarray, features_b: np.ndarray) -> KernelMatrices:
    """The polynomial kernel of KID, (x·y / D + 1)³, over (M, D) and (N, D) from `sketch_features`.

    Raises UsageError for fewer than two sketches on a side, ValueError for other shapes.
    """
    if features_a.ndim != 2 or features_a.shape[1:] != features_b.shape[1:]:
        raise ValueError(f"expected features (M, D) and (N, D), found {features_a.shape}, {features_b.shape}")
    if min(len(features_a), len(features_b)) < 2:
        raise UsageError(
            f"kernel distance: found {len(features_a)} and {len(features_b)} sketches, expected at least two "
            "on each side; give more sketches"
        )
    a, b = features_a.astype(np.float64), features_b.astype(np.float64)
    return KernelMatrices(*(kernel(x, y) for x, y in ((a, a), (b, b), (a, b))))


def _average_within(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of the kernel over pairs of different sketches."""
    pairs = weights.sum() ** 2 - weights @ weights
    total = weights @ values @ weights - (weights**2) @ np.diagonal(values)
    return float(total / pairs) if pairs > 0 else float("nan")


def _average_between(values: np.ndarray, weights_a: np.ndarray, weights_b: np.ndarray) -> float:
    pairs = weights_a.sum() * weights_b.sum()
    return float(weights_a @ values @ weights_b / pairs) if pairs > 0 else float("nan")
