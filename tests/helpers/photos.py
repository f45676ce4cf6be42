"""Images made by code."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 HxWx3: a shaded ground with a few filled shapes; different for every seed."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    shade = (rows * rng.uniform(0.1, 0.6) + columns * rng.uniform(0.1, 0.6)) % 256
    image = np.repeat(shade[..., None], 3, axis=2).astype(np.uint8)
    for _ in range(5):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        cv2.circle(image, centre, int(rng.integers(3, max(4, min(height, width) // 3))), colour, -1)
    return image


def make_photos(folder: Path, count: int) -> Path:
    """`count` images, JPEG and PNG, of various sizes, some in a sub-folder."""
    rng = np.random.default_rng(count)
    for number in range(count):
        height, width = (int(side) for side in rng.integers(40, 90, 2))
        inside = folder / "more" if number % 4 == 3 else folder
        inside.mkdir(parents=True, exist_ok=True)
        name = f"p{number:03d}.{'png' if number % 3 == 2 else 'jpg'}"
        Image.fromarray(scene(number, height, width)).save(inside / name, quality=90)
    return folder
