"""SIFT's descriptors on a regular grid: what SIFT flow (Liu et al., 2011) compares, without its optimisation."""

from __future__ import annotations

import cv2
import numpy as np

CHANNELS = 128
WINDOW = (
    4  # cells on the side of what a descriptor looks at; SIFT flow's is 4 times its step of 4 pixels, too
)
BINS = 4  # of a descriptor, on a side
BIN_SIZES = 1.5  # of a bin's side in pixels, in OpenCV's size of a keypoint


def dense_sift(image: np.ndarray, cell: int) -> np.ndarray:
    """uint8 H×W -> float32 (CHANNELS, H/cell, W/cell), upright, of length 1, or 0 where the image is even.

    A descriptor belongs to the middle of each cell. Raises ValueError for another dtype, and for sides that are no
    multiples of `cell`.
    """
    if image.dtype != np.uint8 or image.ndim != 2 or any(side % cell for side in image.shape):
        raise ValueError(
            f"expected uint8 of sides that {cell} divides, found {image.dtype} of shape {image.shape}"
        )
    rows, columns = (side // cell for side in image.shape)
    size = WINDOW * cell / BINS / BIN_SIZES
    middles = [(np.arange(count) + 0.5) * cell - 0.5 for count in (rows, columns)]
    points = [cv2.KeyPoint(float(x), float(y), size, 0.0) for y in middles[0] for x in middles[1]]
    _, descriptors = cv2.SIFT_create().compute(image, points)  # type: ignore[attr-defined]
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    unit = descriptors / np.maximum(lengths, 1e-8)
    return np.ascontiguousarray(unit.reshape(rows, columns, CHANNELS).transpose(2, 0, 1).astype(np.float32))
