"""Is this a line drawing? Paper, strokes and areas of an image, measured on a reduced copy.

A line drawing is thin strokes on paper of one level, apart from the light it was photographed in. A photo has hardly
any such paper, and areas of all levels. docs/hand-drawn.md has the images that the limits were chosen and tested on.

Lengths marked "of 256" are in 1/256 of the image's longer side.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from sketchforge.images.resize import shrink_to

_SIDE = 256  # pixels, longer side of the copy that is measured
_FINE_SIDE = 1024  # pixels, of the copy on which hairlines are looked for: they fade in the smaller one
_STROKE = 9  # of 256; what is narrower is a stroke, what is wider an area
_PAPER = 93  # of 256; the lightest within such a distance is the paper's level
_SHADE = 0.12  # darker than the paper by so much is not paper
_SHADOW = 0.4  # darker than the paper by more is no shadow
_MOST_GRAIN = 12  # 8-bit levels; what varies more, pixel by pixel, is no paper's grain
_EDGE = 40  # 8-bit levels between neighbours: the outline of an area; shadows fade in more gradually
_FEWEST = 3e-4  # least share of stroke pixels: two short strokes in 256²

LEAST_PAPER = 0.60  # share of paper that line drawings have at least
MOST_AREA = 0.16  # share of wide areas (fills, shading) that they have at most
LEAST_COLOUR = (
    5.0  # 8-bit levels; drawings in inks of several colours have less, nearly all colour photos more
)


class ImageKind(StrEnum):
    """What an image looks like."""

    LINES = "lines"  # thin strokes on paper
    SHADED = "shaded"  # paper and ink of one colour, but mostly areas: charcoal, washes, grey photos
    PHOTO = "photo"  # areas of several colours; most paintings, too
    BLANK = "blank"  # neither strokes nor areas


@dataclass(frozen=True)
class DrawingMeasures:
    """Measures of one image; all but `inverted` are of the image after it was inverted, if it is."""

    kind: ImageKind
    inverted: bool  # light strokes on a dark ground
    paper_level: int  # 0-255, median grey of the paper
    paper_share: float  # of pixels less than _SHADE darker than the lightest around; 0-1
    area_share: float  # of pixels darker than that and wider than a stroke; 0-1
    stroke_share: (
        float  # of pixels darker than their neighbours within a stroke's width, beyond the grain; 0-1
    )
    colour: float  # 8-bit levels, std of colours off the line that fits them best: 0 for one ink on one paper


def measure_drawing(image: np.ndarray) -> DrawingMeasures:
    """Measure an image and say what it looks like.

    image: uint8 H×W×3 RGB, upright, transparency composited over white. Raises ValueError for other dtypes and
    shapes.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"expected uint8 H×W×3, found {image.dtype} of shape {image.shape}")
    small = shrink_to(image, _SIDE)
    inverted = has_dark_ground(image)
    grey = cv2.cvtColor(255 - small if inverted else small, cv2.COLOR_RGB2GRAY)
    without_strokes = _close(grey, _STROKE)
    grain = min(_MOST_GRAIN, float(np.median(without_strokes - grey)))
    paper = _estimate_level(without_strokes)
    is_paper = grey >= (1 - _SHADE) * paper - 2 * grain
    area_share = float((without_strokes < (1 - _SHADE) * paper).mean())
    paper_share = float(is_paper.mean())
    stroke_share = max(_measure_stroke_share(grey, _STROKE), _measure_fine_strokes(image, inverted))
    colour = _measure_colour(small)
    # Soft tones are ink where they are deeper than any shadow.
    is_deep = (without_strokes < (1 - _SHADOW) * paper) & (paper - without_strokes > _EDGE)
    if stroke_share < _FEWEST and float(((_measure_steps(grey) > _EDGE) | is_deep).mean()) < _FEWEST:
        kind = ImageKind.BLANK
    elif paper_share >= LEAST_PAPER and area_share <= MOST_AREA:
        kind = ImageKind.LINES
    else:
        kind = ImageKind.PHOTO if colour >= LEAST_COLOUR else ImageKind.SHADED
    level = int(np.median(grey[is_paper]))
    return DrawingMeasures(kind, inverted, level, paper_share, area_share, stroke_share, colour)


def has_dark_ground(image: np.ndarray) -> bool:
    """Whether there are strokes and three of four signs of a dark ground hold. image: uint8 H×W×3.

    The signs: the ground around strokes is their darker side, fine detail is lighter than its surroundings,
    the border is dark, most of the image is dark. Each sign alone may be wrong: because of filled areas,
    hatching, a shadow or a dark table around the sheet, a sheet photographed dark. A sheet with nothing but
    shadows on it might show three.
    """
    grey = cv2.cvtColor(shrink_to(image, _SIDE), cv2.COLOR_RGB2GRAY)
    fine, wide = _create_disc(9), _create_disc(25)
    lighter = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, fine).astype(np.int64)
    darker = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, fine).astype(np.int64)
    grain, strongest = np.percentile(np.maximum(lighter, darker), (20, 99.5))
    if strongest < 5 * grain + 10:  # with noise alone the strongest is two or three times the grain
        return False
    darkest, lightest = cv2.erode(grey, wide).astype(np.int32), cv2.dilate(grey, wide).astype(np.int32)
    contrast = lightest - darkest
    strokes = contrast >= max(8, int(np.percentile(contrast, 95)) // 2)
    dark_around = 2 * grey[strokes].astype(np.int32) < (darkest + lightest)[strokes]
    edge = max(1, max(grey.shape) // 25)
    sides = (grey[:edge], grey[-edge:], grey[:, :edge], grey[:, -edge:])
    border = np.concatenate([strip.ravel() for strip in sides])
    middle = np.percentile(grey, (1, 99)).mean()
    mostly_dark = dark_around.mean() > 0.5
    votes = (mostly_dark, lighter.sum() > darker.sum(), np.median(border) < middle, np.median(grey) < 128)
    return sum(map(bool, votes)) >= 3


def _measure_fine_strokes(image: np.ndarray, inverted: bool) -> float:
    fine = cv2.cvtColor(shrink_to(image, _FINE_SIDE), cv2.COLOR_RGB2GRAY)
    return _measure_stroke_share(255 - fine if inverted else fine, _STROKE)


def _measure_stroke_share(grey: np.ndarray, width: int) -> float:
    """Measure the share of pixels that a closing lightens beyond the paper's grain. width: of 256."""
    depth = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, _create_disc(width), borderType=cv2.BORDER_REFLECT)
    grain, typical = np.percentile(depth, (20, 50))
    return float((depth > 10 + max(5 * grain, 2.5 * typical)).mean())


def _measure_steps(grey: np.ndarray) -> np.ndarray:
    return cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))


def _measure_colour(image: np.ndarray) -> float:
    pixels = image.reshape(-1, 3).astype(np.float32)
    variances = np.linalg.eigvalsh(np.cov(pixels, rowvar=False, bias=True))
    return float(np.sqrt(max(0.0, variances[0] + variances[1])))


def _close(grey: np.ndarray, width: int) -> np.ndarray:
    """Fill what is darker and narrower than `width`, of 256."""
    diameter = max(3, round(width * max(grey.shape) / _SIDE) | 1)
    return cv2.morphologyEx(grey, cv2.MORPH_CLOSE, _create_disc(diameter), borderType=cv2.BORDER_REFLECT)


def _estimate_level(without_strokes: np.ndarray) -> np.ndarray:
    """uint8 H×W -> float32 H×W: the paper's level at every pixel; half the size will do, and takes a tenth of the time."""
    level = _close(shrink_to(without_strokes, _SIDE // 2), _PAPER)
    height, width = without_strokes.shape
    return cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _create_disc(diameter: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
