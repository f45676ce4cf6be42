"""A detector's broad edges -> their ridges, one pixel wide: oriented non-maximum suppression.

As is the custom with edge networks (Dollár & Zitnick, "Fast Edge Detection Using Structured Forests", PAMI 2015):
the direction across an edge comes from the second derivatives of the smoothed map, and a pixel stays where
neither neighbour in that direction is greater. Departures: the direction is the Hessian's eigenvector; pixels near
the image's border count as others do; a line that runs into another is not cut off before it; and what is left of a
flat ridge is thinned to one pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

SMOOTHING = 2.0  # pixels, standard deviation: about the custom's triangle filter of radius 4
MARGIN = 1.01  # a neighbour is greater by a hundredth at least: the custom, so that flat ridges stay
FLAT = 1e-3  # levels per square pixel: what is curved upward is a foot or a valley, and no ridge
REACH = 8  # pixels that the end of a line climbs, at most
_AROUND = np.array([(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)])  # row, column


def suppress_non_maxima(sketch: np.ndarray) -> np.ndarray:
    """Keep the ridges of a grey sketch, uint8 HxW, 255 = paper, and make all else paper. Same shape and type.

    Ridges are one pixel wide, and as dark as they were. Raises ValueError for other arrays.
    """
    if sketch.dtype != np.uint8 or sketch.ndim != 2 or 0 in sketch.shape:
        raise ValueError(f"expected a sketch of uint8 HxW, found {sketch.dtype} of shape {sketch.shape}")
    from skimage.morphology import thin

    darkness = 255 - sketch.astype(np.float32)
    smooth = cv2.GaussianBlur(darkness, (0, 0), SMOOTHING, borderType=cv2.BORDER_REPLICATE)
    ridges = thin(_find_maxima(darkness, smooth) & (darkness > 0))
    ridges &= _count_around(ridges) > 0  # a lone pixel is no line
    heights = darkness + smooth / 256  # where levels are equal, the smoothed map says which way is up
    ridges = thin(_join_ends(ridges, heights))
    return np.where(ridges, sketch, np.uint8(255))


def _find_maxima(darkness: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """bool HxW: where the map is not curved upward, and neither neighbour across the edge is darker by MARGIN."""
    slope_x, slope_y = _differentiate(smooth)
    (xx, _), (xy, yy) = _differentiate(slope_x), _differentiate(slope_y)
    # Across a ridge curvature is most negative: there lies the eigenvector of the smaller eigenvalue.
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2)
    columns, rows = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in darkness.shape[::-1]))
    across_x, across_y = np.cos(angle), np.sin(angle)
    neighbours = [
        cv2.remap(
            darkness,
            columns + side * across_x,
            rows + side * across_y,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for side in (-1, 1)
    ]
    return (xx + yy <= FLAT) & (darkness * MARGIN >= np.maximum(*neighbours))


def _differentiate(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences along x and y, float32 HxW each."""
    kernel = np.array([-0.5, 0, 0.5])
    flat = np.ones(1)
    return (
        cv2.sepFilter2D(values, -1, kernel, flat, borderType=cv2.BORDER_REPLICATE),
        cv2.sepFilter2D(values, -1, flat, kernel, borderType=cv2.BORDER_REPLICATE),
    )


def _count_around(mask: np.ndarray) -> np.ndarray:
    """uint8 HxW: how many of a pixel's eight neighbours are in the mask."""
    kernel = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    return cv2.filter2D(mask.astype(np.uint8), -1, kernel, borderType=cv2.BORDER_CONSTANT)


def _join_ends(ridges: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Add to ridges, bool HxW, the way from each end up to the ridge that it runs into.

    Where a line meets another, the direction across belongs to the other, and the line loses its last pixels; there
    the map rises on. It does not where a line ends by itself. Of equally high neighbours the first is taken.
    """
    joined = np.pad(ridges, 1)
    heights = np.pad(heights, 1, constant_values=-1)
    ends = np.argwhere(joined & (_count_around(joined) == 1))
    ways = []
    for _ in range(REACH):
        around = ends[:, None] + _AROUND
        around_heights = heights[around[..., 0], around[..., 1]]
        highest = around_heights.argmax(axis=1)[:, None]
        rising = np.take_along_axis(around_heights, highest, 1)[:, 0] > heights[ends[:, 0], ends[:, 1]]
        ends = np.take_along_axis(around, highest[..., None], 1)[:, 0][rising]
        ends = ends[~joined[ends[:, 0], ends[:, 1]]]
        ways.append(ends)
    rows, columns = np.concatenate(ways).T
    joined[rows, columns] = True
    return joined[1:-1, 1:-1]
