"""One test for every row of the table in docs/images.md; `test_every_row_of_the_docs_is_tested` holds the two together."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from sketchforge.images.decode import TOO_SMALL, TRUNCATED, UNREADABLE, ImageError, decode_image
from sketchforge.images.resize import fit_square
from tests.helpers.commands import ROOT
from tests.helpers.icc import ADOBE_RGB, SRGB, cmyk_profile, grey_profile, rgb_profile
from tests.helpers.image_files import chunk, gif_of, pack_bits, png_of, tiff
from tests.helpers.photos import scene

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
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] == 3
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
    for kind, more in (("WEBP", {"lossless": True}), ("TIFF", {}), ("JPEG2000", {})):
        assert_colour(encoded(one_colour("RGBA", (0, 100, 200, 128)), kind, **more), [127, 177, 227], 1)
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
    jpeg2000 = encoded(Image.fromarray(ramp), "JPEG2000", irreversible=False)
    np.testing.assert_array_equal(pixels(jpeg2000)[..., 0], np.rint(ramp / 257).astype(np.uint8))
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


RAMP = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) * 170  # 0..65110, no two levels alike
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
ORDERS = [(order, deflate) for order in "<>" for deflate in (False, True)]


def assert_levels(data: bytes, expected: np.ndarray, tolerance: float = 0.5) -> None:
    """expected: H×W or H×W×3 of exact 8-bit values, before rounding."""
    expected = expected if expected.ndim == 3 else expected[..., None]
    np.testing.assert_allclose(
        pixels(data).astype(float), np.broadcast_to(expected, (16, 24, 3)), atol=tolerance
    )


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours of 0..255 with alpha of 0..1 on paper."""
    return 255 - alpha[..., None] * (255.0 - colour)


@row("transparent grey level")
def _():
    level = int(RAMP[4, 5])
    paper = np.where(level == RAMP, 255, RAMP / 257)
    assert_levels(png_of(RAMP, 0, 16, [chunk(b"tRNS", struct.pack(">H", level))]), paper)
    assert_levels(png_of(RAMP, 0, 16, [chunk(b"tRNS", struct.pack(">H", level + 1))]), RAMP / 257)
    for depth in (1, 2, 4, 8):
        levels = (RAMP // 170 % (1 << depth)).astype(np.uint8)
        scaled = levels * (255 / ((1 << depth) - 1))
        tag = chunk(b"tRNS", struct.pack(">H", 0xFF00 | 1 if depth < 8 else 1))  # upper bits do not count
        data = png_of(pack_bits(levels, depth), 0, depth, [tag], width=24)
        assert_levels(data, np.where(levels == 1, 255, scaled), 0)


@row("transparent colour")
def _():
    narrow = (COLOURS >> 8).astype(np.uint8)
    for levels, depth, scale in ((COLOURS, 16, 257), (narrow, 8, 1)):
        colour = levels[4, 5]
        paper = np.where((levels == colour).all(axis=2)[..., None], 255, levels / scale)
        tag = chunk(b"tRNS", struct.pack(">HHH", *colour))
        assert_levels(png_of(levels, 2, depth, [tag]), paper, 1)
    # Only the lower bytes differ.
    near = chunk(b"tRNS", struct.pack(">HHH", *(COLOURS[4, 5] ^ 1)))
    assert_levels(png_of(COLOURS, 2, 16, [near]), COLOURS / 257, 1)


@row("palette with alpha")
def _():
    levels = (RAMP // 170 % 4).astype(np.uint8)
    palette = np.array([[10, 20, 30], [40, 250, 60], [70, 80, 90], [1, 2, 3]], np.uint8)
    alphas = np.array([0, 100, 255, 255], np.uint8)
    chunks = [chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", alphas[:2].tobytes())]
    expected = over_white(palette[levels], alphas[levels] / 255)
    assert_levels(png_of(pack_bits(levels, 2), 3, 2, chunks, width=24), expected, 1)


@row("12 bits in 16")
def _():
    twelve = RAMP >> 4
    for order, deflate in ORDERS:
        assert_levels(tiff(twelve, order=order, deflate=deflate, T281=[4095]), twelve * (255 / 4095))
        # No number of bits: a statistic of the image, which changes nothing.
        assert_levels(tiff(RAMP, order=order, deflate=deflate, T281=[4000]), RAMP / 257)
    packed = pack_bits(twelve, 12)
    assert_levels(tiff(packed, bits=12, T256=[24]), twelve * (255 / 4095))
    # PNG stretches its levels; how many bits of them are significant changes nothing.
    stretched = twelve << 4 | twelve >> 8
    assert_levels(png_of(stretched, 0, 16, [chunk(b"sBIT", b"\x0c")]), twelve * (255 / 4095))


@row("maximum of a PGM or PPM")
def _():
    for largest in (1, 127, 1000, 4095, 65535):
        levels = RAMP.astype(np.uint32) % (largest + 1)
        data = levels.astype(">u2" if largest > 255 else np.uint8).tobytes()
        assert_levels(b"P5 24 16 %d\n" % largest + data, levels * 255 / largest)
        colour = np.stack([levels, levels[::-1], levels[:, ::-1]], axis=2)
        data = colour.astype(">u2" if largest > 255 else np.uint8).tobytes()
        assert_levels(b"P6 24 16 %d\n" % largest + data, colour * 255 / largest)


@row("32-bit grey")
def _():
    for deflate in (False, True):
        assert_levels(tiff(RAMP.astype(np.uint32) * 65537, deflate=deflate), RAMP / 257)


@row("white is zero")
def _():
    narrow = (RAMP >> 8).astype(np.uint8)
    floats = (RAMP / 65535).astype(np.float32)
    for order, deflate in ORDERS:
        more = {"photometric": 0, "order": order, "deflate": deflate}
        assert_levels(tiff(narrow, **more), 255 - narrow, 0)
        assert_levels(tiff(floats, **more), 255 - RAMP / 257, 0.51)
        if order == "<":
            assert_levels(tiff(RAMP, **more), 255 - RAMP / 257)
        bits = RAMP // 170 % 2
        assert_levels(tiff(pack_bits(bits, 1), bits=1, T256=[24], **more), 255 - bits * 255, 0)


@row("separate planes")
def _():
    narrow = (COLOURS >> 8).astype(np.uint8)
    for order, deflate in ORDERS:
        more = {"photometric": 2, "planar": True, "order": order, "deflate": deflate}
        assert_levels(tiff(COLOURS, **more), COLOURS / 257, 1)
        assert_levels(tiff(narrow, **more), narrow, 0)


@row("16-bit colour with alpha")
def _():
    alpha = RAMP[::-1, ::-1]
    straight = np.dstack([COLOURS, alpha])
    expected = over_white(COLOURS / 257, alpha / 65535)
    assert_levels(png_of(straight, 6, 16), expected, 2)
    assert_levels(
        png_of(straight[..., 2:].copy(), 4, 16), over_white(COLOURS[..., 2:] / 257, alpha / 65535), 2
    )
    for order, deflate in ORDERS:
        assert_levels(tiff(straight, 2, order, deflate=deflate, T338=[2]), expected, 2)


@row("associated alpha")
def _():
    alpha = (RAMP[::-1, ::-1] >> 8).astype(np.uint8)
    colours = np.minimum((COLOURS >> 8).astype(np.uint8), alpha[..., None])
    expected = 255.0 - alpha[..., None] + colours
    for order, deflate in ORDERS:
        more = {"order": order, "deflate": deflate, "T338": [1]}
        assert_levels(tiff(np.dstack([colours, alpha]), 2, **more), expected, 2)
        assert_levels(tiff(np.dstack([colours[..., 0], alpha]), 1, **more), expected[..., :1], 2)
        wide = np.dstack([colours, alpha]).astype(np.uint16) * 257
        assert_levels(tiff(wide, 2, **more), expected, 3)


@row("fourth sample without meaning")
def _():
    levels = np.dstack([COLOURS, RAMP])
    assert_levels(tiff(levels, 2, T338=[0]), COLOURS / 257, 1)


@row("signed levels")
def _():
    for dtype in (np.int8, np.int16, np.int32):
        with pytest.raises(ImageError, match="signed") as caught:
            decode_image(tiff(RAMP.astype(dtype)))
        assert caught.value.reason == UNREADABLE


@row("other wide TIFFs")
def _():
    wide = RAMP / 65535
    for levels, photometric in (
        (wide, 1),
        (wide.astype(np.float16), 1),
        ((COLOURS / 65535).astype(np.float32), 2),
        (COLOURS, 8),
    ):
        with pytest.raises(ImageError) as caught:
            decode_image(tiff(levels, photometric))
        assert caught.value.reason == UNREADABLE


@row("first frame smaller than its canvas")
def _():
    levels = (RAMP[:8, :10] // 170).astype(np.uint8)
    expected = np.full((16, 24), 255)
    expected[5:13, 7:17] = levels
    assert_levels(gif_of(levels, (7, 5), (24, 16)), expected, 0)
    expected[5:13, 7:17][levels == 26] = 255
    assert_levels(gif_of(levels, (7, 5), (24, 16), transparent=26), expected, 0)


@row("alpha channel of zeros")
def _():
    colours = (COLOURS >> 8).astype(np.uint8)
    for alpha, expected in ((0, colours), (128, over_white(colours, np.full((16, 24), 128 / 255)))):
        levels = np.dstack([colours[..., ::-1], np.full((16, 24), alpha, np.uint8)])[::-1].tobytes()
        header = struct.pack("<IiiHHIIiiII", 108, 24, 16, 1, 32, 3, len(levels), 0, 0, 0, 0)
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        data = struct.pack("<IHHI", 122 + len(levels), 0, 0, 122) + header + masks + b"BGRs" + bytes(48)
        assert_levels(b"BM" + data + levels, expected, 1)


@row("damaged or huge metadata")
def _():
    text = chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(3 << 20)))
    wrong = [
        chunk(kind, b"x\0\0y", damaged=True)
        for kind in (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"iCCP", b"eXIf")
    ]
    narrow = (RAMP >> 8).astype(np.uint8)
    assert_levels(png_of(narrow, 0, 8, [text, *wrong]), narrow, 0)
    jpeg = encoded(IMAGE, "JPEG")
    for segment in (
        b"\xe0\0\x07JFIF\0",
        b"\xe2\0\x0eICC_PROFILE\0",
        b"\xee\0\x07Adobe",
        b"\xe2\0\x0bMPF\0II*\0\1",
    ):
        decoded = decode_image(jpeg[:2] + b"\xff" + segment + jpeg[2:])
        np.testing.assert_array_equal(decoded.pixels, pixels(jpeg))
    for tag in ("T700", "T34675"):
        assert_levels(tiff(narrow, **{tag: [1, 2, 3]}), narrow, 0)


@row("wrong checksum of pixels")
def _():
    narrow = (RAMP >> 8).astype(np.uint8)
    sound, colour = png_of(narrow, 0, 8), chunk(b"tRNS", bytes(2), damaged=True)
    palette = chunk(b"PLTE", bytes(768), damaged=True)
    for data in (
        sound[:29] + bytes([sound[29] ^ 1]) + sound[30:],  # of the header
        png_of(narrow, 0, 8, [colour]),
        png_of(narrow, 3, 8, [palette]),
        sound.replace(zlib.compress(b"".join(b"\0" + row.tobytes() for row in narrow))[-4:], bytes(4)),
    ):
        with pytest.raises(ImageError) as caught:
            decode_image(data)
        assert caught.value.reason == UNREADABLE


@row("AVIF and HEIC")
def _():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.full((32, 48, 3), 255, np.uint8)
    stored[:8, :16] = (200, 0, 0)
    for kind in ("AVIF", "HEIF"):
        found = pixels(encoded(stored, kind, quality=100, exif=exif.tobytes()))
        assert found.shape == (48, 32, 3), "turned once, not twice"
        assert np.abs(found.astype(int) - np.rot90(stored, -1)).mean() < 3, kind
        half = encoded(one_colour("RGBA", (200, 40, 60, 128)), kind, quality=100)
        assert_colour(half, [227, 147, 157], 4)


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


@row("CMYK JPEG")
def _():
    ink = encoded(one_colour("CMYK", (10, 200, 100, 30)), "JPEG", quality=100)
    expected = [(255 - level) * (255 - 30) / 255 for level in (10, 200, 100)]
    at = ink.index(b"\xff\xee")
    unmarked = ink[:at] + ink[at + 2 + struct.unpack(">H", ink[at + 2 : at + 4])[0] :]
    assert_colour(ink, expected)
    assert_colour(unmarked, expected)


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
    # Lab (60, 20, -30), a and b signed as TIFF's CIELAB has them.
    levels = np.broadcast_to(np.array([153, 20, 226], np.uint8), (16, 24, 3))
    assert_colour(tiff(levels, 8), [157, 132, 198], 3)


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

    # An APNG's image for readers without animation, whether it belongs to the animation or not.
    plain = png_of(IMAGE[..., 0].copy(), 0, 8)
    frame = struct.pack(">IIIIIHHBB", 0, 60, 40, 0, 0, 1, 10, 0, 0)
    other = chunk(b"fcTL", frame) + chunk(b"fdAT", bytes(4) + zlib.compress(bytes(61 * 40)))
    at = plain.index(b"IEND") - 4
    apng = plain[:33] + chunk(b"acTL", struct.pack(">II", 1, 0)) + plain[33:at] + other + plain[at:]
    np.testing.assert_array_equal(pixels(apng), pixels(plain))


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
