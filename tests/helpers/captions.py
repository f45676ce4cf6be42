"""For the tests of sheets and grids: their pixels without the caption below them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sketchforge.images.contact_sheet import add_caption


def without_caption(path: Path) -> np.ndarray:
    """uint8 H×W×3: the image as it was before its Description was written below it."""
    with Image.open(path) as image:
        pixels, text = np.asarray(image.convert("RGB")), image.text["Description"]
    return pixels[: len(pixels) - (len(add_caption(pixels[:1], text)) - 1)]
