"""Image files of others -> pixels, uint8 HWC RGB.

Reading refuses rather than guesses. An image of one of FORMATS becomes 8-bit sRGB, upright and on white paper;
docs/images.md lists what happens to which kind of image, `colour.py` does it.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.errors import SketchforgeError
from sketchforge.images.colour import is_srgb, to_srgb

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


# All that Pillow is asked to read, and the plugin that does. It knows some forty formats, and tells them by their
# bytes, whatever a file is called: among them are PostScript, which it hands to Ghostscript, that is a stranger's
# program run, and some whose headers promise gigabytes. None of those is ever tried. MPO comes with JPEG.
FORMATS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "GIF": "Gif",
    "WEBP": "WebP",
    "BMP": "Bmp",
    "TIFF": "Tiff",
    "PPM": "Ppm",
    "AVIF": "Avif",
    "JPEG2000": "Jpeg2K",
}

MIN_SIDE = 8  # pixels; below it there is nothing to draw
MAX_PIXELS = 178_956_970  # where Pillow, too, takes an image for a decompression bomb
MAX_BYTES = 2 << 30  # an uncompressed image of MAX_PIXELS in 16-bit RGBA stays below this

EMPTY = "empty"  # a file of zero bytes
NOT_AN_IMAGE = "not an image"  # the bytes begin like no known image format
TRUNCATED = "truncated"  # the data ends early
TOO_SMALL = "too small"  # a side under MIN_SIDE
TOO_LARGE = "too large"  # over MAX_PIXELS by its own header, or over MAX_BYTES
UNREADABLE = "unreadable"  # the file cannot be opened, or its data is damaged or of a kind we cannot convert
GONE = "gone"  # the file has disappeared since it was found
CHANGED = "changed"  # the file is no longer the one that was found
REASONS = (EMPTY, NOT_AN_IMAGE, TRUNCATED, TOO_SMALL, TOO_LARGE, UNREADABLE, GONE, CHANGED)

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# How the formats we look for begin: a damaged header is `unreadable`, not `not an image`.
_MAGIC = (
    *(_JPEG, _PNG, b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)


class ImageError(SketchforgeError):
    """An image that cannot be used; `reason` is one of REASONS, fixed so that it can be counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, and whether the stored bytes are a JPEG that any reader decodes to these same pixels."""

    pixels: np.ndarray  # uint8 HxWx3 RGB
    is_plain_jpeg: bool


def read_image(source: Path | str | bytes) -> np.ndarray:
    """The image in a file (path) or in memory (bytes) as uint8 HxWx3 RGB, C-contiguous.

    Raises ImageError, with the path in its message where one was given.
    """
    if isinstance(source, bytes):
        return decode_image(source).pixels
    try:
        return decode_image(read_bytes(Path(source))).pixels
    except ImageError as error:
        raise ImageError(error.reason, str(source)) from error


def read_bytes(path: Path) -> bytes:
    """An image file's bytes; ImageError `too large` or `unreadable`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(TOO_LARGE, str(path))
        return path.read_bytes()
    except OSError as error:
        raise ImageError(UNREADABLE, f"{path}: {error.strerror or error}") from error


def decode_image(data: bytes, formats: Sequence[str] = tuple(FORMATS)) -> DecodedImage:
    """Decode image bytes of one of `formats`; raises ImageError. The header is judged before any pixel is decoded."""
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise ImageError(EMPTY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Pillow's half-way bomb warning, odd EXIF and palettes: not the user's
            return _decode(data, formats)
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


def open_image(data: bytes, formats: Sequence[str] = tuple(FORMATS)) -> Image.Image:
    """An image of which only the header has been read, of one of `formats` (of FORMATS).

    Raises ImageError `too large`, and whatever Pillow raises.
    """
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=_readable(tuple(formats)))
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(TOO_LARGE, f"{width} x {height}")
    return image


@lru_cache
def _readable(formats: tuple[str, ...]) -> list[str]:
    """Those that this Pillow reads: AVIF came with 11.3, and a library may be missing that others need."""
    from PIL import Image

    for name in formats:
        try:
            importlib.import_module(f"PIL.{FORMATS[name]}ImagePlugin")
        except ImportError:
            continue
    return [name for name in formats if name in Image.OPEN]


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) by the header of a JPEG or PNG file as shards hold them; None for whatever else.

    By hand, since a decoder that has begun allocates what the header asks for, and opening by Pillow would cost
    the trainings' reader a tenth of its speed. Strict: a JPEG with anything between its segments is refused.
    """
    if data.startswith(_PNG):
        return _two_numbers(data[16:24], 4) if data[12:16] == b"IHDR" and len(data) > 24 else None
    if not data.startswith(_JPEG):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a filling byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame's header
            height, width = _two_numbers(data[at + 5 : at + 9], 2)
            return width, height
        elif length < 2 or marker < 0xC0 or 0xD0 <= marker <= 0xD9:  # no segment that has a length
            return None
        else:
            at += 2 + length
    return None


def _two_numbers(data: bytes, length: int) -> tuple[int, int]:
    return int.from_bytes(data[:length], "big"), int.from_bytes(data[length:], "big")


def _decode(data: bytes, formats: Sequence[str]) -> DecodedImage:
    image = open_image(data, formats)
    if min(image.size) < MIN_SIDE:
        raise ImageError(TOO_SMALL, f"{image.width} x {image.height}")
    image.load()
    return _to_rgb(image)


def _without_its_end(data: bytes) -> DecodedImage | None:
    """A JPEG whose data is all there and only the end marker is missing; None for any other image.

    What the decoder makes up for missing data depends on what follows, so two endings tell whether it had to.
    """
    import numpy as np

    if not data.startswith(_JPEG):
        return None
    try:
        plain, other = (
            _decode(data + filler + b"\xff\xd9", ("JPEG",)) for filler in (b"", bytes(range(1, 250)) * 4)
        )
    except Exception:
        return None
    return DecodedImage(plain.pixels, False) if np.array_equal(plain.pixels, other.pixels) else None


def _is_cut_webp(data: bytes) -> bool:
    """Whether a RIFF file is shorter than its header says: Pillow's own error does not tell."""
    return data.startswith(b"RIFF") and len(data) < int.from_bytes(data[4:8], "little") + 8


def _to_rgb(image: Image.Image) -> DecodedImage:
    import numpy as np
    from PIL import ImageOps

    # A multi-image JPEG (MPO) is not passed on as it is: readers differ in which of its images they take.
    plain = image.format == "JPEG" and image.mode == "RGB" and is_srgb(image)
    try:
        upright = ImageOps.exif_transpose(image)
        plain = plain and image.getexif().get(0x0112, 1) == 1
    except Exception:  # an unreadable EXIF block says nothing about the pixels, which are sound
        upright = image
        plain = False
    return DecodedImage(np.ascontiguousarray(to_srgb(upright)), plain)
