"""What worker processes do with one input: decode and fit the image, encode its sketches. Free of torch."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.encode import encode_jpeg, encode_png
from sketchforge.images.line_art import binarize
from sketchforge.images.resize import fit_square
from sketchforge.images.sources import ImageSource
from sketchforge.shards.schema import json_bytes

if TYPE_CHECKING:
    import numpy as np


def _finite_or_none(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


_LENIENT: dict[str, Any] = {"parse_constant": _finite_or_none, "parse_float": _finite_or_none}


@dataclass(frozen=True)
class Prepared:
    """One input, read and fitted; `reason` says why not, and then there are no pixels."""

    reason: str | None
    seconds: float
    pixels: np.ndarray | None = None  # uint8 HxWx3 RGB, to be drawn from
    jpeg: bytes = b""  # the same image, to be stored
    sha256: str = ""  # of the source bytes
    original_width: int = 0
    original_height: int = 0
    caption: bytes | None = None  # UTF-8
    metadata: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None  # what came along and could not be used


def prepare(image: ImageSource, size: int, fit: str) -> Prepared:
    """Read, decode and fit one image, and encode it for the shard."""
    start = time.perf_counter()
    try:
        data = image.read()
        decoded = decode_image(data)
    except ImageError as error:
        return Prepared(error.reason, time.perf_counter() - start)
    caption, metadata, note = _what_came_along(image)
    pixels = fit_square(decoded.pixels, size, fit)
    untouched = decoded.is_plain_jpeg and pixels.shape == decoded.pixels.shape
    height, width = decoded.pixels.shape[:2]
    return Prepared(
        None,
        time.perf_counter() - start,
        pixels,
        data if untouched else encode_jpeg(pixels),
        hashlib.sha256(data).hexdigest(),
        width,
        height,
        caption,
        metadata,
        note,
    )


def encode_sketches(
    sketches: np.ndarray, thresholds: tuple[float, float] | None
) -> tuple[list[bytes], float]:
    """uint8 NxHxW -> N PNG files and the seconds spent; one bit a pixel by (threshold, core), grey if None."""
    start = time.perf_counter()
    if thresholds is not None:
        sketches = [binarize(sketch, *thresholds) for sketch in sketches]
    return [encode_png(sketch, thresholds is not None) for sketch in sketches], time.perf_counter() - start


def _what_came_along(image: ImageSource) -> tuple[bytes | None, dict[str, Any], str | None]:
    """Caption, metadata, and a note where one of them is damaged: no reason to lose the image."""
    caption, metadata, notes = None, {}, []
    try:
        caption = image.caption.read() if image.caption else None
        caption = caption.decode("utf-8-sig").encode() if caption is not None else None
    except (ImageError, UnicodeDecodeError):
        notes.append(
            "caption left out: not UTF-8 text" if caption is not None else "caption left out: unreadable"
        )
        caption = None
    try:
        # Python's own writers put NaN into JSON, which no other reader takes.
        found = json.loads(image.metadata.read(), **_LENIENT) if image.metadata else {}
        if not isinstance(found, dict):
            raise ValueError
        json_bytes(found)  # refuses half characters
        metadata = found
    except (ImageError, ValueError, RecursionError):
        notes.append("metadata left out: not a JSON object")
    return caption, metadata, "; ".join(notes) or None
