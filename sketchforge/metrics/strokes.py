"""How a sketch is drawn, stroke by stroke: how much ink, how broad, how long, how straight, how broken.

Lines are reduced to their skeleton, and the skeleton is cut at its branch points into fragments. A fragment is what
can be seen of a stroke, not what the hand did: two strokes that meet end to end are one, a stroke that another crosses
is two. So numbers mean something beside those of human drawings, which `compare` puts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

INK = 128  # grey levels below it are ink
SHORT = 0.02  # of the diagonal: shorter fragments are dashes and specks
KNOT = 5  # skeleton pixels between the points through which a fragment's length is taken

# What `compare` compares, all floats of Strokes.
MEASURES = ("ink", "width", "relative_width", "fragments", "median_length", "mean_length", "short_share",
            "straightness")


@dataclass(frozen=True)
class Strokes:
    """One sketch. None where there is nothing to measure: of a blank one, all but `ink` and `fragments`."""

    ink: float  # share of the pixels, 0 to 1
    width: float | None  # of the strokes in pixels, median over the skeleton
    narrow: float | None  # 10th percentile of the same
    broad: float | None  # 90th percentile
    relative_width: float | None  # `width` over the picture's diagonal
    fragments: float  # how many; scaling a sketch leaves it as it is
    median_length: float | None  # of the fragments, over the diagonal
    mean_length: float | None
    short_share: float | None  # share of the fragments' total length that lies in those shorter than SHORT
    straightness: float | None  # chord over arc length, mean weighted by length; closed loops are 0. None: dots only


def measure_strokes(sketch: np.ndarray) -> Strokes:
    """Measure a sketch, uint8 HxW, 255 = paper. Ink is what is darker than INK. Raises ValueError for other arrays.

    Width: twice the distance of a skeleton pixel from the edge of the ink, whatever lies outside the picture being
    paper; exact for upright lines of any whole width. Skeleton: Zhang & Suen 1984 (scikit-image), then without the
    corners of its staircases and without twigs, as they grow at ragged edges and blunt ends. Length: of the polygon through every fifth pixel (KNOT) of a fragment, plus one pixel, so
    that n pixels in a row are n long and a dot 1. Adding up steps of 1 and sqrt 2 instead would make a line of 22.5
    degrees 8 % longer than one of 0 or 45, and call it bent.
    """
    from skimage.morphology import skeletonize

    if sketch.dtype != np.uint8 or sketch.ndim != 2 or 0 in sketch.shape:
        raise ValueError(f"expected uint8 HxW, found {sketch.dtype} of shape {sketch.shape}")
    ink = np.pad(sketch < INK, 1)
    diagonal = float(np.hypot(*sketch.shape))
    share = float((sketch < INK).mean())
    if not share:
        return Strokes(0.0, None, None, None, None, 0.0, None, None, None, None)
    broadness = widths(ink)
    skeleton = without_twigs(without_corners(skeletonize(ink)), broadness)
    narrow, width, broad = (float(x) for x in np.percentile(broadness[skeleton], (10, 50, 90)))
    arcs, chords, closed = fragments(skeleton)
    lengths = (arcs + ~closed) / diagonal
    straightness = None
    if arcs.any():
        # Of a single pixel there is no saying whether it is straight.
        straight = np.where(closed, 0.0, np.minimum(1.0, chords / np.where(arcs > 0, arcs, 1)))
        straightness = float(np.average(straight, weights=arcs))
    return Strokes(
        ink=share,
        width=width,
        narrow=narrow,
        broad=broad,
        relative_width=width / diagonal,
        fragments=float(len(lengths)),
        median_length=float(np.median(lengths)) if len(lengths) else None,
        mean_length=float(lengths.mean()) if len(lengths) else None,
        short_share=float(lengths[lengths < SHORT].sum() / lengths.sum()) if len(lengths) else None,
        straightness=straightness,
    )


def widths(ink: np.ndarray) -> np.ndarray:
    """bool HxW with a border of paper -> float32 HxW: the width in pixels of the line whose middle a pixel is on.

    On a grid twice as fine every line is an even number of pixels broad, so that its middle falls between two pixels
    and the distance to the nearest paper pixel is half its width. On the grid itself lines of 1 and of 2 pixels
    have the same distances.
    """
    fine = np.repeat(np.repeat(ink.astype(np.uint8), 2, axis=0), 2, axis=1)
    distance = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance.reshape(ink.shape[0], 2, ink.shape[1], 2).max(axis=(1, 3))


def without_corners(skeleton: np.ndarray) -> np.ndarray:
    """bool HxW with an empty border -> the same without the pixels at whose corner the line could go diagonally.

    What hangs together still does: the two neighbours that stay touch each other diagonally.
    """
    thin = skeleton.copy()
    for turns in range(4):
        view = np.rot90(thin, turns)
        middle, above, right = view[1:-1, 1:-1], view[:-2, 1:-1], view[1:-1, 2:]
        below, left, between = view[2:, 1:-1], view[1:-1, :-2], view[2:, :-2]
        middle &= ~(above & right & ~below & ~left & ~between)
    return thin


def without_twigs(skeleton: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """bool HxW with an empty border, and the widths of the lines -> the same without those loose ends that stick out
    of the stroke they branch off by a pixel or so: they are its edge, not strokes.
    """
    links = _links(skeleton)
    degree = np.bincount(links.ravel(), minlength=skeleton.size)
    path, number, label, _ = _pieces(skeleton, links, degree)
    size = np.bincount(label, minlength=number)
    loose = np.bincount(label[degree[path] == 1], minlength=number) > 0
    # The stroke that a piece branches off reaches half its width towards the piece.
    reach = np.zeros(number)
    for near, far in (links.T, links.T[::-1]):
        joined = (degree[near] < 3) & (degree[far] >= 3)
        np.maximum.at(reach, label[np.searchsorted(path, near[joined])], widths.ravel()[far[joined]] / 2)
    pruned = skeleton.copy()
    pruned.ravel()[path[(loose & (reach > 0) & (size <= reach + 1))[label]]] = False
    return pruned


def fragments(skeleton: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """bool HxW with an empty border -> of every fragment the arc length and the chord in pixels, and whether it is a
    closed loop; each (F,), float64 but for the last. Lengths are from the middle of the first pixel to that of the last.
    """
    from scipy.sparse.csgraph import breadth_first_order

    links = _links(skeleton)
    path, number, label, links = _pieces(skeleton, links, np.bincount(links.ravel(), minlength=skeleton.size))
    count = len(path)
    if not count:
        return np.zeros(0), np.zeros(0), np.zeros(0, bool)
    degree = np.bincount(links.ravel(), minlength=count)
    closed = np.bincount(label[degree < 2], minlength=number) == 0
    # A loop is opened at its first pixel; after that every piece has two ends, which may be the same pixel.
    first = np.unique(label, return_index=True)[1]
    opened = closed[label[links[:, 0]]] & (links == first[label[links]]).any(axis=1)
    cut = np.flatnonzero(opened)[np.unique(label[links[opened, 0]], return_index=True)[1]]
    degree -= np.bincount(links[cut].ravel(), minlength=count)
    links = np.delete(links, cut, axis=0)
    ends = np.flatnonzero(degree < 2)
    order = np.argsort(label[ends], kind="stable")
    ends = np.repeat(ends[order], np.where(degree[ends[order]] == 0, 2, 1)).reshape(number, 2)
    # Tied end to end they are one long path, and a walk along it meets the pixels of each in order.
    tied = np.concatenate([links, np.stack([ends[:-1, 1], ends[1:, 0]], axis=1)])
    walk = breadth_first_order(_graph(tied, count), ends[0, 0], directed=False, return_predecessors=False)

    at = np.stack(np.unravel_index(path[walk], skeleton.shape), axis=1).astype(float)
    start = np.concatenate([[0], np.cumsum(np.bincount(label))[:-1]])
    last = start + np.bincount(label) - 1
    place = np.arange(count) - start[label[walk]]
    knot = (place % KNOT == 0) | (np.arange(count) == last[label[walk]])
    at_knots, of = at[knot], label[walk][knot]
    same = of[1:] == of[:-1]
    steps = _norm(np.diff(at_knots, axis=0)[same])
    arcs = np.bincount(of[1:][same], steps, minlength=number).astype(float)  # integers where there are none
    chords = _norm(at[last] - at[start])
    arcs[closed] += chords[closed]  # from the last pixel back to the first
    return arcs, chords, closed


def _links(skeleton: np.ndarray) -> np.ndarray:
    """(E,2) flat indices of pixels that follow each other: side by side, or diagonally where no pixel is between."""
    flat, width = np.flatnonzero(skeleton), skeleton.shape[1]
    present = skeleton.ravel()
    found = []
    for step, between in ((1, ()), (width, ()), (width + 1, (1, width)), (width - 1, (-1, width))):
        linked = present[flat + step]
        for other in between:
            linked = linked & ~present[flat + other]
        found.append(np.stack([flat[linked], flat[linked] + step], axis=1))
    return np.concatenate(found)


def _pieces(
    skeleton: np.ndarray, links: np.ndarray, degree: np.ndarray
) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
    """What is left without the branch points, paths and loops: flat indices of the pixels (P,), number of pieces,
    each pixel's piece (P,), and the links between them (L,2) as positions among the P pixels.
    """
    from scipy.sparse.csgraph import connected_components

    pixels = np.flatnonzero(skeleton)
    path = pixels[degree[pixels] < 3]
    inner = np.searchsorted(path, links[(degree[links] < 3).all(axis=1)])
    number, label = connected_components(_graph(inner, len(path)), directed=False) if len(path) else (0, path)
    return path, number, label, inner


def _graph(links: np.ndarray, count: int) -> csr_array:
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(count, count))


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(vectors).sum(axis=1))


def compare(sketches: Sequence[Strokes], reference: Sequence[Strokes]) -> dict[str, float | None]:
    """How far the sketches are from the reference in each of MEASURES: 0 for equal distributions, no upper bound.

    The 1-Wasserstein distance between the two distributions over sketches, divided by the reference's standard
    deviation: 1 says that sketches would have to move by as much as reference drawings stray from their mean. (The
    inter-quartile range is zero as soon as half the reference has one width.) Sketches without a value, blank ones
    above all, are left out of that measure. None where none is left on a side, or all the reference's are equal.

    Two samples of one distribution are not at 0, the less so the smaller they are; read it beside the distance
    between two halves of the reference.
    """
    from scipy.stats import wasserstein_distance

    result: dict[str, float | None] = {}
    for measure in MEASURES:
        ours, theirs = (values_of(strokes, measure) for strokes in (sketches, reference))
        spread = float(theirs.std()) if len(theirs) else 0.0
        # Equal values may differ from their mean by a rounding error.
        usable = len(ours) and spread > 1e-9 * float(np.abs(theirs).max())
        result[measure] = float(wasserstein_distance(ours, theirs)) / spread if usable else None
    return result


def values_of(strokes: Sequence[Strokes], measure: str) -> np.ndarray:
    """One of MEASURES over sketches: float64 of those that have a value."""
    found = [getattr(one, measure) for one in strokes]
    return np.array([value for value in found if value is not None], float)
