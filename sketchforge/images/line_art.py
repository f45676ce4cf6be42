"""From grey to black and white, by two thresholds (hysteresis, Canny 1986).

One threshold leaves a line in pieces wherever its grey wavers around it, and makes specks of every faint spot. So a
line may grow faint where it is dark elsewhere, and what is dark nowhere is no line.
"""

from __future__ import annotations

import cv2
import numpy as np


def binarize(sketch: np.ndarray, threshold: float, low_threshold: float) -> np.ndarray:
    """uint8 HxW, 255 = paper -> uint8 HxW of 0 (ink) and 255.

    Ink is what is not above `threshold` and hangs together, over edges or corners of pixels, with something that is
    not above `low_threshold`; both in [0, 1], 1 = paper. A core at or above the threshold has no effect.
    """
    import cv2

    # Levels are whole numbers, so thresholds may be rounded down, and comparisons stay in bytes.
    highest = int(threshold * 255)
    if low_threshold >= threshold:
        return cv2.threshold(sketch, highest, 255, cv2.THRESH_BINARY)[1]
    faint = cv2.threshold(sketch, highest, 1, cv2.THRESH_BINARY_INV)[1]
    count, pieces = cv2.connectedComponents(faint, connectivity=8)
    tones = np.full(count, 255, np.uint8)  # of each piece; the first is the paper
    dark = np.flatnonzero(sketch <= np.uint8(low_threshold * 255))
    tones[pieces.ravel().take(dark)] = 0
    return tones.take(pieces)


def line_widths(ink: np.ndarray) -> np.ndarray:
    """bool HxW with a border of paper -> float32 HxW: the width in pixels of a line whose middle is here.

    On a grid twice as fine every upright line is an even number of pixels broad, so that its middle falls
    between two pixels and the distance from there to the nearest paper pixel is half its width. On the grid
    itself lines of 1 and of 2 pixels have the same distances.
    """
    fine = np.repeat(np.repeat(ink.astype(np.uint8), 2, axis=0), 2, axis=1)
    distance = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance.reshape(ink.shape[0], 2, ink.shape[1], 2).max(axis=(1, 3))
