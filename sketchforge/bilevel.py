"""From grey to black and white, by two thresholds (hysteresis, Canny 1986).

One threshold leaves a line in pieces wherever its grey wavers around it, and makes specks of every faint spot. So a
line may grow faint where it is dark elsewhere, and what is dark nowhere is no line.
"""

from __future__ import annotations

import numpy as np


def bilevel(sketch: np.ndarray, threshold: float, core: float) -> np.ndarray:
    """uint8 HxW, 255 = paper -> uint8 HxW of 0 (ink) and 255.

    Ink is what is not above `threshold` and hangs together, over edges or corners of pixels, with something that is
    not above `core`; both in [0, 1], 1 = paper. A core at or above the threshold has no effect.
    """
    import cv2

    faint = sketch <= threshold * 255
    if core >= threshold:
        return np.where(faint, np.uint8(0), np.uint8(255))
    count, pieces = cv2.connectedComponents(faint.astype(np.uint8), connectivity=8)
    has_core = np.zeros(count, bool)
    has_core[pieces[sketch <= core * 255]] = True
    return np.where(has_core[pieces], np.uint8(0), np.uint8(255))
