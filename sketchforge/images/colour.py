"""Any image Pillow can open -> 8-bit sRGB on white paper.

Profiles are followed, relative-colorimetrically and with black point compensation, as browsers and photo
editors do; an image without one is taken for sRGB. What cannot be followed is ignored, never guessed at: a
damaged profile, or one for another kind of image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from PIL.ImageCms import ImageCmsTransform

SAME = 2  # grey levels: a profile that moves no colour further is sRGB by another name
_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK", "LAB": "Lab "}


def to_srgb(image: Image.Image) -> Image.Image:
    """A loaded image of any mode -> mode "RGB": profile applied, transparency laid over white."""
    from PIL import Image

    profile = image.info.get("icc_profile")
    image = _eight_bits(image)
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    if alpha is not None:
        image = image.convert("RGB" if image.mode == "RGBA" else "L")
    transform = transform_to_srgb(profile, image.mode) if profile or image.mode == "LAB" else None
    image = transform.apply(image) if transform is not None else image.convert("RGB")
    if alpha is None:
        return image
    image.putalpha(alpha)
    paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, image).convert("RGB")


def is_srgb(image: Image.Image) -> bool:
    """Whether the stored values are sRGB already: without a profile, or with one that says so."""
    profile = image.info.get("icc_profile")
    return not profile or transform_to_srgb(profile, image.mode) is None


@lru_cache(maxsize=16)
def transform_to_srgb(profile: bytes | None, mode: str) -> ImageCmsTransform | None:
    """The way from a profile (None: the space the mode itself names) to sRGB.

    None where there is nothing to do: the profile is sRGB, damaged, or not one for images of this mode.
    """
    import io

    from PIL import ImageCms

    try:
        if profile is None:
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES.get(mode):
            return None
        transform = ImageCms.ImageCmsTransform(
            source,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if mode == "RGB" and _keeps_colours(transform) else transform
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None


def _keeps_colours(transform: ImageCmsTransform) -> bool:
    import numpy as np
    from PIL import Image

    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(transform.apply(Image.fromarray(grid)))
    return bool(np.abs(moved.astype(int) - grid).max() <= SAME)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Wide grey, palettes and rarer modes as one of L, LA, RGB, RGBA, CMYK, LAB."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_grey_to_uint8(np.asarray(image), image.mode))
    if image.mode in ("P", "PA", "RGBa", "La", "RGBX", "YCbCr", "HSV", "1"):
        see_through = image.has_transparency_data or image.mode in ("PA", "RGBa", "La")
        return image.convert("RGBA" if see_through else "L" if image.mode == "1" else "RGB")
    if image.mode in ("L", "RGB") and image.has_transparency_data:  # one colour or level stands for "no ink"
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    return image


def _grey_to_uint8(values: np.ndarray, mode: str) -> np.ndarray:
    """Wide grey to 8 bits: integers as 0..65535; floats as 0..1 when none is above 1, else as 0..255."""
    import numpy as np

    wide = np.nan_to_num(values.astype(np.float64))
    scale = 1 / 257 if mode != "F" else 255.0 if wide.max() <= 1 else 1.0
    return np.clip(np.rint(wide * scale), 0, 255).astype(np.uint8)
