"""One darkness map from several sketches of a picture, and what they agree on."""

from __future__ import annotations

import cv2
import numpy as np

SMOOTH = 0.5  # pixels
INK = 0.30  # darkness from which a sketch counts as having ink


def merge_sketches(greys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge grey sketches, uint8 (N,H,W), 255 = paper.

    Returns darkness, float32 HxW in [0, 1], the mean of all, a little smoothed; and agreement, float32 HxW in
    [0, 1], the share of them that has ink within a pixel.
    """
    total = np.zeros(greys.shape[1:], np.float32)
    inked = np.zeros(greys.shape[1:], np.float32)
    kernel = np.ones((3, 3), np.uint8)
    for grey in greys:
        total += grey
        inked += cv2.dilate((grey < 255 * (1 - INK)).astype(np.uint8), kernel)
    darkness = 1 - total / (255 * len(greys))
    return cv2.GaussianBlur(darkness, (0, 0), SMOOTH), inked / len(greys)
