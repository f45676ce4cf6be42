"""Stroke patches: small windows around the lines of a sketch, all at one scale and drawn with one pen.

How broad a line is and how many pixels a sketch is stored at say nothing about whether a person drew it, yet
would tell any two sets apart. So every sketch is thinned, redrawn at one working size with one pen and
thinned again; what is left is how the lines run. The windows are too small to show what is depicted.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage.morphology import skeletonize

from sketchforge.utils.seeding import numpy_generator

INK_BELOW = 128  # grey levels under it are ink
WORKING_SIDE = 160  # pixels, the longer side of every sketch that is looked at
PATCH_SIDE = 32  # pixels, a fifth of WORKING_SIDE
PEN_WIDTH = 3  # pixels at WORKING_SIDE; lines closer than that become one, at whatever width they were stored
_SUBPIXEL_BITS = 4  # cv2's fixed-point coordinates


def stroke_patches(sketch: np.ndarray, count: int, seed: int, *key: object) -> np.ndarray:
    """Up to `count` windows of a sketch, each centred on a point of a line chosen at random.

    sketch: uint8 HxW, 255 paper, 0 ink. Returns uint8 (K, PATCH_SIDE, PATCH_SIDE) of 0 and 255, lines one
    pixel wide; blank windows and windows that reach over the sketch's edge are left out, so K is below
    `count` where there are fewer line points, and 0 for a blank sketch or one over five times as long as
    wide. The choice depends on (seed, key) only. Raises ValueError for another dtype or shape, or a negative
    count.
    """
    if count < 0:
        raise ValueError(f"count is {count}, expected 0 or more")
    lines = normalized_lines(sketch)
    half = PATCH_SIDE // 2
    rows, columns = np.nonzero(lines[half : lines.shape[0] - half, half : lines.shape[1] - half])
    rng = numpy_generator(seed, "stroke patches", *key)
    chosen = rng.permutation(len(rows))[:count]
    patches = np.empty((len(chosen), PATCH_SIDE, PATCH_SIDE), np.uint8)
    for patch, row, column in zip(patches, rows[chosen], columns[chosen]):
        patch[:] = np.where(lines[row : row + PATCH_SIDE, column : column + PATCH_SIDE], 0, 255)
    return patches


def normalized_lines(sketch: np.ndarray) -> np.ndarray:
    """The lines of a sketch, one pixel wide, at the working size.

    uint8 HxW, 255 paper -> bool (h, w), its longer side WORKING_SIDE. Ink is thinned (Zhang & Suen 1984), its
    links are drawn at the working size with a pen of PEN_WIDTH, and the result is thinned once more. Scaling
    links rather than pixels loses no hairline of a large sketch and opens no gap in a small one. Raises
    ValueError for another dtype or shape.
    """
    if sketch.dtype != np.uint8 or sketch.ndim != 2 or not sketch.size:
        raise ValueError(f"expected a sketch as uint8 HxW, found {sketch.dtype} of shape {sketch.shape}")
    height, width = sketch.shape
    scale = WORKING_SIDE / max(height, width)
    size = tuple(max(1, round(side * scale)) for side in (height, width))
    canvas = np.zeros(size, np.uint8)
    links = (_links(skeletonize(sketch < INK_BELOW)) + 0.5) * scale - 0.5  # pixel centres, not corners
    fixed = np.round(links * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.polylines(canvas, list(fixed), False, 255, PEN_WIDTH, cv2.LINE_AA, _SUBPIXEL_BITS)
    return skeletonize(canvas >= INK_BELOW)


def _links(lines: np.ndarray) -> np.ndarray:
    """bool HxW -> int (N, 2, 2): pairs (x, y) of neighbouring pixels, and every pixel paired with itself."""
    height, width = lines.shape
    found = []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1)):
        first = lines[: height - down, max(0, -right) : width - max(0, right)]
        second = lines[down:, max(0, right) : width - max(0, -right)]
        y, x = np.nonzero(first & second)
        x = x + max(0, -right)
        found.append(np.stack([np.stack([x, y], 1), np.stack([x + right, y + down], 1)], 1))
    return np.concatenate(found)
