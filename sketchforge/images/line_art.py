"""Grey -> black and white, by two thresholds (hysteresis, Canny 1986), or -> few greys.

A single threshold breaks a line wherever its grey varies around it, and turns every faint spot into specks.
With two, a line may be faint in places if it is dark elsewhere, and what is dark nowhere is not a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class SketchTone:
    """What becomes of a sketch in grey before it is stored."""

    thin: bool  # keep ridges alone, before anything else
    thresholds: tuple[float, float] | None  # high and low, black and white by them; None: stays grey
    levels: int  # of grey, where it stays grey


def binarize(sketch: np.ndarray, threshold: float, low_threshold: float) -> np.ndarray:
    """uint8 HxW, 255 = paper -> uint8 HxW of 0 (ink) and 255.

    Ink is every 8-connected component of pixels not above `threshold` that holds a pixel not above
    `low_threshold`; both in [0, 1], 1 = paper. A `low_threshold` at or above `threshold` has no effect.
    """
    import cv2

    # Levels are integers, so thresholds may be rounded down and comparisons stay in uint8.
    ink_level = int(threshold * 255)
    if low_threshold >= threshold:
        return cv2.threshold(sketch, ink_level, 255, cv2.THRESH_BINARY)[1]
    candidates = cv2.threshold(sketch, ink_level, 1, cv2.THRESH_BINARY_INV)[1]
    num_labels, labels = cv2.connectedComponents(candidates, connectivity=8)
    label_levels = np.full(num_labels, 255, np.uint8)  # of each component; the first is the paper
    dark = np.flatnonzero(sketch <= np.uint8(low_threshold * 255))
    label_levels[labels.ravel().take(dark)] = 0
    return label_levels.take(np.asarray(labels, np.int32))


def quantize_greys(sketch: np.ndarray, levels: int) -> np.ndarray:
    """uint8 of any shape -> the same with `levels` greys, 2 to 256, equally spaced from 0 to 255, without dithering.

    Each value becomes the nearest of them, so paper and black stay, and a second time changes nothing. Soft greys
    hide a copy of the photo in the paper, and what learns from them reads it instead of the lines.
    """
    steps = levels - 1
    nearest = (2 * np.arange(256) * steps + 255) // 510  # in whole numbers: rounding cannot differ by machine
    return ((2 * nearest * 255 + steps) // (2 * steps)).astype(np.uint8)[sketch]


def line_widths(ink: np.ndarray) -> np.ndarray:
    """bool HxW with a border of paper -> float32 HxW: at the middle of a line, its width in pixels.

    On a grid twice as fine every upright line is an even number of pixels wide. Its middle falls between two
    pixels, and the distance from there to the nearest paper pixel is half its width. On the original grid
    lines of 1 and of 2 pixels have the same distances.
    """
    fine = np.repeat(np.repeat(ink.astype(np.uint8), 2, axis=0), 2, axis=1)
    distance = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rows = np.maximum(distance[::2], distance[1::2])
    return np.maximum(rows[:, ::2], rows[:, 1::2])
