"""Resizing: one image fitted to a square by OpenCV, or by a matrix product for batches on any device.

Both average over areas where an image becomes smaller, so that nothing aliases. Both interpolate cubically
where it becomes larger.
"""

from __future__ import annotations

import numpy as np

_CUBIC_PARAMETER = -0.75  # Keys' parameter, as cv2 and torch have it


def resize_weights(length: int, target: int) -> np.ndarray:
    """float64 (target, length): the weights of `length` pixels in each of `target`; rows add up to 1.

    Averages over areas where it becomes shorter, cubic interpolation where it becomes longer, as `fit_square`
    does: W @ image @ W.T equals cv2's result except for rounding.
    """
    if target <= length:
        edges = np.arange(target + 1) * (length / target)
        pixels = np.arange(length)
        overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return np.maximum(overlap, 0) * (target / length)
    weights = np.zeros((target, length))
    position = (np.arange(target) + 0.5) * (length / target) - 0.5
    first = np.floor(position).astype(int)
    for tap in range(-1, 3):
        pixel = np.clip(first + tap, 0, length - 1)  # pixels beyond the border repeat it
        np.add.at(weights, (np.arange(target), pixel), _weigh_cubic(abs(position - first - tap)))
    return weights


def _weigh_cubic(distance: np.ndarray) -> np.ndarray:
    a, x = _CUBIC_PARAMETER, distance
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, far)


def fit_square(image: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Fit uint8 HxWxC or HxW to size x size pixels.

    "crop": the largest centred square, resized. "pad": the longer side resized to `size`, with white borders.
    "keep": the image as it is, whatever its size.
    """
    if fit == "keep":
        return image
    height, width = image.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return resize_image(image[top : top + side, left : left + side], size, size)
    if fit != "pad":
        raise ValueError(f"fit={fit!r}: expected crop, pad or keep")
    return pad_white(fit_longer_side(image, size), size, size)


def fit_longer_side(image: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 HxWxC or HxW until its longer side is `size`; the other one has a pixel at least."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    return resize_image(image, max(1, round(height * scale)), max(1, round(width * scale)))


def pad_white(image: np.ndarray, height: int, width: int, level: int = 255) -> np.ndarray:
    """Put uint8 hxwxC or hxw, neither side larger, into the middle of white (or `level`) height x width."""
    if image.shape[:2] == (height, width):
        return image
    padded = np.full((height, width, *image.shape[2:]), level, np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    return padded


def shrink_to(image: np.ndarray, longest_side: int) -> np.ndarray:
    """Average uint8 H×W or H×W×C over areas so that no side exceeds `longest_side`; smaller ones stay as they are."""
    scale = longest_side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return resize_image(image, height, width)


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Average over areas to shrink (no aliasing), interpolate cubically to enlarge, else keep the image."""
    import cv2

    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
