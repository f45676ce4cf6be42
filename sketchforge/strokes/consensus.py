"""One darkness map from several sketches of a picture, and where each of them has ink."""

from __future__ import annotations

import cv2
import numpy as np

SMOOTH = 0.5  # pixels
INK = 0.30  # darkness from which a sketch counts as having ink


def merge_sketches(greys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge grey sketches, uint8 (N,H,W), 255 = paper.

    Returns darkness, float32 HxW in [0, 1], the mean of all, a little smoothed; and the ink of each, uint8 (N,H,W),
    1 where it has any within a pixel.
    """
    darkness = 1 - greys.mean(0, dtype=np.float32) / 255
    kernel = np.ones((3, 3), np.uint8)
    ink = np.stack([cv2.dilate((grey < 255 * (1 - INK)).astype(np.uint8), kernel) for grey in greys])
    return cv2.GaussianBlur(darkness, (0, 0), SMOOTH), ink
