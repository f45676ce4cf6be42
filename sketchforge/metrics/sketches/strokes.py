"""Stroke statistics of a sketch: its amount of ink, and the width, length and straightness of its fragments.

Lines are reduced to their skeleton, and the skeleton is cut at its branch points into fragments. A fragment
is the visible part of a stroke, not the movement of the hand: two strokes that meet end to end are one
fragment, and a stroke that another crosses is two. The numbers have to be read beside those of human
drawings: `compare_strokes` measures the distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketchforge.images.line_art import line_widths
from sketchforge.metrics.sketches.skeleton import fragments, skeleton_of

INK = 128  # grey levels below it are ink
SHORT = 0.02  # of the diagonal: shorter fragments are dashes and specks

# The fields of Strokes that `compare_strokes` compares, all of them floats.
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

    Width: twice the distance of a skeleton pixel from the edge of the ink. Outside the image all is paper.
    The width is exact for upright lines of any whole width. Length: the arc length of a fragment plus one
    pixel, for half a pixel at either end, so n pixels in a row have length n and a dot has length 1.
    """
    if sketch.dtype != np.uint8 or sketch.ndim != 2 or 0 in sketch.shape:
        raise ValueError(f"expected uint8 HxW, found {sketch.dtype} of shape {sketch.shape}")
    ink = np.pad(sketch < INK, 1)
    if not ink.any():
        return Strokes(
            ink=0.0,
            width=None,
            narrow=None,
            broad=None,
            relative_width=None,
            fragments=0.0,
            median_length=None,
            mean_length=None,
            short_share=None,
            straightness=None,
        )
    diagonal = float(np.hypot(*sketch.shape))
    widths = line_widths(ink)
    skeleton = skeleton_of(ink, widths)
    narrow, width, broad = (float(value) for value in np.percentile(widths[skeleton], (10, 50, 90)))
    pieces = fragments(skeleton)
    lengths = (pieces.arcs + ~pieces.closed) / diagonal
    has_fragments = len(lengths) > 0  # a few pixels may be nothing but branch points
    return Strokes(
        ink=float(ink.sum() / sketch.size),
        width=width,
        narrow=narrow,
        broad=broad,
        relative_width=width / diagonal,
        fragments=float(len(lengths)),
        median_length=float(np.median(lengths)) if has_fragments else None,
        mean_length=float(lengths.mean()) if has_fragments else None,
        short_share=float(lengths[lengths < SHORT].sum() / lengths.sum()) if has_fragments else None,
        straightness=_measure_straightness(pieces.arcs, pieces.chords, pieces.closed),
    )


def _measure_straightness(arcs: np.ndarray, chords: np.ndarray, closed: np.ndarray) -> float | None:
    """The sum of the chords over that of the arcs; None where all fragments are dots, without length."""
    if not arcs.any():
        return None
    # Weighted by arc length, arc lengths cancel. A chord is never longer than its arc but for rounding.
    return float(min(1.0, chords[~closed].sum() / arcs.sum()))


def compare_strokes(sketches: Sequence[Strokes], reference: Sequence[Strokes]) -> dict[str, float | None]:
    """The distance of the sketches from the reference in each of MEASURES; 0 for equal distributions.

    The 1-Wasserstein distance between the two distributions over sketches, divided by the reference's
    inter-quartile range. At 1 a sketch's value would have to move by that range, on average, to follow the
    reference's distribution. (A standard deviation would depend on a few drawings: the fragments of a drawing
    that is one long line are twenty times as long as the median.) Where half the reference has one value and
    the range is 0, the standard deviation takes its place. Sketches without a value, such as blank ones, are
    left out of that measure. None where no value is left on a side, or where all the reference's are equal.

    Two finite samples of one distribution have a distance above 0, which grows as they get smaller. So read
    the figure beside the distance between two halves of the reference.
    """
    from scipy.stats import wasserstein_distance

    result: dict[str, float | None] = {}
    for measure in MEASURES:
        values, reference_values = (values_of(strokes, measure) for strokes in (sketches, reference))
        spread = distribution_of(reference_values)
        usable = len(values) and spread
        result[measure] = float(wasserstein_distance(values, reference_values)) / spread if usable else None
    return result


def distribution_of(values: np.ndarray) -> float:
    """The unit of `compare_strokes`, of float (N,): inter-quartile range, else standard deviation, else 0."""
    if not len(values):
        return 0.0
    rounding = 1e-9 * float(np.abs(values).max())  # equal values may differ from their mean by that
    low, high = np.percentile(values, (25, 75))
    spreads = [float(spread) for spread in (high - low, values.std()) if spread > rounding]
    return spreads[0] if spreads else 0.0


def values_of(strokes: Sequence[Strokes], measure: str) -> np.ndarray:
    """One of MEASURES over the sketches that have a value, float64 (N,)."""
    values = [getattr(sketch, measure) for sketch in strokes]
    return np.array([value for value in values if value is not None], float)
