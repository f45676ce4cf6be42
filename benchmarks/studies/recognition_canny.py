"""Canny with thresholds and components that differ from image to image, after im2rbte (ICPR 2022)."""

from __future__ import annotations

import cv2
import numpy as np

BLUR = 1.4  # std of the smoothing before the gradient, in pixels
NOISE = 10 / 255  # std, of the gradient's maximum, added to the automatic threshold
LOW, HIGH = 0.5, 1.5  # of the automatic threshold
SPREAD = 0.2  # std of a factor of each
LEAST_INK = 0.8  # of the edges' pixels: at least so many are kept, the largest components first
SPECK = 10  # pixels: smaller components go


def random_canny(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """uint8 HxWx3 RGB -> uint8 HxW of 0 (ink) and 255 (paper)."""
    from skimage import filters

    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), BLUR)
    gradients = [cv2.Sobel(grey, cv2.CV_16S, *axes) for axes in ((1, 0), (0, 1))]
    magnitude = cv2.magnitude(*(gradient.astype(np.float32) for gradient in gradients))
    most = float(magnitude.max())
    rules = ("otsu", "li", "isodata", "triangle", "yen")
    rule = getattr(filters, f"threshold_{rules[draw.integers(len(rules))]}")
    noise, low, high = draw.normal(0, 1, 3)
    share = draw.uniform(LEAST_INK, 1)
    if most == 0:  # one colour: no rule has a threshold
        return np.full(grey.shape, 255, np.uint8)
    threshold = max(float(rule(magnitude)) + noise * NOISE * most, 0.01 * most)
    low, high = sorted(threshold * at * (1 + SPREAD * by) for at, by in ((LOW, low), (HIGH, high)))
    edges = cv2.Canny(*gradients, max(low, 0.0), max(high, 0.0), L2gradient=True)
    return np.where(keep_components(edges > 0, share), np.uint8(0), np.uint8(255))


def keep_components(edges: np.ndarray, share: float) -> np.ndarray:
    """bool HxW: the fewest components that hold this share of the pixels, without those of under SPECK pixels."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(edges.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind="stable")
    number = int(np.searchsorted(np.cumsum(areas[order]), share * areas.sum() - 1e-9)) + 1
    kept = np.zeros(count, bool)
    kept[1 + order[:number]] = True
    kept[1:] &= areas >= SPECK
    return kept[labels]
