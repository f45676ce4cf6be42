"""The Fréchet distance between Gaussians fitted to the features of two sets (Heusel et al. 2017, section 3).

FID is this distance in Inception's features only. In other features the distance bears their name.

‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½). With Σ = RᵀR the eigenvalues of Σ₁Σ₂ are the squares of the singular
values of R₁R₂ᵀ. So the trace of the square root is their sum, which is real and not below zero for any number
of images. Matrix square roots of covariances without full rank come out complex instead.

Shape letters: N images, D features, R rows of a factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sketchforge.errors import UsageError


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of a set's features, the latter as a factor: covariance = factorᵀ·factor."""

    mean: np.ndarray  # float64 (D,)
    factor: np.ndarray  # float64 (R, D), R = min(N, D)


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """The Gaussian of features (N, D), with the unbiased covariance.

    Raises UsageError for fewer than two images, ValueError for other shapes and for values that are not
    finite.
    """
    features = check_features(features)
    mean = features.mean(0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    return Gaussian(mean, _reduce_rows(centred))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet distance, as in FID: 0 for equal Gaussians, else positive, up to rounding.

    Raises ValueError for features of different lengths.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features have {len(a.mean)} and {len(b.mean)} numbers, expected equally many")
    difference = a.mean - b.mean
    traces = (a.factor**2).sum() + (b.factor**2).sum()
    cross_trace = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    return float(difference @ difference + traces - 2 * cross_trace)


def resampled_distances(features: np.ndarray, counts: np.ndarray, reference: Gaussian) -> np.ndarray:
    """The distance of each of K resamplings of a set from the reference, float64 (K,).

    counts (K, N): how often each image was sampled. Images are weighted by their counts, so no resampled set
    is built. nan where a resampling has fewer than two images.
    """
    # Centred, so that numbers are small and little precision is lost below.
    centred = check_features(features) - reference.mean
    projected = centred @ reference.factor.T
    squares = (centred**2).sum(1)
    reference_trace = (reference.factor**2).sum()
    return np.array(
        [
            _compute_distance(centred, projected, squares, row, reference_trace)
            for row in counts.astype(np.float64)
        ]
    )


def _compute_distance(
    centred: np.ndarray,
    projected: np.ndarray,
    squares: np.ndarray,
    counts: np.ndarray,
    reference_trace: float,
) -> float:
    total = counts.sum()
    if total < 2:
        return float("nan")
    present = np.flatnonzero(counts)
    weights = counts[present]
    mean = weights @ centred[present] / total
    set_trace = (weights @ squares[present] - total * mean @ mean) / (total - 1)
    rows = projected[present] - weights @ projected[present] / total
    rows *= np.sqrt(weights / (total - 1))[:, None]
    # Singular values by the smaller Gram matrix: their roots have half the digits, which suffices for
    # spreads.
    gram = rows.T @ rows if rows.shape[1] < rows.shape[0] else rows @ rows.T
    cross_trace = np.sqrt(np.linalg.eigvalsh(gram).clip(0)).sum()
    return float(mean @ mean + set_trace + reference_trace - 2 * cross_trace)


def check_features(features: np.ndarray) -> np.ndarray:
    """features as float64 (N, D). Raises the errors that `fit_gaussian` names."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2:
        raise ValueError(f"features are of shape {features.shape}, expected (N, D)")
    if len(features) < 2:
        raise UsageError(
            f"distances between sets of images: found {len(features)}, expected at least two on each side; "
            "give more"
        )
    if not np.isfinite(features).all():
        bad = int(np.flatnonzero(~np.isfinite(features).all(1))[0])
        raise ValueError(f"features of image {bad} are not finite")
    return features


def _reduce_rows(rows: np.ndarray) -> np.ndarray:
    """A factor of the same covariance with no more rows than columns."""
    return np.asarray(np.linalg.qr(rows, mode="r")) if len(rows) > rows.shape[1] else rows
