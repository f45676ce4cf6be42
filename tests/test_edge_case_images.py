"""One test for every row of the table in docs/images.md; `test_every_row_of_the_docs_is_tested` holds the two together."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from conftest import ROOT, scene
from icc import ADOBE_RGB, SRGB, cmyk_profile, grey_profile, rgb_profile
from PIL import Image

from sketchforge.images.decode import TOO_SMALL, TRUNCATED, ImageError, decode_image
from sketchforge.images.resize import fit_square

ROWS: dict[str, Callable[[], None]] = {}
IMAGE = scene(5, 40, 60)


def row(name: str):
    def add(test):
        ROWS[name] = test
        return test

    return add


@pytest.mark.parametrize(
    "name",
    ROWS_IN_DOCS := re.findall(
        r"^\| ([^|`]+) \|", (ROOT / "docs/images.md").read_text("utf-8").split("## Fitting")[0], re.MULTILINE
    )[1:],
)
def test_every_row_of_the_docs_is_tested(name):
    ROWS[name]()


def test_no_row_is_tested_that_the_docs_lack():
    assert set(ROWS) == set(ROWS_IN_DOCS)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **more) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    found = decode_image(data).pixels
    assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3
    return found


def one_colour(mode: str, colour) -> Image.Image:
    return Image.new(mode, (16, 16), colour)


def assert_colour(data: bytes, expected, tolerance: int = 2) -> None:
    found = pixels(data)[8, 8].astype(int)
    assert np.abs(found - np.asarray(expected)).max() <= tolerance, (found, expected)


@row("EXIF orientation")
def _():
    # What the camera stored, and what turns it upright, for each of the eight values.
    turned = {
        1: IMAGE, 2: IMAGE[:, ::-1], 3: IMAGE[::-1, ::-1], 4: IMAGE[::-1],
        5: IMAGE.transpose(1, 0, 2), 6: np.rot90(IMAGE), 7: IMAGE[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(IMAGE, -1),
    }  # fmt: skip
    for orientation, stored in turned.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        np.testing.assert_array_equal(pixels(encoded(np.ascontiguousarray(stored), exif=exif)), IMAGE)


@row("damaged EXIF")
def _():
    for block in (b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff", b"\xff" * 40):
        damaged = encoded(IMAGE, "JPEG", exif=b"Exif\0\0" + block)
        np.testing.assert_array_equal(pixels(damaged), pixels(encoded(IMAGE, "JPEG")))


@row("grey")
def _():
    grey = IMAGE[..., 0]
    for kind in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(pixels(encoded(grey, kind)), np.repeat(grey[..., None], 3, axis=2))


@row("grey with profile")
def _():
    assert_colour(encoded(one_colour("L", 128), icc_profile=grey_profile(1.0)), [188] * 3)  # linear light


@row("black and white")
def _():
    found = pixels(encoded(Image.fromarray(IMAGE[..., 0] > 90)))
    np.testing.assert_array_equal(found[..., 1] == 255, IMAGE[..., 0] > 90)
    assert set(np.unique(found)) == {0, 255}


@row("palette")
def _():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert_colour(encoded(image), [40, 50, 60], 0)
    assert_colour(encoded(image, transparency=1), [255] * 3, 0)
    assert_colour(encoded(image, transparency=0), [40, 50, 60], 0)


@row("alpha")
def _():
    assert_colour(encoded(one_colour("RGBA", (0, 100, 200, 0))), [255] * 3, 0)
    assert_colour(encoded(one_colour("RGBA", (0, 100, 200, 128))), [127, 177, 227], 1)
    assert_colour(encoded(one_colour("LA", (100, 0))), [255] * 3, 0)
    # Mixed in sRGB, not before: half of linear grey 128 (188 in sRGB) over white.
    profile = rgb_profile(SRGB, 1.0)
    assert_colour(encoded(one_colour("RGBA", (128, 128, 128, 128)), icc_profile=profile), [221] * 3)


@row("16-bit grey")
def _():
    ramp = np.linspace(0, 65535, 40 * 60).round().astype(np.uint16).reshape(40, 60)
    for kind in (".png", ".tif"):
        found = pixels(cv2.imencode(kind, ramp)[1].tobytes())
        np.testing.assert_array_equal(
            found, np.rint(ramp / 257).astype(np.uint8)[..., None].repeat(3, axis=2)
        )
    with_profile = encoded(
        Image.fromarray(np.full((16, 16), 128 * 257, np.uint16)), icc_profile=grey_profile(1.0)
    )
    assert_colour(with_profile, [188] * 3)


@row("16-bit colour")
def _():
    wide = IMAGE.astype(np.uint16) * 256 + 77
    for kind in (".png", ".tif"):
        data = cv2.imencode(kind, np.ascontiguousarray(wide[..., ::-1]))[1].tobytes()
        np.testing.assert_array_equal(pixels(data), IMAGE)


@row("float")
def _():
    level = IMAGE[..., 0].astype(np.float32)
    for scale in (1, 255):
        data = encoded(Image.fromarray(level / scale), "TIFF")
        np.testing.assert_array_equal(pixels(data)[..., 0], IMAGE[..., 0])


@row("RGB without profile")
def _():
    np.testing.assert_array_equal(pixels(encoded(IMAGE)), IMAGE)


@row("RGB with sRGB profile")
def _():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(pixels(encoded(IMAGE, icc_profile=profile)), IMAGE)
    assert decode_image(encoded(IMAGE, "JPEG", icc_profile=profile)).is_plain_jpeg


@row("RGB with other profile")
def _():
    gamma, colour = 563 / 256, np.array([100, 160, 110])
    linear = np.linalg.inv(SRGB) @ np.asarray(ADOBE_RGB) @ (colour / 255) ** gamma
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(expected - colour).max() > 15, "a case where the profile matters"
    profile = rgb_profile(ADOBE_RGB, gamma)
    assert_colour(encoded(one_colour("RGB", tuple(colour)), icc_profile=profile), expected)
    jpeg = encoded(one_colour("RGB", tuple(colour)), "JPEG", quality=100, icc_profile=profile)
    assert_colour(jpeg, expected, 4)
    assert not decode_image(jpeg).is_plain_jpeg, (
        "its bytes must not be passed on: other readers ignore profiles"
    )


@row("damaged profile")
def _():
    sound = rgb_profile(ADOBE_RGB, 2.2)
    for broken in (b"nonsense", sound[:150], sound[:128] + b"\xff" * 60):
        np.testing.assert_array_equal(pixels(encoded(IMAGE, icc_profile=broken)), IMAGE)


@row("profile of another kind")
def _():
    for profile in (cmyk_profile({}), grey_profile(1.0)):
        np.testing.assert_array_equal(pixels(encoded(IMAGE, icc_profile=profile)), IMAGE)


@row("CMYK without profile")
def _():
    assert_colour(encoded(one_colour("CMYK", (255, 0, 0, 0)), "TIFF"), [0, 255, 255], 0)
    assert_colour(encoded(one_colour("CMYK", (0, 0, 0, 0)), "JPEG", quality=100), [255] * 3)


@row("CMYK with profile")
def _():
    # Cyan ink as it looks on paper, Lab (55, -37, -50), is (0, 148, 214) in sRGB: red is out of its reach.
    profile = cmyk_profile({(0, 0, 0, 0): (100, 0, 0), (1, 0, 0, 0): (55, -37, -50), (0, 0, 0, 1): (0, 0, 0)})
    assert_colour(encoded(one_colour("CMYK", (255, 0, 0, 0)), "TIFF", icc_profile=profile), [0, 148, 214], 8)
    assert_colour(encoded(one_colour("CMYK", (0, 0, 0, 0)), "TIFF", icc_profile=profile), [255] * 3)
    assert_colour(encoded(one_colour("CMYK", (0, 0, 0, 255)), "TIFF", icc_profile=profile), [0] * 3)
    # JPEG stores Adobe's CMYK inverted.
    assert_colour(
        encoded(one_colour("CMYK", (255, 0, 0, 0)), "JPEG", quality=100, icc_profile=profile),
        [0, 148, 214],
        8,
    )


@row("Lab")
def _():
    assert_colour(encoded(one_colour("LAB", (round(53.6 * 2.55), 128, 128)), "TIFF"), [128] * 3, 3)
    assert_colour(encoded(one_colour("LAB", (255, 128, 128)), "TIFF"), [255] * 3)


@row("animated")
def _():
    first, second = Image.fromarray(IMAGE), Image.new("RGB", (60, 40), (255, 0, 0))
    for kind, more in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        found = pixels(
            encoded(
                first.quantize() if kind == "GIF" else first,
                kind,
                save_all=True,
                append_images=[second],
                **more,
            )
        )
        assert np.abs(found.astype(int) - IMAGE).mean() < 8, kind


@row("progressive JPEG")
def _():
    one, other = (pixels(encoded(IMAGE, "JPEG", quality=95, progressive=way)) for way in (True, False))
    np.testing.assert_array_equal(one, other)


@row("JPEG without its end marker")
def _():
    for progressive in (False, True):
        whole = encoded(IMAGE, "JPEG", quality=90, progressive=progressive)
        for missing in (1, 2):
            decoded = decode_image(whole[:-missing])
            np.testing.assert_array_equal(decoded.pixels, pixels(whole))
            assert not decoded.is_plain_jpeg, "other readers may refuse these bytes"


@row("truncated")
def _():
    files = [encoded(IMAGE, "JPEG", progressive=way) for way in (False, True)]
    files += [encoded(IMAGE, kind) for kind in ("PNG", "TIFF", "BMP", "GIF", "WEBP")]
    for whole in files:
        for share in (0.5, 0.8):
            with pytest.raises(ImageError) as caught:
                decode_image(whole[: int(share * len(whole))])
            assert caught.value.reason == TRUNCATED, whole[:4]


@row("tiny")
def _():
    with pytest.raises(ImageError) as caught:
        decode_image(encoded(IMAGE[:7]))
    assert caught.value.reason == TOO_SMALL
    smallest = pixels(encoded(IMAGE[:8, :8]))
    assert fit_square(smallest, 64, "crop").shape == (64, 64, 3)
    assert abs(fit_square(smallest, 64, "crop").mean() - smallest.mean()) < 3


@row("4096 pixels")
def _():
    board = np.kron(np.indices((2, 2)).sum(0) % 2, np.ones((2048, 2048))).astype(np.uint8) * 255
    found = pixels(encoded(board, compress_level=1))
    assert fit_square(found, 4096, "keep").shape == (4096, 4096, 3)
    small = fit_square(found, 64, "crop")
    np.testing.assert_array_equal(
        small[..., 0], np.kron(np.indices((2, 2)).sum(0) % 2, np.ones((32, 32))) * 255
    )
    # Fine stripes shrink to grey, not to moiré.
    stripes = np.zeros((4096, 4096, 3), np.uint8)
    stripes[::2] = 255
    assert np.abs(fit_square(stripes, 100, "crop").astype(int) - 127).max() <= 6
