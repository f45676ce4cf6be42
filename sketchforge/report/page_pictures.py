"""Pictures beside each other, for pages and documents: each with its heading and what it shows in words."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sketchforge.images.encode import encode_jpeg, encode_png
from sketchforge.report.page import data_uri

PICTURE_SIDE = 320  # pixels; larger pictures are reduced, for looking at them is the gallery's affair


@dataclass(frozen=True)
class Picture:
    heading: str  # of its column
    alt: str
    pixels: np.ndarray | None  # uint8 H×W×3 RGB or H×W grey; None: there is none


PictureRow = tuple[Picture, ...]  # of equal headings in every row


def reduced(picture: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 or H×W, its longer side PICTURE_SIDE pixels at most."""
    scale = PICTURE_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def picture_uri(picture: np.ndarray) -> str:
    """uint8 H×W×3 or H×W as a data URI: JPEG in colour, PNG in grey."""
    if picture.ndim == 3:
        return data_uri("image/jpeg", encode_jpeg(picture))
    return data_uri("image/png", encode_png(picture, bilevel=bool(np.isin(picture, (0, 255)).all())))
