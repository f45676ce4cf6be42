"""From what people have drawn to what the models were trained on: black lines on white paper.

Pen, pencil, coloured ink or chalk, scanned or photographed under uneven light: each image is judged against
its own paper and its own noise, so that hardly a level is fixed in advance. docs/hand-drawn.md gives the
order, the reasons and what it was tried on.

Lengths named "of 256" are in 1/256 of the image's longer side, as pens' are: they hold at every size.
Darkness is float32, at most 1: 0 = paper, 1 = black, below 0 what is lighter than the paper around.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sketchforge.images.line_art import binarize, line_widths
from sketchforge.images.resize import fit_square

PAPER = 255
MAX_SIDE = 1024  # pixels; the largest sketch that models see. Averaging down also takes noise away
VERY_THICK = 6.0  # of 256; sketches that models see have lines of 1 to 3, boldened ones up to 5
TRAINED_WIDTH = 3.0  # of 256; what very thick lines are brought to
CROWDED = 0.30  # share of ink above which we found no drawing, but every second photo

_SMALL = 256  # pixels, longer side of the copy on which paper is estimated: it has no detail
_WIDE_INK = 31  # pixels of that copy: what is darker and narrower than this is ink, what is wider is light
_LEAST_LIGHT = 0.45  # of the brightest paper around: shadows are seldom deeper, filled areas are
_FAINT, _CORE = 0.2, 0.35  # of the ink's darkness: what a line may fade to, and what it is somewhere
_MANY_LINES = 5  # printed lines that make ruled paper; a drawing has seldom as many, level, long and pale
_CLEAN = 0.004  # noise below this is a scan without grain, or an image drawn on a screen
_PALEST = 0.12  # what a drawing's darker strokes are at least; fainter are shadows' edges
_LEAST_INK = 0.06  # darkness below which nothing is ink, however clean the paper: JPEG's ripples, watermarks


@dataclass(frozen=True)
class NormalizedDrawing:
    """Black on white, and what was done beside the usual."""

    sketch: np.ndarray  # uint8 H×W of 0 (ink) and 255 (paper)
    inverted: bool  # the drawing was light on dark
    notes: tuple[str, ...] = ()  # for the user to read; empty where there is nothing out of the ordinary


def normalize_drawing(image: np.ndarray, line_width: float | None = None) -> NormalizedDrawing:
    """Make black lines on white paper of a drawing as it was scanned or photographed.

    image: uint8 H×W×3 RGB, upright, transparency laid over white. The result has its size; images of more
    than MAX_SIDE pixels are reduced to that first.
    line_width: bring strokes broader than this down to it, in 1/256 of the longer side. By default strokes
    stay, for a bold hand is a style of its own and training shows bold lines, too; only where most are
    beyond VERY_THICK are they brought to TRAINED_WIDTH.

    Any image gives a sketch: where nothing is found it is blank, and `notes` says so. Raises ValueError for
    other dtypes and shapes, or a line_width below 1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"expected uint8 H×W×3, found {image.dtype} of shape {image.shape}")
    if line_width is not None and not line_width >= 1:
        raise ValueError(f"line_width={line_width}: expected at least 1, in 1/256 of the longer side")
    notes: list[str] = []
    image = _reduced(image, MAX_SIDE)
    inverted = _has_dark_ground(image)
    if inverted:
        image = 255 - image
        notes.append("light lines on a dark ground: inverted")
    sketch = _two_colours(image)
    if sketch is None:
        darkness = _darkness(image)
        darkness, ruled = _without_ruling(darkness)
        if ruled:
            notes.append("ruled or squared paper: its lines were taken out")
        sketch = _ink(darkness)
    sketch, thinning = _not_too_thick(sketch, line_width)
    share = float((sketch == 0).mean())
    if share == 0:
        notes.append("no ink found: the sketch is blank")
    elif share > CROWDED:
        notes.append(f"ink covers {share:.0%} of the image: is it a line drawing?")
    return NormalizedDrawing(sketch, inverted, (*notes, *thinning))


def fit_drawing(sketch: np.ndarray, size: int) -> np.ndarray:
    """uint8 H×W, 255 = paper -> uint8 size×size: aspect kept, padded with paper, thin lines not faded.

    Averaging over areas would turn a line of a quarter of a pixel into a light grey. So the average's
    darkness is multiplied, pixel by pixel, by as much as the darkest spot within a pixel of it has lost: a
    thin line is a pixel or two broad and as dark as it was drawn; where a whole pixel nearby is dark nothing
    was lost, and edges stay smooth. Raises ValueError for other dtypes and shapes.
    """
    if sketch.dtype != np.uint8 or sketch.ndim != 2 or 0 in sketch.shape:
        raise ValueError(f"expected uint8 H×W, found {sketch.dtype} of shape {sketch.shape}")
    fitted = fit_square(sketch, size, "pad")
    scale = max(sketch.shape) / size
    if scale <= 1:
        return fitted
    reach = 2 * round(scale) + 1
    spread = fit_square(cv2.erode(sketch, np.ones((reach, reach), np.uint8)), size, "pad")
    drawn = 255 - spread.astype(np.float32)
    kept = 255 - cv2.erode(fitted, np.ones((3, 3), np.uint8)).astype(np.float32)
    gain = np.maximum(1, drawn / np.maximum(kept, 1))
    return np.rint(255 - np.minimum(255, (255 - fitted.astype(np.float32)) * gain)).astype(np.uint8)


def _reduced(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _has_dark_ground(image: np.ndarray) -> bool:
    """There are strokes, and three of four: the ground around them is their darker side, fine detail is
    lighter than what surrounds it, the border is dark, most of the image is dark.

    Each may be misled alone: by filled areas, by hatching, by a shadow or a dark table around the sheet, by a
    sheet photographed dark. A sheet with nothing but shadows on it might mislead three.
    """
    grey = cv2.cvtColor(_reduced(image, _SMALL), cv2.COLOR_RGB2GRAY)
    fine, wide = _disc(9), _disc(25)
    lighter = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, fine).astype(np.int64)
    darker = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, fine).astype(np.int64)
    grain, strongest = np.percentile(np.maximum(lighter, darker), (20, 99.5))
    if strongest < 5 * grain + 10:  # of noise alone the one is two or three times the other
        return False
    low, high = cv2.erode(grey, wide).astype(np.int32), cv2.dilate(grey, wide).astype(np.int32)
    contrast = high - low
    strokes = contrast >= max(8, int(np.percentile(contrast, 95)) // 2)
    dark_around = 2 * grey[strokes].astype(np.int32) < (low + high)[strokes]
    edge = max(1, max(grey.shape) // 25)
    sides = (grey[:edge], grey[-edge:], grey[:, :edge], grey[:, -edge:])
    border = np.concatenate([part.ravel() for part in sides])
    middle = np.percentile(grey, (1, 99)).mean()
    mostly_dark = dark_around.mean() > 0.5
    votes = (mostly_dark, lighter.sum() > darker.sum(), np.median(border) < middle, np.median(grey) < 128)
    return sum(map(bool, votes)) >= 3


def _two_colours(image: np.ndarray) -> np.ndarray | None:
    """An image of two colours is ink and paper already, 255 where it is the lighter one; one colour is
    paper. None for any other, and for two that hardly differ.
    """
    codes = image.astype(np.int32) @ np.array([299, 587, 114], np.int32)
    dark, light = codes.min(), codes.max()
    if (1 - _PALEST) * light < dark < light or not ((codes == dark) | (codes == light)).all():
        return None
    return np.where(codes < light, np.uint8(0), np.uint8(PAPER))


def _darkness(image: np.ndarray) -> np.ndarray:
    """uint8 H×W×3, ink darker than paper -> float32 H×W, relative to the paper around.

    Dividing by the paper's own colour takes out light and tint. Beside lightness each channel counts by
    itself, or yellow ink would hardly be any.
    """
    relative = image.astype(np.float32) / _paper(image)
    lightness = relative @ np.array([0.299, 0.587, 0.114], np.float32)
    coloured = 0.75 * (1 - relative.min(axis=2))  # less than its due: single channels are noisier
    # Full white is paper, not noise, where pale dense lines have made the paper seem darker.
    plain = np.where(image.min(axis=2) >= 254, 0, 1 - lightness)
    certain = max(0.15, 5 * _noise(plain))  # of three noisy channels one is always darker than their mean
    return np.where(coloured > np.maximum(plain, certain), coloured, plain).astype(np.float32)


def _paper(image: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 -> float32 of the same shape, at least 1: the bare paper's colour at every pixel."""
    small = cv2.medianBlur(_reduced(image, _SMALL), 3)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, _disc(_WIDE_INK), borderType=cv2.BORDER_REFLECT)
    # A filled area wider than the closing is ink, all the same, if no shadow is as deep.
    widest = cv2.morphologyEx(small, cv2.MORPH_CLOSE, _disc(3 * _WIDE_INK), borderType=cv2.BORDER_REFLECT)
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


def _without_ruling(darkness: np.ndarray) -> tuple[np.ndarray, bool]:
    """Darkness without the printed lines of ruled or squared paper, and whether there were any.

    Printed lines are level to about a degree, paler than the ink, many and evenly spaced. What is darker than
    they are is ink across them.
    """
    side = max(darkness.shape)
    length, tilt = max(9, side // 5), 2 * round(1.5 * side / 256) + 1
    noise = _noise(darkness)
    faintest = max(0.03, 2.5 * noise)
    # The darkest twentieth: on squared paper most of what is dark is print.
    palest = 0.6 * _full_ink(darkness, max(_LEAST_INK, 4 * noise), 95)
    result, found = darkness, False
    for along, across in (((1, length), (tilt, 1)), ((length, 1), (1, tilt))):
        level = cv2.dilate(darkness, np.ones(across, np.uint8))
        line = np.ones(along, np.uint8)
        level = cv2.morphologyEx(level, cv2.MORPH_OPEN, line, borderType=cv2.BORDER_REFLECT)
        printed = (level > faintest) & (level < palest)
        axis = int(along[0] == 1)  # that the lines run along
        _, _, stats, places = cv2.connectedComponentsWithStats(printed.astype(np.uint8), connectivity=8)
        spans = stats[1:, (cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH)[axis]]
        if _evenly_spaced(places[1:, axis][spans > 0.5 * darkness.shape[axis]]):
            result = np.where(printed & (darkness < 1.5 * level + 3 * noise), np.float32(0), result)
            found = True
    return result, found


def _evenly_spaced(places: np.ndarray) -> bool:
    """Whether these many lines (L,) lie a step apart, or a few where some were not found."""
    if len(places) < _MANY_LINES:
        return False
    gaps = np.diff(np.sort(places))
    steps = gaps / np.median(gaps)
    return bool((np.abs(steps - np.rint(steps)) < 0.2).mean() > 0.75)


def _full_ink(darkness: np.ndarray, least: float, percentile: float = 80) -> float:
    """How dark the middles of the darker strokes are; 0 where nothing is darker than `least`."""
    middles = darkness[(darkness >= cv2.dilate(darkness, np.ones((3, 3), np.uint8))) & (darkness > least)]
    return float(np.percentile(middles, percentile)) if middles.size else 0.0


def _noise(darkness: np.ndarray) -> float:
    """The standard deviation of bare paper, from what is lighter than paper: no ink is among it."""
    lighter = darkness[darkness < 0]
    return 1.4826 * float(np.median(-lighter)) if lighter.size > 0.02 * darkness.size else 0.0


def _ink(darkness: np.ndarray) -> np.ndarray:
    noise = _noise(darkness)
    edge = 0.45  # of a stroke's middle
    if noise > 0.03:
        darkness, edge = cv2.GaussianBlur(darkness, (0, 0), 1.0), 0.65  # higher, for the blur widens lines
        noise = _noise(darkness)
    least = max(_LEAST_INK, 4 * noise)
    full = _full_ink(darkness, least)
    if full < _PALEST:
        return np.full(darkness.shape, PAPER, np.uint8)
    low, core = max(least, _FAINT * full), max(2 * least, _CORE * full, _PALEST)
    sketch = np.rint(255 * (1 - np.clip(darkness, 0, 1))).astype(np.uint8)
    sketch = binarize(sketch, 1 - low, 1 - core)
    # The edge of a blurred line is where it is half as dark as in its middle, be it black or faint.
    outside = (darkness < edge * cv2.dilate(darkness, _disc(5))) & ~_crests(darkness, max(0.03, 2 * noise))
    sketch = np.where(outside, np.uint8(PAPER), sketch)
    return _without_specks(sketch, noise)


def _crests(darkness: np.ndarray, height: float) -> np.ndarray:
    """bool H×W: the middles of lines, darker by `height` than both neighbours in one of four directions."""
    around = cv2.copyMakeBorder(darkness, 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    rows, columns = darkness.shape
    crests = np.zeros(darkness.shape, bool)
    for y, x in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one, other = (around[1 + s * y : 1 + s * y + rows, 1 + s * x : 1 + s * x + columns] for s in (1, -1))
        crests |= darkness - np.maximum(one, other) > height
    return crests


def _without_specks(sketch: np.ndarray, noise: float) -> np.ndarray:
    """Pieces smaller than a dot of the pen go; on clean paper whatever is there is meant."""
    if noise < _CLEAN:
        return sketch
    smallest = 4 * (max(sketch.shape) / 256) ** 2
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((sketch == 0).astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] < max(3, smallest)
    small[0] = False
    return np.where(small[pieces], np.uint8(PAPER), sketch)


def _not_too_thick(sketch: np.ndarray, line_width: float | None) -> tuple[np.ndarray, tuple[str, ...]]:
    unit = max(sketch.shape) / 256
    width = _stroke_width(sketch) / unit
    if width <= (VERY_THICK if line_width is None else line_width):
        return sketch, ()
    target = TRAINED_WIDTH if line_width is None else line_width
    thin = _peeled(sketch == 0, round((width * unit - 1) / 2) + 1)
    spread = cv2.dilate(thin.astype(np.uint8), _disc(max(1, round(target * unit))))
    note = f"strokes of about {width:.1f}/256 of the longer side were thinned to {target:.1f}"
    return np.where((spread > 0) & (sketch == 0), np.uint8(0), np.uint8(PAPER)), (note,)


def _stroke_width(sketch: np.ndarray) -> float:
    """Median over the middles of strokes, in pixels; 0 without ink."""
    ink = np.pad(sketch == 0, 1)
    widths = line_widths(ink)
    middles = widths[ink & (widths >= cv2.dilate(widths, np.ones((3, 3), np.uint8)))]
    return float(np.median(middles)) if middles.size else 0.0


def _peeled(ink: np.ndarray, layers: int) -> np.ndarray:
    """bool H×W with `layers` layers taken off all around, never the last of a line: Guo & Hall 1989.

    scikit-image has it, too, but measuring alone asks for that library.
    """
    thin = np.pad(ink, 1).astype(np.uint8)
    weights = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
    for _ in range(layers):
        before = thin.copy()
        for table in _deletable():
            thin[table[cv2.filter2D(thin, cv2.CV_8U, weights, borderType=cv2.BORDER_CONSTANT)]] = 0
        if np.array_equal(thin, before):
            break
    return thin[1:-1, 1:-1] > 0


@lru_cache(1)
def _deletable() -> tuple[np.ndarray, np.ndarray]:
    """Bool (256,) for either half of a step: of which neighbourhoods (bit 0 above, then clockwise) the middle
    may go.
    """
    p = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(bool).T  # p[0] above, p[1] right of it, …
    crossings = sum((~p[i] & (p[i + 1] | p[(i + 2) % 8])).astype(int) for i in (0, 2, 4, 6))
    pairs = sum((p[i - 1] | p[i]).astype(int) for i in (0, 2, 4, 6))
    others = sum((p[i] | p[i + 1]).astype(int) for i in (0, 2, 4, 6))
    neighbours = np.minimum(pairs, others)
    common = (crossings == 1) & (neighbours >= 2) & (neighbours <= 3)
    first = ~((p[4] | p[5] | ~p[7]) & p[6])
    second = ~((p[0] | p[1] | ~p[3]) & p[2])
    return common & first, common & second


def _disc(diameter: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
