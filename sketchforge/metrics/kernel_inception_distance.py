"""KID (Bińkowski et al., ICLR 2018) between sets of pictures of any size, in any features.

The squared maximum mean discrepancy with the kernel (x·y / D + 1)³, in its unbiased form (Gretton et al.
2012, Eq. 3) over whole sets. Published figures are means over 100 draws of 1,000 pictures: the same in
expectation, with less luck in ours. In Inception's features it is KID proper.

`kernel_distance` does the same for sketches; here sets may have tens of thousands, so kernels come in blocks.

Shape letters: M, N pictures of the two sets, D features, K weightings.
"""

from __future__ import annotations

import numpy as np

from sketchforge.metrics.frechet import checked

BLOCK = 1024  # rows of a kernel that are in memory at a time


def kernel_distances(
    features: np.ndarray, reference: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray:
    """features (M, D), reference (N, D) -> (K,), one number per row of counts; None: each picture once.

    counts (K, M): how often each picture of the first set counts, as a bootstrap has drawn it. Pairs of a
    picture with itself do not count, even where it was drawn twice: they would raise every replicate above
    the estimate. nan where fewer than two pictures are left. 0 in expectation for sets of one distribution,
    and so below 0 about as often as above.

    Raises UsageError for fewer than two pictures on a side, ValueError for other shapes and for what is not
    finite.
    """
    a, b = checked(features), checked(reference)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features have {a.shape[1]} and {b.shape[1]} numbers, expected equally many")
    weights = np.ones((1, len(a))) if counts is None else np.asarray(counts, np.float64)
    between = _weighted(a, b, weights, np.ones((1, len(b)))) / (weights.sum(1) * len(b))
    within_b = _within(b, np.ones((1, len(b))))
    return _within(a, weights) + within_b - 2 * between


def _within(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(K,): the weighted mean of the kernel over pairs of different pictures."""
    diagonal = ((x**2).sum(1) / x.shape[1] + 1) ** 3
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    total = _weighted(x, x, weights, weights) - weights**2 @ diagonal
    return np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _weighted(x: np.ndarray, y: np.ndarray, weights_x: np.ndarray, weights_y: np.ndarray) -> np.ndarray:
    """(K,): the sum of the kernel over all pairs, each times its two weights."""
    total = np.zeros(len(weights_x))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        kernel = (x[rows] @ y.T / x.shape[1] + 1) ** 3
        total += (weights_x[:, rows] * (weights_y @ kernel.T)).sum(1)
    return total
