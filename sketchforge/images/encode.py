"""Pixels -> JPEG and PNG, in memory or as atomically written files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


PNG_COMPRESSION = 6


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """uint8 HxWx3 RGB -> JPEG, colour at full resolution."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def encode_png(grey: np.ndarray, binary: bool) -> bytes:
    """uint8 HxW -> PNG of 8 bits a pixel, or of one (0 and 255 only)."""
    import cv2

    parameters = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION, cv2.IMWRITE_PNG_BILEVEL, int(binary)]
    succeeded, data = cv2.imencode(".png", grey, parameters)
    if not succeeded:
        raise ValueError(f"PNG encoding failed for {grey.dtype} of shape {grey.shape}")
    return data.tobytes()


def encode_png_rgb(pixels: np.ndarray) -> bytes:
    """uint8 HxWx3 RGB -> PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


JPEG_QUALITY = 95


def write_png(path: Path, image: np.ndarray, description: str = "") -> None:
    """Write uint8 HxWx3 or HxW atomically as a PNG file whose Software entry is GENERATOR.

    description: what it shows, and what made it; its Description entry.
    """
    from PIL import Image, PngImagePlugin

    from sketchforge.utils import files
    from sketchforge.utils.outputs import GENERATOR

    text_chunks = PngImagePlugin.PngInfo()
    text_chunks.add_text("Software", GENERATOR)
    if description:
        text_chunks.add_itxt("Description", description)
    with files.atomic_write(path) as file:
        Image.fromarray(image).save(file, "PNG", pnginfo=text_chunks)


def write_captioned_png(path: Path, image: np.ndarray, caption: str) -> None:
    """Write uint8 HxWx3 with a caption below it, which is the file's Description, too."""
    from sketchforge.images.contact_sheet import add_caption

    write_png(path, add_caption(image, caption), caption)
