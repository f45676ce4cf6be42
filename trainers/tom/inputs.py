"""What TOM learns from: photos R and drawings S as functions that read one image each, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.images.decode import read_image
from sketchforge.images.sources import ImageSource, builtin_images, find_images


def photo_readers(source: str | Path | None) -> tuple[list[Callable[[], np.ndarray]], dict[str, Any]]:
    """Functions that return uint8 H×W×3 RGB, and a record of the source; None: the built-in photos."""
    images = builtin_images() if source is None else find_images(source)
    return [_reader(image) for image in images], _inputs(source, _identities(images))


def drawing_readers(source: str | Path | None) -> tuple[list[Callable[[], np.ndarray]], dict[str, Any]]:
    """Drawings as grey RGB: S gives lines, and paper or ink that has a tint must not become one."""
    if source is not None:
        images = find_images(source)
        return [_grey_reader(image) for image in images], _inputs(source, _identities(images))
    from sketchforge.images.builtin.drawings import load_drawings

    drawn = load_drawings(256)
    names = [(key, hashlib.sha256(pixels.tobytes()).hexdigest()) for key, pixels in drawn]
    return [lambda pixels=pixels: _grey_rgb(pixels) for _, pixels in drawn], _inputs(None, names)


def _identities(images: Sequence[ImageSource]) -> list[tuple[str, Any]]:
    return [(image.key, image.image.num_bytes) for image in images]


def _inputs(source: str | Path | None, names: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    digest = hashlib.sha256("\n".join(f"{key} {identity}" for key, identity in names).encode()).hexdigest()
    return {
        "source": "built-in" if source is None else Path(source).name,
        "count": len(names),
        "digest": digest,
    }


def _reader(image: ImageSource) -> Callable[[], np.ndarray]:
    return lambda: read_image(image.read())


def _grey_reader(image: ImageSource) -> Callable[[], np.ndarray]:
    import cv2

    return lambda: _grey_rgb(cv2.cvtColor(read_image(image.read()), cv2.COLOR_RGB2GRAY))


def _grey_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)
