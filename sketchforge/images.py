"""The one module that converts pictures: uint8 HWC RGB on disk, float32 NCHW in [-1, 1] in memory.

Reading refuses rather than guesses. Whatever Pillow can open becomes 8-bit sRGB, upright and on white paper;
docs/images.md lists what happens to which kind of picture, `colour.py` does it.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.colour import is_srgb, to_srgb
from sketchforge.errors import SketchforgeError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

MIN_SIDE = 8  # pixels; below it there is nothing to draw
MAX_PIXELS = 178_956_970  # where Pillow, too, takes a picture for a decompression bomb
MAX_BYTES = 2 << 30  # an uncompressed picture of MAX_PIXELS in 16-bit RGBA stays below this

EMPTY = "empty"  # a file of zero bytes
NOT_AN_IMAGE = "not an image"  # the bytes begin like no known picture format
TRUNCATED = "truncated"  # the data ends early
TOO_SMALL = "too small"  # a side under MIN_SIDE
TOO_LARGE = "too large"  # over MAX_PIXELS by its own header, or over MAX_BYTES
UNREADABLE = "unreadable"  # the file cannot be opened, or its data is damaged or of a kind we cannot convert
GONE = "gone"  # the file has disappeared since it was found
CHANGED = "changed"  # the file is no longer the one that was found
REASONS = (EMPTY, NOT_AN_IMAGE, TRUNCATED, TOO_SMALL, TOO_LARGE, UNREADABLE, GONE, CHANGED)

# How the formats we look for begin: a damaged header is `unreadable`, not `not an image`.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"P5", b"P6")


class ImageError(SketchforgeError):
    """A picture that cannot be used; `reason` is one of REASONS, fixed so that it can be counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, and whether the stored bytes are a JPEG that any reader decodes to these same pixels."""

    pixels: np.ndarray  # uint8 HxWx3 RGB
    is_plain_jpeg: bool


def read_image(source: Path | str | bytes) -> np.ndarray:
    """The picture in a file (path) or in memory (bytes) as uint8 HxWx3 RGB, C-contiguous.

    Raises ImageError, with the path in its message where one was given.
    """
    if isinstance(source, bytes):
        return decode_image(source).pixels
    try:
        return decode_image(read_bytes(Path(source))).pixels
    except ImageError as error:
        raise ImageError(error.reason, str(source)) from error


def read_bytes(path: Path) -> bytes:
    """A picture file's bytes; ImageError `too large` or `unreadable`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(TOO_LARGE, str(path))
        return path.read_bytes()
    except OSError as error:
        raise ImageError(UNREADABLE, f"{path}: {error.strerror or error}") from error


def decode_image(data: bytes) -> DecodedImage:
    """Decode picture bytes; raises ImageError. The header is judged before any pixel is decoded."""
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise ImageError(EMPTY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Pillow's half-way bomb warning, odd EXIF and palettes: not the user's
            return _decode(data)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(TOO_LARGE) from error
    except UnidentifiedImageError as error:
        raise ImageError(UNREADABLE if data.startswith(_MAGIC) else NOT_AN_IMAGE) from error
    except MemoryError:
        raise
    except (
        Exception
    ) as error:  # Pillow's decoders raise anything from struct.error to SyntaxError on damaged data
        text = str(error).lower()
        truncated = isinstance(error, EOFError) or "truncat" in text or "unexpected end" in text
        truncated = truncated or _is_cut_webp(data)
        if truncated and (whole := _without_its_end(data)):
            return whole
        raise ImageError(TRUNCATED if truncated else UNREADABLE, text[:200]) from error


def _decode(data: bytes) -> DecodedImage:
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    _check_size(*image.size)
    image.load()
    return _to_rgb(image)


def _without_its_end(data: bytes) -> DecodedImage | None:
    """A JPEG whose data is all there and only the end marker is missing; None for any other picture.

    What the decoder makes up for missing data depends on what follows, so two endings tell whether it had to.
    """
    import numpy as np

    if not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        plain, other = (_decode(data + filler + b"\xff\xd9") for filler in (b"", bytes(range(1, 250)) * 4))
    except Exception:
        return None
    return DecodedImage(plain.pixels, False) if np.array_equal(plain.pixels, other.pixels) else None


def _is_cut_webp(data: bytes) -> bool:
    """Whether a RIFF file is shorter than its header says: Pillow's own error does not tell."""
    return data.startswith(b"RIFF") and len(data) < int.from_bytes(data[4:8], "little") + 8


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(TOO_LARGE, f"{width} x {height}")
    if min(width, height) < MIN_SIDE:
        raise ImageError(TOO_SMALL, f"{width} x {height}")


def _to_rgb(image: Image.Image) -> DecodedImage:
    import numpy as np
    from PIL import ImageOps

    # A multi-picture JPEG (MPO) is not passed on as it is: readers differ in which of its pictures they take.
    plain = image.format == "JPEG" and image.mode == "RGB" and is_srgb(image)
    try:
        upright = ImageOps.exif_transpose(image)
        plain = plain and image.getexif().get(0x0112, 1) == 1
    except Exception:  # an unreadable EXIF block says nothing about the pixels, which are sound
        upright = image
        plain = False
    return DecodedImage(np.ascontiguousarray(to_srgb(upright)), plain)


def fit_square(image: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Fit uint8 HxWxC or HxW to size x size pixels.

    "crop": the largest centred square, resized. "pad": resized to the longer side, white borders around.
    "keep": returned as it is, whatever its size.
    """
    import numpy as np

    if fit == "keep":
        return image
    height, width = image.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resize(image[top : top + side, left : left + side], size, size)
    if fit != "pad":
        raise ValueError(f"fit={fit!r}: expected crop, pad or keep")
    scale = size / max(height, width)
    resized = _resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
    square = np.full((size, size, *image.shape[2:]), 255, np.uint8)
    top, left = (size - resized.shape[0]) // 2, (size - resized.shape[1]) // 2
    square[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return square


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area averaging down (no aliasing), cubic up; untouched where the size is right already."""
    import cv2
    import numpy as np

    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 HxWxC or BxHxWxC in 0..255 -> float32 (B, C, H, W) in [-1, 1], B = 1 for a single picture."""
    import numpy as np
    import torch

    if image.dtype != np.uint8 or image.ndim not in (3, 4):
        raise ValueError(f"expected uint8 HWC or BHWC, found {image.dtype} of shape {image.shape}")
    batch = torch.from_numpy(
        np.array(image if image.ndim == 4 else image[None])
    )  # a copy: torch warns of read-only arrays
    return batch.permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)


def to_uint8(batch: torch.Tensor) -> np.ndarray:
    """float (B, C, H, W) in [-1, 1] -> uint8 BxHxWxC, rounded, values outside the range clipped."""
    levels = batch.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    return levels.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
