"""The server of the page to draw on, in this process, and drawings for it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sketchforge.app.models import OfferedModel, offer_models
from sketchforge.app.server import AppServer
from sketchforge.app.styles import StyleShelf
from sketchforge.errors import SketchforgeError

TOKEN = "token"


class FailingModel(OfferedModel):
    """A model whose file is damaged."""

    def paint(self, drawing: bytes, styles: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
        raise SketchforgeError("broken.safetensors: damaged\n(second line)")


def open_server() -> AppServer:
    """With the built-in model and one that fails."""
    models = dict(offer_models(Path("builtin"), "cpu"))
    models["broken"] = FailingModel("broken", Path("broken.safetensors"), "cpu")
    return AppServer(models, StyleShelf(), "cpu")


def image_file(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def line_drawing(side: int = 128) -> np.ndarray:
    """uint8 side×side: a frame, black on white."""
    drawing = np.full((side, side), 255, np.uint8)
    low, high = side // 4, 3 * side // 4
    drawing[low:high, low : low + 2] = drawing[low:high, high - 2 : high] = 0
    drawing[low : low + 2, low:high] = drawing[high - 2 : high, low:high] = 0
    return drawing
