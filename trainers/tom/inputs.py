"""TOM's training images: photos R and drawings S as functions that read one image each, and their records."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.images.decode import read_image
from sketchforge.images.sources import ImageSource, builtin_images, search_images


def photo_readers(
    source: str | Path | None, passed_over: Counter[str] | None = None
) -> tuple[list[Callable[[], np.ndarray]], dict[str, Any]]:
    """(functions that return uint8 H×W×3 RGB, record of the source) of photos; None: the built-in photos.

    passed_over: is given the counts of what is found beside the images and is not read.
    """
    images = builtin_images() if source is None else _find(source, passed_over)
    return [_make_reader(image) for image in images], _record_source(source, _identify(images))


def drawing_readers(
    source: str | Path | None, passed_over: Counter[str] | None = None
) -> tuple[list[Callable[[], np.ndarray]], dict[str, Any]]:
    """(functions, record) as in `photo_readers`, of drawings; None: the built-in drawings.

    The images are grey RGB: S teaches lines, and a tint of paper or ink must not become one.
    """
    if source is not None:
        images = _find(source, passed_over)
        return [_make_grey_reader(image) for image in images], _record_source(source, _identify(images))
    from sketchforge.images.builtin.drawings import load_drawings

    drawings = load_drawings(256)
    identities = [(key, hashlib.sha256(pixels.tobytes()).hexdigest()) for key, pixels in drawings]
    return [lambda pixels=pixels: _repeat_grey(pixels) for _, pixels in drawings], _record_source(
        None, identities
    )


def _find(source: str | Path, passed_over: Counter[str] | None) -> list[ImageSource]:
    images, counts = search_images(source)
    if passed_over is not None:
        passed_over.update(counts)
    return images


def _identify(images: Sequence[ImageSource]) -> list[tuple[str, Any]]:
    return [(image.key, image.image.num_bytes) for image in images]


def _record_source(source: str | Path | None, identities: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    digest = hashlib.sha256(
        "\n".join(f"{key} {identity}" for key, identity in identities).encode()
    ).hexdigest()
    return {
        "source": "built-in" if source is None else Path(source).name,
        "count": len(identities),
        "digest": digest,
    }


def _make_reader(image: ImageSource) -> Callable[[], np.ndarray]:
    return lambda: read_image(image.read())


def _make_grey_reader(image: ImageSource) -> Callable[[], np.ndarray]:
    import cv2

    return lambda: _repeat_grey(cv2.cvtColor(read_image(image.read()), cv2.COLOR_RGB2GRAY))


def _repeat_grey(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)
