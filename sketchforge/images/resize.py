"""Sizes: one image fitted to a square by OpenCV, or the same as a product with a matrix, for batches on any device.

Both average areas where an image becomes smaller, so nothing aliases, and interpolate cubically where it grows.
"""

from __future__ import annotations

import numpy as np

_CUBIC = -0.75  # Keys' parameter, as cv2 and torch have it


def resize_weights(length: int, target: int) -> np.ndarray:
    """float64 (target, length): the weights of `length` pixels in each of `target`; rows add up to 1.

    Averages over areas where it becomes shorter, cubic interpolation where it becomes longer, as
    `images.fit_square` does it; W @ image @ W.T is cv2's result but for rounding.
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


def fit_square(image: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Fit uint8 HxWxC or HxW to size x size pixels.

    "crop": the largest centred square, resized. "pad": resized to the longer side, white borders around.
    "keep": returned as it is, whatever its size.
    """
    if fit == "keep":
        return image
    height, width = image.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resize(image[top : top + side, left : left + side], size, size)
    if fit != "pad":
        raise ValueError(f"fit={fit!r}: expected crop, pad or keep")
    scale = size / max(height, width)
    resized = _resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
    square = np.full((size, size, *image.shape[2:]), 255, np.uint8)
    top, left = (size - resized.shape[0]) // 2, (size - resized.shape[1]) // 2
    square[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return square


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area averaging down (no aliasing), cubic up; untouched where the size is right already."""
    import cv2

    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
