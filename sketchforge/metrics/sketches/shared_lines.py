"""The share of their line pixels that two drawings of one photo have in common.

The pen does not count: lines are reduced to their skeleton. Small differences of place and size do not: one drawing is
moved and scaled a little, as suits best. Nor does it help to draw more: counted are the line pixels of the sparser one.

The range of this search is small on purpose. Over 50 pairs of drawings of one photo by two people, and as many of two
photos, the share is .24 and .20 where nothing is moved, .33 and .28 with the range below, .35 and .30 with twice the
shift: a wider search adds as much chance as agreement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import cv2
import numpy as np

from sketchforge.images.line_art import line_widths
from sketchforge.metrics.sketches.skeleton import skeleton_of

SIDE = 256  # pixels of the paper's longer side, whatever the sketch's own
TOLERANCE = 2.0  # of these pixels, within which a line is the same
MAX_SHIFT = 8  # of these pixels, along either axis; the search goes on from there by three at most
SCALES = (0.9, 1.0, 1.1)  # about the middle of the paper; the search goes on from there by 3 %

_SAMPLE = 300  # line pixels that the search looks at, about; the share is counted over all
_MARGIN = 32  # pixels around the paper: as far out as the search moves a point
_WIDE = SIDE + 2 * _MARGIN


def _shifts(along: Iterable[int]) -> np.ndarray:
    """intp (K,2): every shift along x with every one along y."""
    return np.array([(x, y) for y in along for x in along], np.intp)


# The search: scales, and shifts along x and y, each time from the best so far.
_COARSE = SCALES, _shifts(range(-MAX_SHIFT, MAX_SHIFT + 1, 4))
_FINE = (0.97, 1.0, 1.03), _shifts((-2, 0, 2))
_FINEST = _shifts((-1, 0, 1))
_REACH = np.arange(-int(TOLERANCE), int(TOLERANCE) + 1)
_DISC = (np.hypot(*np.meshgrid(_REACH, _REACH)) <= TOLERANCE).astype(np.uint8)
_IN_PLACE = 1.0, np.zeros(2, np.intp)


class _Drawing:
    """A drawing, and where its points are at every scale that was asked for: pairs ask for the same ones."""

    def __init__(self, points: np.ndarray) -> None:
        """points: float32 (P,2), see `line_points`."""
        self.points = points
        self.near = _find_near(points)  # float32 (_WIDE * _WIDE,): 1 within TOLERANCE of one of them, else 0
        self.sample = points[:: max(1, len(points) // _SAMPLE)]
        self._pixels: dict[tuple[float, bool], np.ndarray] = {}

    def pixels(self, scale: float, sampled: bool) -> np.ndarray:
        """intp (P,): `_to_pixels` of the points, or of the sample, at a scale about the middle."""
        key = scale, sampled
        if key not in self._pixels:
            points = self.sample if sampled else self.points
            self._pixels[key] = _to_pixels(points * np.float32(scale))
        return self._pixels[key]


def line_points(sketch: np.ndarray) -> np.ndarray:
    """The line pixels of a sketch, uint8 HxW, 255 = paper, as float32 (P,2): x, y from the middle of the paper.

    In pixels of a paper whose longer side has SIDE. A smaller sketch is enlarged first, or its lines would have gaps.
    """
    scale = SIDE / max(sketch.shape)
    factor = int(np.ceil(scale))
    ink = np.pad(np.repeat(np.repeat(sketch < 128, factor, axis=0), factor, axis=1), 1)
    rows, columns = np.nonzero(skeleton_of(ink, line_widths(ink)))
    middle = (np.array(ink.shape[::-1]) - 1) / 2
    return ((np.stack([columns, rows], axis=1) - middle) * (scale / factor)).astype(np.float32)


def shared_lines(drawings: Sequence[np.ndarray]) -> float | None:
    """The share of line pixels that two drawings of one photo have in common, mean over all pairs; 0 to 1.

    drawings: `line_points` of each. Of the drawing with fewer points it is those within TOLERANCE of the other's, at the
    best shift and scale. Pairs with a blank drawing are left out; None where no pair is left.
    """
    prepared = [_Drawing(points) for points in drawings if len(points)]
    shares = [_share(first, second) for first, second in combinations(prepared, 2)]
    return float(np.mean(shares)) if shares else None


def _find_near(points: np.ndarray) -> np.ndarray:
    lines = np.zeros(_WIDE * _WIDE, np.uint8)
    lines[_to_pixels(points)] = 1
    return cv2.dilate(lines.reshape(_WIDE, _WIDE), _DISC).ravel().astype(np.float32)


def _share(first: _Drawing, second: _Drawing) -> float:
    sparse, dense = sorted((first, second), key=lambda drawing: len(drawing.points))
    scale, shift = _IN_PLACE
    for factors, steps in (_COARSE, _FINE):
        scales, shifts = [scale * factor for factor in factors], shift + steps
        shares = _evaluate(sparse, dense, scales, shifts, sampled=True)
        best = np.unravel_index(np.argmax(shares), shares.shape)
        scale, shift = scales[best[0]], shifts[best[1]]
    nearby = _evaluate(sparse, dense, [scale], shift + _FINEST, sampled=False)
    in_place = _evaluate(sparse, dense, [_IN_PLACE[0]], _IN_PLACE[1][None], sampled=False)
    return float(max(nearby.max(), in_place.max()))


def _evaluate(
    sparse: _Drawing, dense: _Drawing, scales: Sequence[float], shifts: np.ndarray, sampled: bool
) -> np.ndarray:
    """(S,K): the share of points of one drawing near the lines of the other, for every scale and shift, (K,2)."""
    pixels = np.stack([sparse.pixels(scale, sampled) for scale in scales])
    offsets = shifts[:, 1] * _WIDE + shifts[:, 0]  # shifts are whole pixels
    # As float32, whose sums are quick, and exact up to 2^24 points.
    hits = dense.near.take(pixels[:, None] + offsets[:, None]).sum(axis=-1)
    return hits.astype(np.float64) / pixels.shape[-1]


def _to_pixels(points: np.ndarray) -> np.ndarray:
    """x, y from the middle, (P,2) -> intp (P,): where they are on a paper with _MARGIN around, row by row."""
    pixels = (points + np.float32(_WIDE / 2)).astype(np.intp)  # all are above 0, so this rounds down
    return pixels[:, 1] * _WIDE + pixels[:, 0]
