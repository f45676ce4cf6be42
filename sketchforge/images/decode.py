"""Untrusted image files -> pixels, uint8 HWC RGB.

Whatever is ambiguous is refused, not guessed. An image of one of FORMATS becomes 8-bit sRGB, upright and on
white paper. docs/images.md lists how each kind of image is handled; `colour.py` converts colours.
"""

from __future__ import annotations

import importlib
import io
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.errors import SketchforgeError
from sketchforge.images.colour import alpha_of, is_srgb, to_srgb
from sketchforge.images.load import load_pixels, load_png
from sketchforge.images.metadata import JPEG_MAGIC, PNG_MAGIC, strip_jpeg, strip_png
from sketchforge.utils.files import NotAFileError, open_file

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


# The formats that Pillow is asked to read, with their plugins. Pillow knows some forty formats and recognises
# them by their bytes, whatever a file's name. Among them are PostScript, which it hands to Ghostscript and
# thus runs an untrusted program, and some whose headers announce gigabytes. None of those is ever tried. MPO
# comes with JPEG. HEIF is read where the package pillow-heif is installed.
FORMATS = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "PPM": "PIL.PpmImagePlugin",
    "AVIF": "PIL.AvifImagePlugin",
    "JPEG2000": "PIL.Jpeg2KImagePlugin",
    "HEIF": "pillow_heif",
}

MIN_SIDE = 8  # pixels; smaller images show nothing to draw
MAX_PIXELS = 178_956_970  # Pillow's own limit for decompression bombs
MAX_BYTES = 2 << 30  # an uncompressed image of MAX_PIXELS in 16-bit RGBA stays below this

EMPTY = "empty"  # a file of zero bytes
NOT_AN_IMAGE = "not an image"  # the bytes begin like no known image format
TRUNCATED = "truncated"  # the data ends early
TOO_SMALL = "too small"  # a side under MIN_SIDE
TOO_LARGE = "too large"  # over MAX_PIXELS by its header, or over MAX_BYTES
UNREADABLE = "unreadable"  # the file cannot be opened, or its data is damaged or of an unsupported kind
MISSING = (
    "no such file"  # the file was not there when it was looked for: a wrong name in a list, a broken link
)
GONE = "gone"  # the file has disappeared since it was found
CHANGED = "changed"  # the file is no longer the one that was found
NOT_A_FILE = "not a file"  # a pipe, a socket, a device or a folder under an image's name
NO_MASK = "no mask"  # the folder of masks holds none for the image, or one that is not its mask
REASONS = (
    EMPTY,
    NOT_AN_IMAGE,
    TRUNCATED,
    TOO_SMALL,
    TOO_LARGE,
    UNREADABLE,
    MISSING,
    GONE,
    CHANGED,
    NOT_A_FILE,
    NO_MASK,
)

# First bytes of FORMATS: a file with such a start and a damaged header is `unreadable`, not `not an image`.
_MAGIC = (
    *(JPEG_MAGIC, PNG_MAGIC, b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
# The same of AVIF and HEIF, which begin with the length of what follows.
_BRANDS = tuple(b"ftyp" + brand for brand in (b"avi", b"hei", b"hev", b"mif1", b"msf1"))


class ImageError(SketchforgeError):
    """An image that cannot be used; `reason` is one of REASONS, so that errors can be counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, and whether the stored bytes are a JPEG that every reader decodes to these pixels."""

    pixels: np.ndarray  # uint8 HxWx3 RGB
    is_plain_jpeg: bool


def read_image(source: Path | str | bytes) -> np.ndarray:
    """The image in a file (path) or in memory (bytes) as uint8 HxWx3 RGB, C-contiguous.

    Raises ImageError, with the path in its message if `source` is one.
    """
    if isinstance(source, bytes):
        return decode_image(source).pixels
    try:
        return decode_image(read_bytes(Path(source))).pixels
    except ImageError as error:
        raise ImageError(error.reason, str(source)) from error


def read_bytes(path: Path) -> bytes:
    """An image file's bytes. Raises ImageError `too large`, `not a file` or `unreadable`."""
    try:
        with open_file(path) as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise ImageError(TOO_LARGE, str(path))
            return file.read()
    except NotAFileError as error:
        raise ImageError(NOT_A_FILE, str(path)) from error
    except OSError as error:
        raise ImageError(UNREADABLE, f"{path}: {error.strerror or error}") from error


def decode_image(
    data: bytes, formats: Sequence[str] = tuple(FORMATS), frame: int | None = None
) -> DecodedImage:
    """Decode image bytes of one of `formats`; the header is checked before pixels are decoded.

    frame: of an animated image, from 0; None: what a still image shows.
    Raises ImageError.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise ImageError(EMPTY)
    try:
        with warnings.catch_warnings():
            # Pillow warns of images at half its bomb limit, odd EXIF and palettes: of no use to the user.
            warnings.simplefilter("ignore")
            return _decode(data, formats, frame)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(TOO_LARGE) from error
    except UnidentifiedImageError as error:
        if data.startswith(JPEG_MAGIC) and "JPEG" in formats and (decoded := _decode_stripped_jpeg(data)):
            return decoded
        is_image = data.startswith(_MAGIC) or data.startswith(_BRANDS, 4)
        raise ImageError(UNREADABLE if is_image else NOT_AN_IMAGE) from error
    except MemoryError:
        raise
    # Pillow's decoders raise anything from struct.error to SyntaxError on damaged data.
    except Exception as error:
        text = str(error).lower()
        is_truncated = isinstance(error, EOFError) or "truncat" in text or "unexpected end" in text
        is_truncated = is_truncated or _is_cut_webp(data)
        if is_truncated and (decoded := _decode_without_end_marker(data)):
            return decoded
        raise ImageError(TRUNCATED if is_truncated else UNREADABLE, text[:200]) from error


def decode_alpha(data: bytes, frame: int | None = None) -> np.ndarray | None:
    """The transparency of an image that `decode_image` has read, upright: uint8 HxW, 255 = opaque; None for none."""
    import numpy as np
    from PIL import ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _load(data, tuple(FORMATS), frame)
        with suppress(Exception):  # as in `_convert_to_rgb`
            image = ImageOps.exif_transpose(image)
        alpha = alpha_of(image)
        return None if alpha is None else np.ascontiguousarray(alpha)


def open_image(data: bytes, formats: Sequence[str] = tuple(FORMATS)) -> Image.Image:
    """Open an image of one of `formats` (a subset of FORMATS); only its header is read.

    Raises ImageError `too large`, and whatever Pillow raises.
    """
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=_list_readable(tuple(formats)))
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(TOO_LARGE, f"{width} x {height}")
    return image


@lru_cache
def _list_readable(formats: tuple[str, ...]) -> list[str]:
    """List the formats that can be read here: Pillow's AVIF came with 11.3, others need optional libraries."""
    from PIL import Image

    for name in formats:
        try:
            plugin = importlib.import_module(FORMATS[name])
        except ImportError:
            continue
        if name == "HEIF":
            plugin.register_heif_opener(thumbnails=False, decode_threads=1)
    return [name for name in formats if name in Image.OPEN]


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) from the header of a JPEG or PNG file as shards hold them; None for any other bytes.

    Parsed here, since a decoder allocates what the header asks for, and opening by Pillow would cost the
    trainings' reader a tenth of its speed. Strict: a JPEG with anything between its segments gives None.
    """
    if data.startswith(PNG_MAGIC):
        return _read_two_numbers(data[16:24], 4) if data[12:16] == b"IHDR" and len(data) > 24 else None
    if not data.startswith(JPEG_MAGIC):
        return None
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xFF:  # a fill byte
            position += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame's header
            height, width = _read_two_numbers(data[position + 5 : position + 9], 2)
            return width, height
        elif length < 2 or marker < 0xC0 or 0xD0 <= marker <= 0xD9:  # not a segment with a length
            return None
        else:
            position += 2 + length
    return None


def _read_two_numbers(data: bytes, length: int) -> tuple[int, int]:
    return int.from_bytes(data[:length], "big"), int.from_bytes(data[length:], "big")


def _decode(data: bytes, formats: Sequence[str], frame: int | None = None) -> DecodedImage:
    return _convert_to_rgb(_load(data, formats, frame))


def _load(data: bytes, formats: Sequence[str], frame: int | None = None) -> Image.Image:
    if frame is not None:
        image = open_image(data, formats)
        if min(image.size) < MIN_SIDE:
            raise ImageError(TOO_SMALL, f"{image.width} x {image.height}")
        image.seek(frame)
        if frame > 0:  # the library has laid it over those before it
            image.load()
            return image
        return load_pixels(image)
    png = strip_png(data) if "PNG" in formats and data.startswith(PNG_MAGIC) else None
    image = open_image(data if png is None else png.data, formats)
    if min(image.size) < MIN_SIDE:
        raise ImageError(TOO_SMALL, f"{image.width} x {image.height}")
    return load_pixels(image) if png is None else load_png(image, png)


def _decode_stripped_jpeg(data: bytes) -> DecodedImage | None:
    """Decode a JPEG that Pillow refused to open, without its damaged metadata; None where that is no help."""
    try:
        return DecodedImage(_decode(strip_jpeg(data), ("JPEG",)).pixels, False)
    except ImageError:
        raise
    except Exception:
        return None


def _decode_without_end_marker(data: bytes) -> DecodedImage | None:
    """Decode a JPEG of which only the end marker is missing; None for any other image.

    What a decoder fills in for missing data depends on the bytes that follow. So the data is complete if it
    decodes to the same pixels with two different endings.
    """
    import numpy as np

    if not data.startswith(JPEG_MAGIC):
        return None
    try:
        plain, filled = (
            _decode(data + filler + b"\xff\xd9", ("JPEG",)) for filler in (b"", bytes(range(1, 250)) * 4)
        )
    except Exception:
        return None
    return DecodedImage(plain.pixels, False) if np.array_equal(plain.pixels, filled.pixels) else None


def _is_cut_webp(data: bytes) -> bool:
    """Whether a RIFF file is shorter than its header says: Pillow's error does not tell."""
    return data.startswith(b"RIFF") and len(data) < int.from_bytes(data[4:8], "little") + 8


def _convert_to_rgb(image: Image.Image) -> DecodedImage:
    import numpy as np
    from PIL import ImageOps

    # A multi-image JPEG (MPO) is not plain: readers differ in which of its images they take.
    is_plain = image.format == "JPEG" and image.mode == "RGB" and is_srgb(image)
    try:
        upright = ImageOps.exif_transpose(image)
        is_plain = is_plain and image.getexif().get(0x0112, 1) == 1
    except Exception:  # an unreadable EXIF block does not affect the pixels
        upright = image
        is_plain = False
    return DecodedImage(np.ascontiguousarray(to_srgb(upright)), is_plain)
