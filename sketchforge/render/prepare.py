"""The work of worker processes on one input before it is drawn: decode and fit the image. No torch."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sketchforge.images.decode import (
    CHANGED,
    GONE,
    NO_MASK,
    TOO_LARGE,
    DecodedImage,
    ImageError,
    decode_alpha,
    decode_image,
)
from sketchforge.images.encode import encode_jpeg
from sketchforge.images.frames import is_video, read_video_frame
from sketchforge.images.resize import fit_longer_side, fit_square, pad_white, shrink_to
from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.frames import source_digest
from sketchforge.images.sources.source import ByteSource, FileState
from sketchforge.render.masks import ALPHA, COLOUR, HEAD
from sketchforge.shards.schema import json_bytes
from sketchforge.utils.stderr import captured_stderr

if TYPE_CHECKING:
    import numpy as np

    from sketchforge.options import RenderOptions


def _parse_finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


_LENIENT_PARSERS: dict[str, Any] = {"parse_constant": _parse_finite, "parse_float": _parse_finite}

MAX_CAPTION = 1 << 20  # bytes: what is longer is no caption, and readers have limits
MAX_METADATA = 16 << 20  # bytes: parsed, JSON takes many times as much
NO_SUBJECT = "no subject found by colour: the mask is all of the image"


@dataclass(frozen=True)
class Prepared:
    """One input, read and fitted; where that failed, `reason` says why and there are no pixels."""

    reason: str | None
    seconds: float
    # uint8 HxWx3 RGB, to be drawn from: without the borders of "pad", at the drawn size
    pixels: np.ndarray | None = None
    foreground: np.ndarray | None = None  # uint8 HxW of any size, 255 = subject; None: not read or found
    picture_size: tuple[int, int] = (0, 0)  # height and width of the finished sketches, without those borders
    jpeg: bytes = b""  # the image to be stored, with them
    stored_size: tuple[int, int] = (0, 0)  # its height and width
    sha256: str = ""  # of the source bytes
    original_width: int = 0
    original_height: int = 0
    caption: bytes | None = None  # UTF-8
    metadata: Mapping[str, Any] = field(default_factory=dict)
    # Why the caption or the metadata could not be used, that no subject was found; what the decoder printed.
    note: str | None = None


def prepare(
    image: ImageSource,
    size: int,
    fit: str,
    drawn_side: Callable[[int], int] | None = None,
    masks: str | None = None,
) -> Prepared:
    """Read, decode and fit one image, and encode it for the shard.

    drawn_side: the longer side of a picture -> that at which it is to be drawn; None: the same. masks: where its
    foreground is taken from.
    With `fit` "pad" the picture alone is to be drawn: the edges of the borders are no lines of it.
    What libraries print while they decode is kept for an image that fails; about one that is read, it says
    nothing that matters.
    """
    start = time.perf_counter()
    try:
        with captured_stderr() as printed:
            data, decoded = _read_pixels(image)
            mask = None if masks in (None, HEAD) else _read_mask(image, data, masks, decoded.pixels)
            sha256 = source_digest(image) if data is None else hashlib.sha256(data).hexdigest()
    except ImageError as error:
        return Prepared(error.reason, time.perf_counter() - start, note=printed.text or None)
    caption, metadata, note = _read_caption_and_metadata(image)
    picture = _fit(decoded.pixels, size, fit)
    stored = pad_white(picture, size, size) if fit == "pad" else picture
    drawn = picture if drawn_side is None else shrink_to(picture, drawn_side(max(picture.shape[:2])))
    is_unchanged = decoded.is_plain_jpeg and stored.shape == decoded.pixels.shape
    height, width = decoded.pixels.shape[:2]
    found_nothing = masks == COLOUR and mask is not None and mask.min() == 255
    return Prepared(
        reason=None,
        seconds=time.perf_counter() - start,
        pixels=drawn,
        foreground=None if mask is None else _fit(mask, size, fit),
        picture_size=picture.shape[:2],
        jpeg=data if data is not None and is_unchanged else encode_jpeg(stored),
        stored_size=stored.shape[:2],
        sha256=sha256,
        original_width=width,
        original_height=height,
        caption=caption,
        metadata=metadata,
        note="; ".join(filter(None, [note, NO_SUBJECT if found_nothing else None])) or None,
    )


def _read_pixels(image: ImageSource) -> tuple[bytes | None, DecodedImage]:
    """The bytes of an image, None for a video, which may be larger than memory, and its pixels. Raises ImageError."""
    if image.frame is None or not is_video(image.source):
        data = image.read()
        return data, decode_image(data, frame=image.frame)
    file = image.image.file
    assert file is not None  # `search_images` takes videos from files alone
    if FileState.now(file.path) != file:
        raise ImageError(CHANGED if os.path.exists(file.path) else GONE, file.path)
    return None, DecodedImage(read_video_frame(file.path, image.frame), False)


def _fit(pixels: np.ndarray, size: int, fit: str) -> np.ndarray:
    """The picture that is drawn from: without the borders of "pad"."""
    return fit_longer_side(pixels, size) if fit == "pad" else fit_square(pixels, size, fit)


def _read_mask(image: ImageSource, data: bytes | None, masks: str, pixels: np.ndarray) -> np.ndarray:
    """The foreground of an image that was decoded from `data`, None for a video: uint8 HxW, 255 = subject.

    A source without transparency is all subject. Raises ImageError `no mask` where a file of masks is missing or has
    other proportions than its image.
    """
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    if masks == COLOUR:
        from sketchforge.strokes.foreground import find_foreground

        return np.rint(find_foreground(pixels) * 255).astype(np.uint8)
    if masks == ALPHA:
        alpha = None if data is None else decode_alpha(data, image.frame)
        return np.full((height, width), 255, np.uint8) if alpha is None else alpha
    try:
        assert image.mask is not None  # by `add_masks`
        mask = cv2.cvtColor(decode_image(image.mask.read()).pixels, cv2.COLOR_RGB2GRAY)
    except ImageError as error:
        raise ImageError(NO_MASK, str(error)) from error
    mask_height, mask_width = mask.shape
    # Within a pixel of the mask, for masks are often made of reduced images.
    if abs(mask_height * width - mask_width * height) > max(height, width):
        raise ImageError(
            NO_MASK, f"its mask has {mask_width} x {mask_height} pixels, the image {width} x {height}"
        )
    return mask if mask.shape == (height, width) else cv2.resize(mask, (width, height))


def known_good_task(options: RenderOptions) -> tuple[Any, ...]:
    """`prepare` and arguments with which it works on any machine in good health: for `worker_pool`."""
    data = b"P6\n64 64\n255\n" + bytes(range(256)) * 48
    image = ImageSource("known-good", "known-good.ppm", ByteSource(len(data), data=data))
    return prepare, image, options.size, options.fit, options.drawn_side, None


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
        if image.metadata and image.metadata.num_bytes > MAX_METADATA:
            raise ImageError(TOO_LARGE)
        # Python's json writes NaN, which other readers refuse.
        parsed = json.loads(image.metadata.read(), **_LENIENT_PARSERS) if image.metadata else {}
        if not isinstance(parsed, dict):
            raise ValueError
        json_bytes(parsed)  # raises UnicodeEncodeError, a ValueError, for lone surrogates
        metadata = parsed
    except ImageError as error:
        too_large = f"more than {MAX_METADATA >> 20} MiB"
        notes.append(f"metadata left out: {too_large if error.reason == TOO_LARGE else 'unreadable'}")
    except (ValueError, RecursionError):
        notes.append("metadata left out: not a JSON object")
    return caption, metadata, "; ".join(notes) or None
