"""The rule that chooses snapshots, for the paper's "after it is observed to output good quality".

Candidates have to draw well; among those that do, the chosen ones differ in the lines that they draw, and where.
Ink and pen are taken out of the comparison: by pixels the boldest pens lie farthest apart, and the snapshots would be
one drawing in ten widths.
All functions are pure functions of scores and sketches, which the training loop measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

WINDOW = 3  # evaluations averaged to test whether the score still changes
# Beside the median candidate: the first are best in content, and windows imitate drawings that are not equally easy to
# come near.
CONTENT_TOLERANCE = 0.04  # of correlation below it
REALISM_TOLERANCE = 0.15  # of relative distance above it
INK_RATIO = 1.4  # with more times its ink a sketch is clogged, with less than the inverse it is nearly empty
FAINTEST = 1e-4  # mean darkness; with less a sketch is as good as blank
RELAXATION = 1.5
INK_BELOW = 0.65  # of grey; what `render` takes for ink
LEVELS = np.linspace(0.1, 0.9, 9)  # of grey; the thresholds among which lines of equal length are looked for
TOLERANCE = 2 / 256  # of the side; lines as near as this are the same line


@dataclass(frozen=True)
class Selection:
    """The chosen candidates.

    chosen: indices of candidates, the most careful first, then the most diverse. passing: indices of those within
    the tolerances. relaxed: how many times the tolerances were widened. difference: float64 (C,C) between the
    chosen, as `line_differences` gives it.
    """

    chosen: list[int]
    passing: list[int]
    relaxed: int
    difference: np.ndarray


def has_plateaued(content: Sequence[float], tolerance: float = 0.02) -> bool:
    """Whether the validation content score has stopped changing.

    The mean of the last WINDOW scores differs from the mean of the WINDOW scores before them by at most
    `tolerance`, relative to the latter.
    """
    if len(content) < 2 * WINDOW:
        return False
    earlier_mean, latest_mean = np.mean(content[-2 * WINDOW : -WINDOW]), np.mean(content[-WINDOW:])
    return bool(abs(latest_mean - earlier_mean) <= tolerance * abs(earlier_mean))


def select(content: Sequence[float], realism: Sequence[float], sketches: np.ndarray, count: int) -> Selection:
    """Choose `count` of M candidates that are good and differ from each other.

    content: (M) correlation of layout with the photo, higher is better. realism: (M) distance to the
    drawings' statistics, lower is better. sketches: (M,V,H,W) in [0, 1], of the same V images.
    1. Candidates worse than the median in content or realism by more than a tolerance, or off its ink, are
       dropped. While fewer than `count` remain, the tolerances are widened.
    2. The most careful candidate is first: its lines are nearest to those of the mean of all that remain.
    3. Farthest-point selection by `line_differences`: each next one is the candidate farthest from all chosen
       so far, so every prefix of the result is diverse as well.
    Raises ValueError when there are fewer candidates than `count`.
    """
    ink = (1 - sketches).mean((1, 2, 3))
    passing, relaxed = passing_candidates(content, realism, ink, count)
    good = sketches[passing]
    difference = line_differences(np.concatenate([good, good.mean(0, keepdims=True)]))
    order = farthest_first(difference[:-1, :-1], int(difference[-1, :-1].argmin()), count)
    return Selection([passing[i] for i in order], passing, relaxed, difference[np.ix_(order, order)])


def passing_candidates(
    content: Sequence[float], realism: Sequence[float], ink: Sequence[float], count: int
) -> tuple[list[int], int]:
    """(indices of the candidates within the tolerances, at least `count`; how many times these were widened).

    ink: (M) mean darkness. Raises ValueError when there are fewer candidates than `count`.
    """
    contents, realisms = np.asarray(content, float), np.asarray(realism, float)
    if len(contents) < count:
        raise ValueError(f"{len(contents)} candidates cannot give {count} snapshots")
    log_ink = np.log(np.maximum(ink, FAINTEST))
    relaxed = 0
    while True:
        factor = RELAXATION**relaxed
        passes = contents >= np.median(contents) - CONTENT_TOLERANCE * factor
        passes &= realisms <= np.median(realisms) + REALISM_TOLERANCE * factor
        passes &= np.abs(log_ink - np.median(log_ink)) <= np.log(INK_RATIO) * factor
        if passes.sum() >= count:
            return [int(i) for i in np.flatnonzero(passes)], relaxed
        relaxed += 1


def farthest_first(difference: np.ndarray, first: int, count: int) -> list[int]:
    """(M,M) symmetric -> `count` indices: `first`, then each time the farthest from all before; ties: the lower."""
    chosen = [first]
    while len(chosen) < count:
        nearest = difference[:, chosen].min(1)
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return chosen


def line_differences(sketches: np.ndarray) -> np.ndarray:
    """(M,V,H,W) in [0, 1], sketches of the same V images by M candidates -> (M,M) float64 in [0, 1].

    1 - the share of a sketch's line pixels that lie within TOLERANCE of the other's, in the mean of both directions
    and of the images. Line pixels are those of the thinned ink, so that no pen is broader than another; of each
    image all candidates have as many as possible of the same number, the median at `render`'s threshold, so that
    none has more ink.
    """
    total = np.zeros((len(sketches), len(sketches)))
    for one_image in sketches.swapaxes(0, 1):
        total += share_lines(_equal_lines(one_image))
    shares = total / sketches.shape[1]
    return 1 - (shares + shares.T) / 2


def _equal_lines(sketches: np.ndarray) -> np.ndarray:
    """(M,H,W) in [0, 1] -> bool (M,H,W): each one's thinned lines at the level that suits the common length best."""
    common = np.median([thin_ink(sketch < INK_BELOW).sum() for sketch in sketches])
    return np.stack([_lines_of_length(sketch, common) for sketch in sketches])


def _lines_of_length(sketch: np.ndarray, length: float) -> np.ndarray:
    lines = [thin_ink(sketch < level) for level in LEVELS]
    return min(lines, key=lambda thinned: abs(int(thinned.sum()) - length))


def thin_ink(ink: np.ndarray) -> np.ndarray:
    """bool H×W -> the same, lines one pixel wide."""
    from skimage.morphology import skeletonize

    return skeletonize(ink)


def share_lines(lines: np.ndarray) -> np.ndarray:
    """bool (M,H,W) -> (M,M): share of the line pixels of each (row) that lie near those of each (column).

    Of no lines all are shared.
    """
    near = np.stack([_distance_to(thinned) <= TOLERANCE * max(thinned.shape) for thinned in lines])
    flat = lines.reshape(len(lines), -1).astype(np.float64)
    lengths = flat.sum(1, keepdims=True)
    shared = flat @ near.reshape(len(lines), -1).T.astype(np.float64)
    return np.where(lengths > 0, shared / np.maximum(lengths, 1), 1.0)


def _distance_to(lines: np.ndarray) -> np.ndarray:
    """bool H×W -> float32 H×W: pixels to the nearest line pixel; infinite without lines."""
    if not lines.any():
        return np.full(lines.shape, np.inf, np.float32)
    return cv2.distanceTransform((~lines).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
