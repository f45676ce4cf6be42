"""Where the subject of a picture is, by colour alone: what is unlike the colours along its border."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 48  # pixels: what is asked for is a place, not a contour
BORDER = 3  # pixels at that size
CLUSTERS = 4
PROBABLE, CERTAIN = 0.38, 0.07  # shares of the picture that begin as foreground
ROUNDS = 2
MIN_PART = 0.25  # of the largest part
SEED = 0


def find_foreground(pixels: np.ndarray) -> np.ndarray:
    """Find the foreground of a picture, uint8 HxWx3 RGB -> float32 HxW in [0, 1].

    Distance in Lab to the colours of the border and nearness to the middle give the start, GrabCut (Rother et al.
    2004) the parts. A picture without any such part is foreground everywhere.
    """
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    score = _score(small)
    probable, certain = (np.quantile(score, 1 - share) for share in (PROBABLE, CERTAIN))
    labels = np.full((SIDE, SIDE), cv2.GC_PR_BGD, np.uint8)
    labels[score > probable] = cv2.GC_PR_FGD
    labels[score > certain] = cv2.GC_FGD
    border = np.ones((SIDE, SIDE), bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    labels[border & (score <= np.median(score[border]))] = cv2.GC_BGD
    if (labels == cv2.GC_BGD).sum() < CLUSTERS or (labels == cv2.GC_FGD).sum() < CLUSTERS:
        return np.ones(pixels.shape[:2], np.float32)
    cv2.setRNGSeed(SEED)  # GrabCut begins with k-means
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    # A mask in place of a rectangle.
    cv2.grabCut(bgr, labels, (0, 0, 0, 0), *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    mask = _keep_large_parts(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)))
    if not mask.any():
        return np.ones(pixels.shape[:2], np.float32)
    mask = cv2.dilate(mask.astype(np.float32), np.ones((3, 3), np.uint8))
    mask = cv2.resize(mask, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return mask.clip(0, 1)


def _score(small: np.ndarray) -> np.ndarray:
    """float32 SIDExSIDE: distance to the nearest of the border's colours, weighted by nearness to the middle."""
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    border = np.concatenate(
        [strip.reshape(-1, 3) for strip in (lab[:BORDER], lab[-BORDER:], lab[:, :BORDER], lab[:, -BORDER:])]
    )
    cv2.setRNGSeed(SEED)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 10, 0.5)
    _, _, colours = cv2.kmeans(border, CLUSTERS, np.empty(0, np.int32), stop, 1, cv2.KMEANS_PP_CENTERS)
    distance = np.linalg.norm(lab[:, :, None] - colours, axis=-1).min(-1)
    return cv2.GaussianBlur(distance, (0, 0), 1.0) * centre_weight((SIDE, SIDE))


def centre_weight(size: tuple[int, int]) -> np.ndarray:
    """float32 HxW: 1 in the middle, falling to about a quarter at the edges' middles."""
    rows, columns = (np.linspace(-1, 1, count, dtype=np.float32) for count in size)
    return np.exp(-1.4 * (rows[:, None] ** 2 + columns[None, :] ** 2))


def _keep_large_parts(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return (areas >= MIN_PART * areas.max())[labels] & mask if count > 1 else mask & False
