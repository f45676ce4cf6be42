"""Images as Python programs have them: paths, PIL images, arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sketchforge.images.colour import to_srgb
from sketchforge.images.decode import read_image

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

ImageLike: TypeAlias = "np.ndarray | Image.Image | Path | str"


def list_images(images: ImageLike | Sequence[ImageLike]) -> tuple[list[ImageLike], bool]:
    """(the images, whether `images` is a single one)."""
    if isinstance(images, list | tuple):
        return list(images), False
    return [images], True  # type: ignore[list-item]  # mypy takes a str for a sequence of images


def to_rgb(image: ImageLike) -> np.ndarray:
    """Any image -> uint8 H×W×3 RGB: upright, sRGB, on white paper.

    Raises ImageError for a path that cannot be read, ValueError for what is no image.
    """
    import numpy as np
    from PIL import Image, ImageOps

    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        return np.array(to_srgb(ImageOps.exif_transpose(image)))
    if not isinstance(image, np.ndarray):
        raise ValueError(f"found a {type(image).__name__}, expected a path, a PIL image or a uint8 array")
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (3,))
        or not image.size
    ):
        raise ValueError(f"expected uint8 H×W×3 or H×W, found {image.dtype} of shape {image.shape}")
    return np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))
