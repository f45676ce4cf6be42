"""Any image Pillow can open -> 8-bit sRGB on white paper.

Profiles are applied relative-colorimetrically with black point compensation, as browsers and photo editors
do. An image without a profile is taken as sRGB. A damaged profile, or one for another kind of image, is
ignored, never guessed at.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sketchforge.images.load import float_to_uint8, grey_to_uint8

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageCms import ImageCmsTransform

SAME = 2  # grey levels: a profile that changes no colour by more counts as sRGB
_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK", "LAB": "Lab "}


def to_srgb(image: Image.Image) -> Image.Image:
    """A loaded image of any mode -> mode "RGB": profile applied, transparency composited over white."""
    from PIL import Image

    profile = _find_profile(image)
    image = _convert_to_eight_bits(image)
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


def alpha_of(image: Image.Image) -> Image.Image | None:
    """The opacity of a loaded image as mode "L", 255 = opaque; None where nothing of it is transparent by its mode."""
    image = _convert_to_eight_bits(image)
    return image.getchannel("A") if image.mode in ("RGBA", "LA") else None


def is_srgb(image: Image.Image) -> bool:
    """Whether the stored values are sRGB already: there is no profile, or it is sRGB's."""
    profile = _find_profile(image)
    return not profile or transform_to_srgb(profile, image.mode) is None


def _find_profile(image: Image.Image) -> bytes | None:
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else None  # a damaged TIFF may have a number there


@lru_cache(maxsize=16)
def transform_to_srgb(profile: bytes | None, mode: str) -> ImageCmsTransform | None:
    """The transform from a profile (None: the colour space of `mode`) to sRGB.

    None where there is nothing to convert: the profile is sRGB, damaged, or not for images of this mode.
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
    converted = np.asarray(transform.apply(Image.fromarray(grid)))
    return bool(np.abs(converted.astype(int) - grid).max() <= SAME)


def _convert_to_eight_bits(image: Image.Image) -> Image.Image:
    """Convert wide grey, palettes and rarer modes to one of L, LA, RGB, RGBA, CMYK, LAB."""
    import numpy as np
    from PIL import Image

    if image.mode == "F":
        return Image.fromarray(float_to_uint8(np.asarray(image)))
    if image.mode.startswith("I"):
        return Image.fromarray(grey_to_uint8(np.asarray(image), 0xFFFF))
    if image.mode == "La":  # Pillow converts it to nothing else
        return image.convert("LA")
    if image.mode in ("P", "PA", "RGBa", "RGBX", "YCbCr", "HSV", "1"):
        has_alpha = image.has_transparency_data or image.mode in ("PA", "RGBa")
        return image.convert("RGBA" if has_alpha else "L" if image.mode == "1" else "RGB")
    if image.mode in ("L", "RGB") and image.has_transparency_data:  # one colour or level means "transparent"
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    return image
