"""A file's pixels as its format means them, where Pillow alone gives other ones.

Pillow's modes do not say everything: which range wide levels have, whether the smallest of them is white, which
level or colour is transparent, which part of a canvas the first frame covers.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

from sketchforge.images.metadata import PlainPng

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from PIL.ImageFile import ImageFile
    from PIL.TiffImagePlugin import TiffImageFile

_BITS, _PHOTOMETRIC, _MAX_SAMPLE, _PLANAR, _SAMPLE_FORMAT, _XMP = 258, 262, 281, 284, 339, 700  # TIFF's tags
_WHITE_IS_ZERO, _SEPARATE_PLANES, _UNSIGNED, _FLOAT = 0, 2, 1, 3  # their values


def load_pixels(image: Image.Image) -> Image.Image:
    """Decode an opened image. Raises ValueError for levels whose meaning is unknown, and whatever Pillow raises.

    Returns it in a mode that `colour.to_srgb` takes, with the file's `info`.
    """
    if image.format == "TIFF":
        return _load_tiff(cast("TiffImageFile", image))
    if image.format == "GIF":
        return _load_gif(cast("ImageFile", image))
    image.load()
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")  # a header with room for alpha, and a program that left it zero
    return image


def load_png(image: Image.Image, png: PlainPng) -> Image.Image:
    """Decode a PNG that was opened from `png.data`, with its profile and its transparent colour."""
    import numpy as np
    from PIL import Image

    image.load()
    if png.profile is not None:
        image.info["icc_profile"] = png.profile
    if png.transparent is None or (image.mode not in ("1", "L", "RGB") and not image.mode.startswith("I")):
        return image
    levels = np.asarray(image).astype(np.uint16)
    if png.depth == 16 and image.mode == "RGB":
        levels = levels << 8 | _load_low_bytes(png)
    elif png.depth < 16:
        levels = levels if image.mode == "1" else levels // (255 // ((1 << png.depth) - 1))
    is_transparent = levels == np.array(png.transparent, np.uint16)
    if image.mode == "RGB":
        is_transparent = is_transparent.all(axis=2)
    else:
        image = _replace_pixels(image, grey_to_uint8(levels, (1 << png.depth) - 1))
    image.putalpha(Image.fromarray(np.where(is_transparent, 0, 255).astype(np.uint8)))
    return image


def grey_to_uint8(values: np.ndarray, largest: int) -> np.ndarray:
    """Scale unsigned levels of 0..`largest` to uint8, rounded; larger ones are white."""
    import numpy as np

    values = np.clip(values, 0, largest).astype(np.uint64 if largest > 0xFFFF else np.uint32)
    return ((values * 255 + largest // 2) // largest).astype(np.uint8)


def float_to_uint8(values: np.ndarray) -> np.ndarray:
    """Scale floats to uint8: from 0..1 if none is above 1, else from 0..255."""
    import numpy as np

    finite = np.nan_to_num(values.astype(np.float64))
    return np.clip(np.rint(finite * (255.0 if finite.max() <= 1 else 1.0)), 0, 255).astype(np.uint8)


def _load_low_bytes(png: PlainPng) -> np.ndarray:
    """The lower bytes of 16-bit RGB, of which Pillow keeps the higher ones."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(png.data), formats=["PNG"])
    # Read as if the bytes came in the other order, the lower one is kept.
    image.tile = [_replace_rawmode(tile, "RGB;16L") for tile in image.tile]
    image.load()
    return np.asarray(image).astype(np.uint16)


def _load_gif(image: ImageFile) -> Image.Image:
    """Load the first frame; what it leaves uncovered of the canvas is transparent."""
    from PIL import Image, ImageChops

    frame = image.tile[0][1] if image.tile else (0, 0, *image.size)
    image.load()
    if frame == (0, 0, *image.size):
        return image
    covered = Image.new("L", image.size, 0)
    covered.paste(255, frame)
    uncovered = image.convert("RGBA")
    uncovered.putalpha(ImageChops.multiply(uncovered.getchannel("A"), covered))
    return uncovered


def _load_tiff(image: TiffImageFile) -> Image.Image:
    import numpy as np

    tags = image.tag_v2
    bits, sample_format = _first(tags.get(_BITS), 1), _first(tags.get(_SAMPLE_FORMAT), _UNSIGNED)
    if sample_format not in (_UNSIGNED, _FLOAT):
        raise ValueError("signed or complex levels: which of them is black, the file does not say")
    image.info.pop("xmp", None)  # Pillow searches it for text, whatever type it has
    image.tile = [_correct_tile(tile, bits, tags) for tile in image.tile]
    image.load()
    is_inverted = tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO
    if image.mode == "F":
        grey = float_to_uint8(np.asarray(image))
    elif image.mode.startswith("I"):
        values = np.asarray(image)
        grey = grey_to_uint8(values.view(np.uint32) if bits == 32 else values, _largest_level(tags, bits))
    else:
        return image  # Pillow inverts the narrower ones itself
    return _replace_pixels(image, 255 - grey if is_inverted else grey)


def _largest_level(tags: Any, bits: int) -> int:
    """The level of full light: that of all bits, or of as many bits as the tag MaxSampleValue says are used.

    Programs that store 10, 12 or 14 bits of a sensor in 16 write 1023, 4095 or 16383 there. Any other value is
    a statistic of the image, by which the standard allows no change of its looks.
    """
    largest = _first(tags.get(_MAX_SAMPLE), 0)
    is_full_light = bits == 16 and largest in [(1 << used) - 1 for used in range(9, 16)]
    return largest if is_full_light else (1 << bits) - 1


def _correct_tile(tile: Any, bits: int, tags: Any) -> Any:
    """A tile's description, where Pillow takes the wrong byte order or the wrong width of its samples."""
    rawmode = tile[3][0] if isinstance(tile[3], tuple) else tile[3]
    if tile[0] == "libtiff":  # gives samples in the machine's own order
        return _replace_rawmode(tile, "F;32NF" if rawmode == "F;32BF" else rawmode)
    if bits == 16 and tags.get(_PLANAR) == _SEPARATE_PLANES and len(rawmode) == 1:
        return _replace_rawmode(tile, f"{rawmode};16{'L' if tags.prefix == b'II' else 'B'}")
    return tile


def _replace_rawmode(tile: Any, rawmode: str) -> Any:
    """The description with another raw mode, the first of the decoder's arguments."""
    codec, extents, offset, arguments = tile
    arguments = (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode
    # A plain tuple before Pillow 11, a named one since.
    return getattr(type(tile), "_make", tuple)((codec, extents, offset, arguments))


def _replace_pixels(image: Image.Image, grey: np.ndarray) -> Image.Image:
    """An image of uint8 H×W with the other's `info`."""
    from PIL import Image

    replaced = Image.fromarray(grey)
    replaced.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return replaced


def _first(value: object, default: int) -> int:
    """The first of a TIFF tag's values."""
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else default
