"""TOM's training images: photos R and drawings S as functions that read one image each, and their records."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.images.decode import UNREADABLE, ImageError, read_image
from sketchforge.images.sources import ImageSource, ImageTable, builtin_images, search_images


@dataclass(frozen=True)
class DrawingReader:
    """Reads a user's drawing: called, as TOM imitates it; `read` gives it as it is, uint8 H×W×3 RGB."""

    image: ImageSource

    def read(self) -> np.ndarray:
        """Raises ImageError."""
        return read_image(self.image.read())

    def __call__(self) -> np.ndarray:
        """Raises ImageError, for a blank page, too."""
        return to_dark_on_light(self.read())


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

    The functions of a `source` are DrawingReaders.
    """
    if source is not None:
        images = _find(source, passed_over)
        return [DrawingReader(image) for image in images], _record_source(source, _identify(images))
    from sketchforge.images.builtin.drawings import load_drawings

    drawings = load_drawings(256)
    identities = [(key, hashlib.sha256(pixels.tobytes()).hexdigest()) for key, pixels in drawings]
    return [partial(_repeat_grey, pixels) for _, pixels in drawings], _record_source(None, identities)


def _find(source: str | Path, passed_over: Counter[str] | None) -> ImageTable:
    images, counts = search_images(source)
    if passed_over is not None:
        passed_over.update(counts)
    return images


def to_dark_on_light(image: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 RGB -> the same shape and dtype: grey, dark on light, its paper at 255.

    S teaches lines: neither the tint of paper or ink nor the paper's level must become one. A drawing on white
    paper keeps its greys. Raises ImageError for a blank page.
    """
    import cv2

    from sketchforge.images.drawing_check import ImageKind, measure_drawing

    measures = measure_drawing(image)
    if measures.kind is ImageKind.BLANK:
        raise ImageError(UNREADABLE, "a blank page")
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if measures.kind is ImageKind.LINES:  # of areas alone it is unsure which are the ground
        if measures.inverted:
            grey = 255 - grey
        levels = np.minimum(np.rint(np.arange(256) * (255 / max(1, measures.paper_level))), 255)
        grey = levels.astype(np.uint8)[grey]
    return _repeat_grey(grey)


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


def _repeat_grey(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)
