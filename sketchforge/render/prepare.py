"""The work of worker processes on one input: decode and fit the image, encode its sketches. No torch."""

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


def _parse_finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


_LENIENT_PARSERS: dict[str, Any] = {"parse_constant": _parse_finite, "parse_float": _parse_finite}


@dataclass(frozen=True)
class Prepared:
    """One input, read and fitted; where that failed, `reason` says why and there are no pixels."""

    reason: str | None
    seconds: float
    pixels: np.ndarray | None = None  # uint8 HxWx3 RGB, to be drawn from
    jpeg: bytes = b""  # the same image, to be stored
    sha256: str = ""  # of the source bytes
    original_width: int = 0
    original_height: int = 0
    caption: bytes | None = None  # UTF-8
    metadata: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None  # why the caption or the metadata could not be used


def prepare(image: ImageSource, size: int, fit: str) -> Prepared:
    """Read, decode and fit one image, and encode it for the shard."""
    start = time.perf_counter()
    try:
        data = image.read()
        decoded = decode_image(data)
    except ImageError as error:
        return Prepared(error.reason, time.perf_counter() - start)
    caption, metadata, note = _read_caption_and_metadata(image)
    pixels = fit_square(decoded.pixels, size, fit)
    is_unchanged = decoded.is_plain_jpeg and pixels.shape == decoded.pixels.shape
    height, width = decoded.pixels.shape[:2]
    return Prepared(
        reason=None,
        seconds=time.perf_counter() - start,
        pixels=pixels,
        jpeg=data if is_unchanged else encode_jpeg(pixels),
        sha256=hashlib.sha256(data).hexdigest(),
        original_width=width,
        original_height=height,
        caption=caption,
        metadata=metadata,
        note=note,
    )


def encode_sketches(
    sketches: np.ndarray, thresholds: tuple[float, float] | None
) -> tuple[list[bytes], float]:
    """Encode sketches, uint8 NxHxW, as N PNG files; returns them and the seconds spent.

    thresholds: (high, low) to binarize by, one bit a pixel; None: 8-bit grey.
    """
    start = time.perf_counter()
    if thresholds is not None:
        sketches = [binarize(sketch, *thresholds) for sketch in sketches]
    return [encode_png(sketch, thresholds is not None) for sketch in sketches], time.perf_counter() - start


def _read_caption_and_metadata(image: ImageSource) -> tuple[bytes | None, dict[str, Any], str | None]:
    """Read an image's caption and metadata, and a note where one is damaged: the image itself is kept."""
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
        # Python's json writes NaN, which other readers refuse.
        parsed = json.loads(image.metadata.read(), **_LENIENT_PARSERS) if image.metadata else {}
        if not isinstance(parsed, dict):
            raise ValueError
        json_bytes(parsed)  # raises UnicodeEncodeError, a ValueError, for lone surrogates
        metadata = parsed
    except (ImageError, ValueError, RecursionError):
        notes.append("metadata left out: not a JSON object")
    return caption, metadata, "; ".join(notes) or None
