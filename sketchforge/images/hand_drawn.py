"""Hand-drawn images -> black lines on white paper, as the models were trained on.

Inputs are in pen, pencil, coloured ink or chalk, scanned or photographed under uneven light. Each image is
compared with its own paper and its own noise, so that hardly any level is fixed in advance.
docs/hand-drawn.md gives the order, the reasons and the images it was tried on.

Lengths marked "of 256" are in 1/256 of the image's longer side, as pens' are: they hold at every size.
Darkness is float32, at most 1: 0 = paper, 1 = black, negative = lighter than the paper around.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sketchforge.images.drawing_check import ImageKind, measure_drawing
from sketchforge.images.line_art import binarize, line_widths
from sketchforge.images.resize import fit_square, shrink_to

PAPER = 255
MAX_SIDE = 1024  # pixels; the largest sketch that models see. Averaging down also takes noise away
VERY_THICK = 6.0  # of 256; sketches that models see have lines of 1 to 3, boldened ones up to 5
TRAINED_WIDTH = 3.0  # of 256; the width to which very thick lines are thinned
CROWDED = 0.30  # share of ink that no drawing tried exceeds, but every second photo

_SMALL = 256  # pixels, longer side of the copy on which paper is estimated: paper has no detail
_WIDE_INK = 31  # pixels of that copy: dark areas narrower than this are ink, wider ones are shadow
_LEAST_LIGHT = 0.45  # of the brightest paper around: shadows are seldom darker, filled areas are
_FAINT, _DARK = 0.2, 0.35  # of the ink's darkness: least of all a line's pixels, and of its darkest one
_MANY_LINES = 5  # printed lines of ruled paper; a drawing seldom has as many level, long and pale ones
_CLEAN = 0.004  # noise below this is a scan without grain, or an image drawn on a screen
_PALEST = 0.12  # least darkness of a drawing's darker strokes; edges of shadows are fainter
_LEAST_INK = 0.06  # darkness below which nothing is ink, however clean the paper: JPEG's ripples, watermarks


@dataclass(frozen=True)
class NormalizedDrawing:
    """A black-on-white sketch, and notes on unusual steps."""

    sketch: np.ndarray  # uint8 H×W of 0 (ink) and 255 (paper)
    inverted: bool  # the drawing was light on dark
    notes: tuple[str, ...] = ()  # messages to the user; empty for an ordinary drawing


def normalize_drawing(image: np.ndarray, line_width: float | None = None) -> NormalizedDrawing:
    """Convert a scanned or photographed drawing to black lines on white paper.

    image: uint8 H×W×3 RGB, upright, transparency composited over white. The result has its size; images whose
    longer side exceeds MAX_SIDE are reduced to that first.
    line_width: thin strokes wider than this to it, in 1/256 of the longer side. By default strokes keep their
    width, for a bold hand is a style of its own and training shows bold lines, too; only where most are wider
    than VERY_THICK are they thinned to TRAINED_WIDTH.

    Any image gives a sketch: without ink it is blank, and `notes` says so. Raises ValueError for other dtypes
    and shapes, or a line_width below 1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"expected uint8 H×W×3, found {image.dtype} of shape {image.shape}")
    if line_width is not None and not line_width >= 1:
        raise ValueError(f"line_width={line_width}: expected at least 1, in 1/256 of the longer side")
    notes: list[str] = []
    image = shrink_to(image, MAX_SIDE)
    measures = measure_drawing(image)
    inverted = measures.inverted
    if inverted:
        image = 255 - image
        notes.append("light lines on a dark ground: inverted")
    sketch = _binarize_two_colours(image)
    if sketch is None:
        darkness = _measure_darkness(image)
        darkness, has_ruling = _remove_ruling(darkness)
        if has_ruling:
            notes.append("ruled or squared paper: its lines were taken out")
        sketch = _extract_ink(darkness)
    sketch, thinning_notes = _thin_thick_strokes(sketch, line_width)
    ink_share = float((sketch == 0).mean())
    if ink_share == 0:
        notes.append("no ink found: the sketch is blank")
    elif ink_share > CROWDED:
        notes.append(f"ink covers {ink_share:.0%} of the image: is it a line drawing?")
    elif measures.kind in (ImageKind.SHADED, ImageKind.PHOTO):
        notes.append(f"{measures.area_share:.0%} of the image is shaded or filled: is it a line drawing?")
    return NormalizedDrawing(sketch, inverted, (*notes, *thinning_notes))


def fit_drawing(sketch: np.ndarray, size: int) -> np.ndarray:
    """uint8 H×W, 255 = paper -> uint8 size×size: aspect kept, padded with paper, thin lines not faded.

    Averaging over areas would turn a line of a quarter of a pixel into a light grey. So the averaged darkness
    is multiplied, pixel by pixel, by the factor that the darkest spot within a pixel of it has lost. A thin
    line becomes a pixel or two wide and as dark as it was drawn. Where a whole pixel nearby is dark nothing
    was lost, and edges stay smooth. Raises ValueError for other dtypes and shapes.
    """
    if sketch.dtype != np.uint8 or sketch.ndim != 2 or 0 in sketch.shape:
        raise ValueError(f"expected uint8 H×W, found {sketch.dtype} of shape {sketch.shape}")
    fitted = fit_square(sketch, size, "pad")
    scale = max(sketch.shape) / size
    if scale <= 1:
        return fitted
    reach = 2 * round(scale) + 1
    eroded = fit_square(cv2.erode(sketch, np.ones((reach, reach), np.uint8)), size, "pad")
    darkest = 255 - eroded.astype(np.float32)
    darkest_fitted = 255 - cv2.erode(fitted, np.ones((3, 3), np.uint8)).astype(np.float32)
    gain = np.maximum(1, darkest / np.maximum(darkest_fitted, 1))
    return np.rint(255 - np.minimum(255, (255 - fitted.astype(np.float32)) * gain)).astype(np.uint8)


def _binarize_two_colours(image: np.ndarray) -> np.ndarray | None:
    """Turn an image of two colours into ink (the darker one) and paper, 255; an image of one colour is paper.

    None for more colours, and for two that hardly differ.
    """
    codes = image.astype(np.int32) @ np.array([299, 587, 114], np.int32)
    dark, light = codes.min(), codes.max()
    if (1 - _PALEST) * light < dark < light or not ((codes == dark) | (codes == light)).all():
        return None
    return np.where(codes < light, np.uint8(0), np.uint8(PAPER))


def _measure_darkness(image: np.ndarray) -> np.ndarray:
    """uint8 H×W×3, ink darker than paper -> float32 H×W, relative to the paper around.

    Dividing by the paper's colour removes lighting and tint. Each channel counts by itself, too, not only the
    lightness, or yellow ink would hardly be dark.
    """
    relative = image.astype(np.float32) / _estimate_paper(image)
    lightness = relative @ np.array([0.299, 0.587, 0.114], np.float32)
    coloured = 0.75 * (1 - relative.min(axis=2))  # weighted down: single channels are noisier
    # Full white is paper, not noise, where pale dense lines have made the paper seem darker.
    plain = np.where(image.min(axis=2) >= 254, 0, 1 - lightness)
    certain = max(
        0.15, 5 * _estimate_noise(plain)
    )  # of three noisy channels one is always darker than their mean
    return np.where(coloured > np.maximum(plain, certain), coloured, plain).astype(np.float32)


def _estimate_paper(image: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 -> float32 of the same shape, at least 1: the bare paper's colour at every pixel."""
    small = cv2.medianBlur(shrink_to(image, _SMALL), 3)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, _create_disc(_WIDE_INK), borderType=cv2.BORDER_REFLECT)
    # A filled area wider than the closing is still ink if it is darker than any shadow.
    widest = cv2.morphologyEx(
        small, cv2.MORPH_CLOSE, _create_disc(3 * _WIDE_INK), borderType=cv2.BORDER_REFLECT
    )
    closed = np.maximum(closed, _LEAST_LIGHT * widest).astype(np.float32)
    closed = np.maximum(closed, 1)
    # A closing follows the lightest grain; the mean of what is not ink is the paper.
    lightness = (small / closed).min(axis=2)
    bare = (lightness > 0.88 * np.median(lightness)).astype(np.float32)  # most of a drawing is paper
    bare = cv2.erode(bare, np.ones((3, 3), np.uint8))[..., None]
    weight = cv2.GaussianBlur(bare, (0, 0), 4)[..., None]
    mean = cv2.GaussianBlur(small * bare, (0, 0), 4) / np.maximum(weight, 1e-3)
    paper = np.where(weight > 0.1, mean, closed)
    paper = cv2.resize(paper, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.maximum(paper, 1)


def _remove_ruling(darkness: np.ndarray) -> tuple[np.ndarray, bool]:
    """Darkness without the printed lines of ruled or squared paper, and whether there were any.

    Printed lines are level to about a degree, paler than the ink, many and evenly spaced. Darker pixels on
    them are ink that crosses them.
    """
    side = max(darkness.shape)
    length, tilt = max(9, side // 5), 2 * round(1.5 * side / 256) + 1
    noise = _estimate_noise(darkness)
    faintest = max(0.03, 2.5 * noise)
    # The darkest twentieth: on squared paper most of what is dark is print.
    palest = 0.6 * _measure_full_ink(darkness, max(_LEAST_INK, 4 * noise), 95)
    result, has_ruling = darkness, False
    for along, across in (((1, length), (tilt, 1)), ((length, 1), (1, tilt))):
        level = cv2.dilate(darkness, np.ones(across, np.uint8))
        line = np.ones(along, np.uint8)
        level = cv2.morphologyEx(level, cv2.MORPH_OPEN, line, borderType=cv2.BORDER_REFLECT)
        printed = (level > faintest) & (level < palest)
        axis = int(along[0] == 1)  # the axis along the lines
        _, _, stats, centroids = cv2.connectedComponentsWithStats(printed.astype(np.uint8), connectivity=8)
        spans = stats[1:, (cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH)[axis]]
        if _are_evenly_spaced(centroids[1:, axis][spans > 0.5 * darkness.shape[axis]]):
            result = np.where(printed & (darkness < 1.5 * level + 3 * noise), np.float32(0), result)
            has_ruling = True
    return result, has_ruling


def _are_evenly_spaced(positions: np.ndarray) -> bool:
    """Whether lines at `positions` (L,) are many and evenly spaced, except where some were missed."""
    if len(positions) < _MANY_LINES:
        return False
    gaps = np.diff(np.sort(positions))
    steps = gaps / np.median(gaps)
    return bool((np.abs(steps - np.rint(steps)) < 0.2).mean() > 0.75)


def _measure_full_ink(darkness: np.ndarray, least: float, percentile: float = 80) -> float:
    """Measure the darkness of the darker strokes' middles; 0 where nothing is darker than `least`."""
    middles = darkness[(darkness >= cv2.dilate(darkness, np.ones((3, 3), np.uint8))) & (darkness > least)]
    return float(np.percentile(middles, percentile)) if middles.size else 0.0


def _estimate_noise(darkness: np.ndarray) -> float:
    """Estimate the std of bare paper from the pixels lighter than paper: none of them is ink."""
    lighter = darkness[darkness < 0]
    return 1.4826 * float(np.median(-lighter)) if lighter.size > 0.02 * darkness.size else 0.0


def _extract_ink(darkness: np.ndarray) -> np.ndarray:
    noise = _estimate_noise(darkness)
    edge = 0.45  # of a stroke's middle
    if noise > 0.03:
        darkness, edge = cv2.GaussianBlur(darkness, (0, 0), 1.0), 0.65  # higher, for the blur widens lines
        noise = _estimate_noise(darkness)
    least = max(_LEAST_INK, 4 * noise)
    full = _measure_full_ink(darkness, least)
    if full < _PALEST:
        return np.full(darkness.shape, PAPER, np.uint8)
    faint, dark = max(least, _FAINT * full), max(2 * least, _DARK * full, _PALEST)
    sketch = np.rint(255 * (1 - np.clip(darkness, 0, 1))).astype(np.uint8)
    sketch = binarize(sketch, 1 - faint, 1 - dark)
    # The edge of a blurred line, black or faint, is where it is half as dark as in its middle.
    outside = (darkness < edge * cv2.dilate(darkness, _create_disc(5))) & ~_find_crests(
        darkness, max(0.03, 2 * noise)
    )
    sketch = np.where(outside, np.uint8(PAPER), sketch)
    return _remove_specks(sketch, noise)


def _find_crests(darkness: np.ndarray, height: float) -> np.ndarray:
    """bool H×W: middles of lines, darker by `height` than both neighbours in one of four directions."""
    around = cv2.copyMakeBorder(darkness, 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    rows, columns = darkness.shape
    crests = np.zeros(darkness.shape, bool)
    for y, x in ((0, 1), (1, 0), (1, 1), (1, -1)):
        before, after = (
            around[1 + s * y : 1 + s * y + rows, 1 + s * x : 1 + s * x + columns] for s in (1, -1)
        )
        crests |= darkness - np.maximum(before, after) > height
    return crests


def _remove_specks(sketch: np.ndarray, noise: float) -> np.ndarray:
    """Remove components smaller than a dot of the pen; on clean paper all are intended and stay."""
    if noise < _CLEAN:
        return sketch
    dot_area = 4 * (max(sketch.shape) / 256) ** 2
    _, labels, stats, _ = cv2.connectedComponentsWithStats((sketch == 0).astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] < max(3, dot_area)
    small[0] = False
    return np.where(small[labels], np.uint8(PAPER), sketch)


def _thin_thick_strokes(sketch: np.ndarray, line_width: float | None) -> tuple[np.ndarray, tuple[str, ...]]:
    unit = max(sketch.shape) / 256
    width = _measure_stroke_width(sketch) / unit
    if width <= (VERY_THICK if line_width is None else line_width):
        return sketch, ()
    target = TRAINED_WIDTH if line_width is None else line_width
    thin = _peel_layers(sketch == 0, round((width * unit - 1) / 2) + 1)
    thickened = cv2.dilate(thin.astype(np.uint8), _create_disc(max(1, round(target * unit))))
    note = f"strokes of about {width:.1f}/256 of the longer side were thinned to {target:.1f}"
    return np.where((thickened > 0) & (sketch == 0), np.uint8(0), np.uint8(PAPER)), (note,)


def _measure_stroke_width(sketch: np.ndarray) -> float:
    """Median over the middles of strokes, in pixels; 0 without ink."""
    ink = np.pad(sketch == 0, 1)
    widths = line_widths(ink)
    middles = widths[ink & (widths >= cv2.dilate(widths, np.ones((3, 3), np.uint8)))]
    return float(np.median(middles)) if middles.size else 0.0


def _peel_layers(ink: np.ndarray, layers: int) -> np.ndarray:
    """bool H×W with `layers` layers removed all around, never a line's last one: Guo & Hall 1989.

    scikit-image has it, too, but only the metrics need that library.
    """
    thin = np.pad(ink, 1).astype(np.uint8)
    weights = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
    for _ in range(layers):
        previous = thin.copy()
        for table in _build_deletion_tables():
            thin[table[cv2.filter2D(thin, cv2.CV_8U, weights, borderType=cv2.BORDER_CONSTANT)]] = 0
        if np.array_equal(thin, previous):
            break
    return thin[1:-1, 1:-1] > 0


@lru_cache(1)
def _build_deletion_tables() -> tuple[np.ndarray, np.ndarray]:
    """Bool (256,) for either half of a step: the neighbourhoods whose middle may be removed.

    A neighbourhood is a byte: bit 0 is the pixel above, the others follow clockwise.
    """
    p = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(bool).T  # p[0] above, p[1] right of it, …
    crossings = sum((~p[i] & (p[i + 1] | p[(i + 2) % 8])).astype(int) for i in (0, 2, 4, 6))
    pairs = sum((p[i - 1] | p[i]).astype(int) for i in (0, 2, 4, 6))
    shifted_pairs = sum((p[i] | p[i + 1]).astype(int) for i in (0, 2, 4, 6))
    neighbours = np.minimum(pairs, shifted_pairs)
    common = (crossings == 1) & (neighbours >= 2) & (neighbours <= 3)
    first = ~((p[4] | p[5] | ~p[7]) & p[6])
    second = ~((p[0] | p[1] | ~p[3]) & p[2])
    return common & first, common & second


def _create_disc(diameter: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
