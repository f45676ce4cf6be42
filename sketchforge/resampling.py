"""Resizing as a product with a matrix, for batches on any device: what `cv2.resize` does to pictures one by one."""

from __future__ import annotations

import numpy as np

_CUBIC = -0.75  # Keys' parameter, as cv2 and torch have it


def resize_weights(length: int, target: int) -> np.ndarray:
    """float64 (target, length): the weights of `length` pixels in each of `target`; rows add up to 1.

    Averages over areas where it becomes shorter, cubic interpolation where it becomes longer, as
    `images.fit_square` does it; W @ picture @ W.T is cv2's result but for rounding.
    """
    if target <= length:
        edges = np.arange(target + 1) * (length / target)
        pixels = np.arange(length)
        covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return np.maximum(covered, 0) * (target / length)
    weights = np.zeros((target, length))
    at = (np.arange(target) + 0.5) * (length / target) - 0.5
    first = np.floor(at).astype(int)
    for tap in range(-1, 3):
        pixel = np.clip(first + tap, 0, length - 1)  # beyond the border: its own level
        np.add.at(weights, (np.arange(target), pixel), _cubic(abs(at - first - tap)))
    return weights


def _cubic(distance: np.ndarray) -> np.ndarray:
    a, x = _CUBIC, distance
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, far)
