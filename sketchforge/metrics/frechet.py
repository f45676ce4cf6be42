"""The Fréchet distance between Gaussians fitted to the features of two sets (Heusel et al. 2017, section 3).

FID is this distance in Inception's features and nothing else; in others it goes by their name.

‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½). With Σ = RᵀR the eigenvalues of Σ₁Σ₂ are the squares of the
singular values of R₁R₂ᵀ. So the last trace is their sum: real and not below zero, however few images there
are, where matrix square roots of covariances without full rank come out complex.

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

    Raises UsageError for fewer than two images, ValueError for other shapes and for what is not finite.
    """
    features = check_features(features)
    mean = features.mean(0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    return Gaussian(mean, _reduced(centred))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet distance, as FID has it; at least 0 but for rounding, 0 for equal Gaussians.

    Raises ValueError for features of different lengths.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features have {len(a.mean)} and {len(b.mean)} numbers, expected equally many")
    difference = a.mean - b.mean
    traces = (a.factor**2).sum() + (b.factor**2).sum()
    shared = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    return float(difference @ difference + traces - 2 * shared)


def resampled_distances(features: np.ndarray, counts: np.ndarray, reference: Gaussian) -> np.ndarray:
    """The distance of the same set drawn anew: counts (K, N) say how often each image was drawn -> (K,).

    Weighted by its counts, the set need not be put together again K times. nan where fewer than two draws.
    """
    centred = (
        check_features(features) - reference.mean
    )  # small numbers, so that little is lost in what follows
    shown = centred @ reference.factor.T
    squares = (centred**2).sum(1)
    trace = (reference.factor**2).sum()
    return np.array(
        [_resampled(centred, shown, squares, drawn, trace) for drawn in counts.astype(np.float64)]
    )


def _resampled(
    centred: np.ndarray, shown: np.ndarray, squares: np.ndarray, drawn: np.ndarray, trace: float
) -> float:
    total = drawn.sum()
    if total < 2:
        return float("nan")
    present = np.flatnonzero(drawn)
    weights = drawn[present]
    mean = weights @ centred[present] / total
    own_trace = (weights @ squares[present] - total * mean @ mean) / (total - 1)
    rows = shown[present] - weights @ shown[present] / total
    rows *= np.sqrt(weights / (total - 1))[:, None]
    # Singular values by the smaller Gram matrix: its root has half the digits, and spreads need no more.
    gram = rows.T @ rows if rows.shape[1] < rows.shape[0] else rows @ rows.T
    shared = np.sqrt(np.linalg.eigvalsh(gram).clip(0)).sum()
    return float(mean @ mean + own_trace + trace - 2 * shared)


def check_features(features: np.ndarray) -> np.ndarray:
    """features as float64 (N, D); the errors that `fitted` names."""
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


def _reduced(rows: np.ndarray) -> np.ndarray:
    """A factor of the same covariance with no more rows than columns."""
    return np.linalg.qr(rows, mode="r") if len(rows) > rows.shape[1] else rows
