"""Style pictures cut and put together, so that one synthesis takes its style from two or four (paper Fig.
7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sketchforge.images.resize import fit_square


def stitched(images: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Two or four pictures, uint8 H×W×3 RGB of any sizes -> one, uint8 size×size×3.

    Each is first cropped to its centred square and resized to `size`, and gives the part that lies at its
    place: of two the left half and the right half; of four the quarters, upper left, upper right, lower left,
    lower right. Where `size` is odd, right and lower parts are the larger ones. The order is the order given.

    Raises ValueError for another number of pictures, other dtypes and shapes, or a size below 2.
    """
    if len(images) not in (2, 4):
        raise ValueError(f"{len(images)} style pictures: expected 2 (halves) or 4 (quarters)")
    if size < 2:
        raise ValueError(f"size={size}: expected at least 2 pixels")
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"expected uint8 H×W×3, found {image.dtype} of shape {image.shape}")
    first, second = slice(0, size // 2), slice(size // 2, size)
    rows = [slice(0, size)] if len(images) == 2 else [first, second]
    places = [(row, column) for row in rows for column in (first, second)]
    result = np.empty((size, size, 3), np.uint8)
    for image, place in zip(images, places, strict=True):
        result[place] = fit_square(image, size, "crop")[place]
    return result
