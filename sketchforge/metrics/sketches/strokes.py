"""How a sketch is drawn, stroke by stroke: how much ink, how broad, how long, how straight, how broken.

Lines are reduced to their skeleton, and the skeleton is cut at its branch points into fragments. A fragment
is what can be seen of a stroke, not what the hand did: two strokes that meet end to end are one, and a stroke
that another crosses is two. The numbers mean something beside those of human drawings, where `compare` puts
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketchforge.images.line_art import line_widths
from sketchforge.metrics.sketches.skeleton import fragments, skeleton_of

INK = 128  # grey levels below it are ink
SHORT = 0.02  # of the diagonal: shorter fragments are dashes and specks

# What `compare` compares, all of them floats of Strokes.
MEASURES = (
    "ink",
    "width",
    "relative_width",
    "fragments",
    "median_length",
    "mean_length",
    "short_share",
    "straightness",
)


@dataclass(frozen=True)
class Strokes:
    """One sketch. None where there is nothing to measure: of a blank one, all but `ink` and `fragments`."""

    ink: float  # share of the pixels, 0 to 1
    width: float | None  # of the strokes in pixels, median over the skeleton
    narrow: float | None  # 10th percentile of the same
    broad: float | None  # 90th percentile
    relative_width: float | None  # `width` over the image's diagonal
    fragments: float  # how many; a sketch drawn larger, pen and all, has as many
    median_length: float | None  # of the fragments, over the diagonal
    mean_length: float | None
    short_share: float | None  # share of the fragments' total length that lies in those shorter than SHORT
    straightness: float | None  # chord over arc length, weighted by length; 0 for loops, None for dots


def measure_strokes(sketch: np.ndarray) -> Strokes:
    """Measure a sketch, uint8 HxW, 255 = paper; what is darker than INK is ink. ValueError for other arrays.

    Width: twice the distance of a skeleton pixel from the edge of the ink, whatever lies outside the image
    being paper; exact for upright lines of any whole width. Length: the arc length of a fragment plus one
    pixel, for half a pixel at either end, so that n pixels in a row are n long and a dot is 1.
    """
    if sketch.dtype != np.uint8 or sketch.ndim != 2 or 0 in sketch.shape:
        raise ValueError(f"expected uint8 HxW, found {sketch.dtype} of shape {sketch.shape}")
    ink = np.pad(sketch < INK, 1)
    if not ink.any():
        return Strokes(0.0, None, None, None, None, 0.0, None, None, None, None)
    diagonal = float(np.hypot(*sketch.shape))
    widths = line_widths(ink)
    skeleton = skeleton_of(ink, widths)
    narrow, width, broad = (float(value) for value in np.percentile(widths[skeleton], (10, 50, 90)))
    pieces = fragments(skeleton)
    lengths = (pieces.arcs + ~pieces.closed) / diagonal
    found = len(lengths) > 0  # a few pixels may be nothing but branch points
    return Strokes(
        ink=float(ink.sum() / sketch.size),
        width=width,
        narrow=narrow,
        broad=broad,
        relative_width=width / diagonal,
        fragments=float(len(lengths)),
        median_length=float(np.median(lengths)) if found else None,
        mean_length=float(lengths.mean()) if found else None,
        short_share=float(lengths[lengths < SHORT].sum() / lengths.sum()) if found else None,
        straightness=_straightness(pieces.arcs, pieces.chords, pieces.closed),
    )


def _straightness(arcs: np.ndarray, chords: np.ndarray, closed: np.ndarray) -> float | None:
    """A single pixel has no arc length, hence no weight: there is no saying whether it is straight."""
    if not arcs.any():
        return None
    # Weighted by arc length, arc lengths cancel. A chord is never longer than its arc but for rounding.
    return float(min(1.0, chords[~closed].sum() / arcs.sum()))


def compare_strokes(sketches: Sequence[Strokes], reference: Sequence[Strokes]) -> dict[str, float | None]:
    """How far the sketches are from the reference in each of MEASURES: 0 is equally distributed.

    The 1-Wasserstein distance between the two distributions over sketches, divided by the reference's
    inter-quartile range: 1 says that sketches would have to move, on average, as far as the middle half of
    the reference reaches to be distributed like it. (A standard deviation would be made by a few: the
    fragments of a drawing that is one long line are twenty times as long as the median.) Where half the
    reference has one value and the range is 0, the standard deviation stands in. Sketches without a
    value, blank ones above all, are left out of that measure. None where none is left on a side, or all the
    reference's are equal.

    Two samples of one distribution are not at 0, and the farther from it the smaller they are: read the
    figure beside the distance between two halves of the reference.
    """
    from scipy.stats import wasserstein_distance

    result: dict[str, float | None] = {}
    for measure in MEASURES:
        ours, theirs = (values_of(strokes, measure) for strokes in (sketches, reference))
        spread = distribution_of(theirs)
        usable = len(ours) and spread
        result[measure] = float(wasserstein_distance(ours, theirs)) / spread if usable else None
    return result


def distribution_of(values: np.ndarray) -> float:
    """The unit of `compare`, of float (N,): inter-quartile range, else standard deviation, else 0."""
    if not len(values):
        return 0.0
    rounding = 1e-9 * float(np.abs(values).max())  # equal values may differ from their mean by that
    low, high = np.percentile(values, (25, 75))
    spreads = [float(spread) for spread in (high - low, values.std()) if spread > rounding]
    return spreads[0] if spreads else 0.0


def values_of(strokes: Sequence[Strokes], measure: str) -> np.ndarray:
    """One of MEASURES over sketches: float64 of those that have a value."""
    found = [getattr(one, measure) for one in strokes]
    return np.array([value for value in found if value is not None], float)
