"""The work of worker processes on one input: decode and fit the image, encode its sketches. No torch."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sketchforge.images.decode import TOO_LARGE, ImageError, decode_image
from sketchforge.images.edge_thinning import suppress_non_maxima
from sketchforge.images.encode import encode_jpeg, encode_png
from sketchforge.images.line_art import BLANK, binarize, quantize_greys
from sketchforge.images.resize import fit_longer_side, fit_square, pad_white
from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.source import ByteSource
from sketchforge.shards.schema import json_bytes
from sketchforge.utils.stderr import captured_stderr

if TYPE_CHECKING:
    import numpy as np

    from sketchforge.options import RenderOptions, SketchTone


def _parse_finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


_LENIENT_PARSERS: dict[str, Any] = {"parse_constant": _parse_finite, "parse_float": _parse_finite}

MAX_CAPTION = 1 << 20  # bytes: what is longer is no caption, and readers have limits


@dataclass(frozen=True)
class Prepared:
    """One input, read and fitted; where that failed, `reason` says why and there are no pixels."""

    reason: str | None
    seconds: float
    pixels: np.ndarray | None = None  # uint8 HxWx3 RGB, to be drawn from: without the borders of "pad"
    jpeg: bytes = b""  # the image to be stored, with them
    stored_size: tuple[int, int] = (0, 0)  # its height and width
    sha256: str = ""  # of the source bytes
    original_width: int = 0
    original_height: int = 0
    caption: bytes | None = None  # UTF-8
    metadata: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None  # why the caption or the metadata could not be used; what the decoder printed


class EncodedSketches(NamedTuple):
    """The sketches of an image as PNG files."""

    pngs: list[bytes]
    seconds: float
    is_blank: bool  # every one of them


def prepare(image: ImageSource, size: int, fit: str) -> Prepared:
    """Read, decode and fit one image, and encode it for the shard.

    With `fit` "pad" the picture alone is to be drawn: the edges of the borders are no lines of it.
    What libraries print while they decode is kept for an image that fails; about one that is read, it says
    nothing that matters.
    """
    start = time.perf_counter()
    try:
        with captured_stderr() as printed:
            data = image.read()
            decoded = decode_image(data)
    except ImageError as error:
        return Prepared(error.reason, time.perf_counter() - start, note=printed.text or None)
    caption, metadata, note = _read_caption_and_metadata(image)
    pads = fit == "pad"
    picture = fit_longer_side(decoded.pixels, size) if pads else fit_square(decoded.pixels, size, fit)
    stored = pad_white(picture, size, size) if pads else picture
    is_unchanged = decoded.is_plain_jpeg and stored.shape == decoded.pixels.shape
    height, width = decoded.pixels.shape[:2]
    return Prepared(
        reason=None,
        seconds=time.perf_counter() - start,
        pixels=picture,
        jpeg=data if is_unchanged else encode_jpeg(stored),
        stored_size=stored.shape[:2],
        sha256=hashlib.sha256(data).hexdigest(),
        original_width=width,
        original_height=height,
        caption=caption,
        metadata=metadata,
        note=note,
    )


def encode_sketches(
    sketches: Sequence[np.ndarray],
    tone: SketchTone,
    stored_size: tuple[int, int] | None = None,
) -> EncodedSketches:
    """Encode the sketches of an image, N of uint8 HxW, as PNG files: of one bit a pixel, or 8-bit grey.

    stored_size: (height, width) of the white paper in whose middle they are put; None: their own.
    """
    start = time.perf_counter()
    if tone.thin:  # on their own paper: the edge of other paper around them is no line
        sketches = [suppress_non_maxima(sketch) for sketch in sketches]
    if stored_size is not None:
        sketches = [pad_white(sketch, *stored_size) for sketch in sketches]
    if tone.thresholds is not None:
        sketches = [binarize(sketch, *tone.thresholds) for sketch in sketches]
    else:
        sketches = [quantize_greys(sketch, tone.levels) for sketch in sketches]
    pngs = [encode_png(sketch, tone.thresholds is not None) for sketch in sketches]
    is_blank = all(1 - sketch.mean() / 255 < BLANK for sketch in sketches)
    return EncodedSketches(pngs, time.perf_counter() - start, is_blank)


def known_good_task(options: RenderOptions) -> tuple[Any, ...]:
    """`prepare` and arguments with which it works on any machine in good health: for `worker_pool`."""
    data = b"P6\n64 64\n255\n" + bytes(range(256)) * 48
    image = ImageSource("known-good", "known-good.ppm", ByteSource(len(data), data=data))
    return prepare, image, options.size, options.fit


def _read_caption_and_metadata(image: ImageSource) -> tuple[bytes | None, dict[str, Any], str | None]:
    """Read an image's caption and metadata, and a note where one is damaged: the image itself is kept."""
    caption, metadata, notes = None, {}, []
    try:
        if image.caption and image.caption.num_bytes > MAX_CAPTION:
            raise ImageError(TOO_LARGE)
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
