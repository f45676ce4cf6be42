"""Faces: their lines are short and faint where a face is small, and are what is looked for first."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sketchforge.images.resize import shrink_to

if TYPE_CHECKING:
    from skimage.feature import Cascade

SIDE = 144  # pixels of the longer side at which faces are looked for
LEAST, MOST = (
    24,
    0.9,
)  # pixels of such a picture, and share of its longer side: widths of faces that are found
# Scales and places that are tried, and how many neighbouring ones must agree. Chosen on 60 portraits, whole, at half their
# size and at .35 of it before something blurred: 58, 59 and 55 are found, and 4 in 150 pictures of animals and things. At
# 176 pixels 59, 60 and 57 and 16 are, at twice the cost.
SCALE_STEP, PLACE_STEP, AGREEING = 1.15, 1.5, 2
# Brows, eyes, nose and mouth lie within an ellipse of a found square: its centre and half axes, in shares of the width.
CENTRE, HALF_AXES = (0.5, 0.52), (0.40, 0.46)
CLEAR = 0.8  # darkness that the clearest lines of a face are lifted to
CLEAREST = 0.95  # the quantile of the darkness within the ellipse that counts as that of its clearest lines
MOST_LIFT = 4.0  # a factor; what is fainter than that leaves it at is no line


def find_faces(pixels: np.ndarray) -> np.ndarray:
    """Find frontal faces: float64 (F,3), the left, top and width of their squares, in shares of the longer side.

    pixels: uint8 HxWx3 RGB. By the cascade of local binary patterns that comes with scikit-image (trained by OpenCV);
    what is seen from the side, or painted freely, it seldom finds.
    """
    small = shrink_to(pixels, SIDE)
    side = max(small.shape[:2])
    if min(small.shape[:2]) < LEAST:
        return np.zeros((0, 3))
    squares = _load_cascade().detect_multi_scale(
        img=small,
        scale_factor=SCALE_STEP,
        step_ratio=PLACE_STEP,
        min_size=(LEAST, LEAST),
        max_size=(int(MOST * side),) * 2,
        min_neighbor_number=AGREEING,
    )
    rows = sorted((square["c"], square["r"], square["width"]) for square in squares)
    return np.array(rows, np.float64).reshape(-1, 3) / side


@lru_cache(maxsize=1)
def _load_cascade() -> Cascade:
    from skimage import data
    from skimage.feature import Cascade

    return Cascade(data.lbp_frontal_face_cascade_filename())


def cover_faces(faces: np.ndarray, shape: tuple[int, int]) -> list[np.ndarray]:
    """The ellipse of each face's features in a picture of `shape`: bool HxW each. faces: as `find_faces` gives them."""
    side, (rows, columns) = max(shape), np.ogrid[: shape[0], : shape[1]]
    covers = []
    for left, top, width in faces:
        x, y = (
            (place + 0.5 - (corner + centre * width) * side) / (half * width * side)
            for place, corner, centre, half in zip(
                (columns, rows), (left, top), CENTRE, HALF_AXES, strict=True
            )
        )
        covers.append(x**2 + y**2 < 1)
    return covers


def lift_faces(darkness: np.ndarray, covers: list[np.ndarray]) -> np.ndarray:
    """Darken the lines of faces, all of one face alike, so that its clearest are as dark as other lines.

    darkness: float32 HxW in [0, 1]. covers: as `cover_faces` gives them. Outside nothing changes.
    """
    lift = np.ones_like(darkness)
    for cover in covers:
        if cover.any():
            level = float(np.quantile(darkness[cover], CLEAREST))
            lift[cover] = np.maximum(lift[cover], np.clip(CLEAR / max(level, 1e-6), 1, MOST_LIFT))
    return np.minimum(darkness * lift, 1) if covers else darkness


def mark_faces(covers: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """float32 HxW: 1 within the features of a face, with an edge a pixel soft."""
    marked = np.any(covers, 0) if covers else np.zeros(shape, bool)
    return cv2.GaussianBlur(marked.astype(np.float32), (0, 0), 1.0)
