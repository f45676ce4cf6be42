"""The share of their line pixels that two drawings of one photo have in common.

The pen does not count: lines are reduced to their skeleton. Small differences of place and size do not: one drawing is
moved and scaled a little, as suits best. Nor does it help to draw more: counted are the line pixels of the sparser one.

The range of this search is small on purpose. Over 50 pairs of drawings of one photo by two people, and as many of two
photos, the share is .24 and .20 where nothing is moved, .33 and .28 with the range below, .35 and .30 with twice the
shift: a wider search adds as much chance as agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


def _grid(scales: Sequence[float], shifts: Sequence[int]) -> np.ndarray:
    """(K,3): every scale with every shift along x and y."""
    return np.array([(scale, x, y) for scale in scales for y in shifts for x in shifts], np.float32)


_COARSE = _grid(SCALES, range(-MAX_SHIFT, MAX_SHIFT + 1, 4))
_FINE = _grid((0.97, 1.0, 1.03), (-2, 0, 2))
_FINEST = _grid((1.0,), (-1, 0, 1))
_IN_PLACE = _grid((1.0,), (0,))


@dataclass(frozen=True)
class _Drawing:
    points: np.ndarray  # float32 (P,2), see `line_points`
    near: np.ndarray  # bool (_WIDE * _WIDE,): within TOLERANCE of one of them


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
    prepared = [_prepare(points) for points in drawings if len(points)]
    shares = [_share(first, second) for first, second in combinations(prepared, 2)]
    return float(np.mean(shares)) if shares else None


def _prepare(points: np.ndarray) -> _Drawing:
    paper = np.ones(_WIDE * _WIDE, np.uint8)
    paper[_to_pixels(points)] = 0
    distance = cv2.distanceTransform(paper.reshape(_WIDE, _WIDE), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return _Drawing(points, distance.ravel() <= TOLERANCE)


def _share(first: _Drawing, second: _Drawing) -> float:
    sparse, dense = sorted((first, second), key=lambda drawing: len(drawing.points))
    sample = sparse.points[:: max(1, len(sparse.points) // _SAMPLE)]
    placement = _IN_PLACE[0]
    for steps in (_COARSE, _FINE):
        placements = _vary(placement, steps)
        placement = placements[np.argmax(_evaluate(sample, dense, placements))]
    placements = np.concatenate([_vary(placement, _FINEST), _IN_PLACE])
    return float(_evaluate(sparse.points, dense, placements).max())


def _vary(placement: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """A placement, (3,), changed by each of the steps, (K,3): scales multiply, shifts add up."""
    return np.concatenate([placement[:1] * steps[:, :1], placement[1:] + steps[:, 1:]], axis=1)


def _evaluate(points: np.ndarray, dense: _Drawing, placements: np.ndarray) -> np.ndarray:
    """(K,): the share of points near the lines of `dense`, for each placement (K,3) of scale, x, y."""
    return dense.near[_to_pixels(points * placements[:, None, :1] + placements[:, None, 1:])].mean(axis=1)


def _to_pixels(points: np.ndarray) -> np.ndarray:
    """x, y from the middle, (...,2) -> int32 (...): where they are on a paper with _MARGIN around, row by row."""
    pixels = (points + np.float32(_WIDE / 2)).astype(np.int32)  # all are above 0, so this rounds down
    return pixels[..., 1] * _WIDE + pixels[..., 0]
