"""Whatever the file, 8-bit RGB comes out, or a reason that can be counted."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from sketchforge.images import decode as images
from sketchforge.images.decode import ImageError, decode_image, read_image
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import to_tensor, to_uint8
from tests.helpers.image_files import chunk
from tests.helpers.photos import scene


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be of this size and has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


IMAGE = Image.fromarray(scene(1, 24, 32))
LOSSLESS = ["PNG", "BMP", "TIFF", "PPM"]


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_kinds_come_back_exactly(kind):
    assert (read_image(encoded(IMAGE, kind)) == np.asarray(IMAGE)).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_kinds_come_back_closely(kind):
    difference = np.abs(read_image(encoded(IMAGE, kind)).astype(int) - np.asarray(IMAGE))
    assert difference.mean() < 20


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90 degrees
    turned = decode_image(encoded(IMAGE, "PNG", exif=exif))
    assert (turned.pixels == np.rot90(np.asarray(IMAGE), -1)).all()
    assert not decode_image(encoded(IMAGE, "JPEG", exif=exif)).is_plain_jpeg
    exif[0x0112] = 1
    assert decode_image(encoded(IMAGE, "JPEG", exif=exif)).is_plain_jpeg


def test_damaged_exif_does_not_cost_the_image():
    data = encoded(IMAGE, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(data).shape == (24, 32, 3)


def test_transparency_lies_over_white_paper():
    layer = IMAGE.convert("RGBA")
    layer.putalpha(0)
    assert (read_image(encoded(layer, "PNG")) == 255).all()
    half = Image.new("RGBA", (16, 16), (0, 0, 0, 128))
    assert np.abs(read_image(encoded(half, "PNG")).astype(int) - 127).max() <= 1
    grey = Image.new("LA", (16, 16), (0, 0))
    assert (read_image(encoded(grey, "PNG")) == 255).all()


def test_palettes_with_and_without_a_transparent_entry():
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([10, 20, 30, 200, 210, 220])
    assert (read_image(encoded(palette, "PNG")) == [10, 20, 30]).all()
    assert (read_image(encoded(palette, "PNG", transparency=0)) == 255).all()


def test_grey_bilevel_and_cmyk_images_become_rgb():
    grey = IMAGE.convert("L")
    assert (read_image(encoded(grey, "PNG")) == np.asarray(grey)[..., None]).all()
    binary = IMAGE.convert("1")
    assert (read_image(encoded(binary, "PNG"))[..., 0] == np.asarray(binary) * 255).all()
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = read_image(encoded(ink, "JPEG", quality=95))[8, 8]
    assert red[0] > 200
    assert red[1] < 60
    assert red[2] < 60
    assert not decode_image(encoded(ink, "JPEG")).is_plain_jpeg
    assert not decode_image(encoded(grey, "JPEG")).is_plain_jpeg


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_tones(kind):
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    data = encoded(Image.fromarray(levels), kind)
    assert (read_image(data)[..., 0] == np.arange(256).reshape(16, 16)).all()


def test_a_tiff_of_floats_spans_all_levels():
    data = encoded(Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)), "TIFF")
    assert (read_image(data)[..., 1] == np.arange(256).reshape(16, 16)).all()


def test_animations_give_their_first_frame():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (read_image(data) == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not an image"),
        (b"\xff\xd8\xff nonsense", "unreadable"),
        (encoded(IMAGE, "JPEG")[:-200], "truncated"),
        (encoded(IMAGE, "PNG")[:-200], "truncated"),
        (encoded(IMAGE, "BMP")[:-200], "truncated"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "too small"),
        (encoded(Image.new("RGB", (7, 100)), "PNG"), "too small"),
        (png_header(20_000, 20_000), "too large"),
        (png_header(13_400, 13_400), "too large"),
        (png_header(64, 64), "truncated"),
    ],
)
def test_what_cannot_be_used_has_a_fixed_reason(data, reason):
    with pytest.raises(ImageError) as error:
        read_image(data)
    assert error.value.reason == reason
    assert reason in images.REASONS


def test_the_limit_is_ours_whatever_pillow_allows(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError, match="too large"):
        read_image(png_header(13_400, 13_400))


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_the_limit_holds_before_a_video_codec_sees_the_image(monkeypatch, kind):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    data = encoded(IMAGE, kind)
    assert read_image(data).shape == (24, 32, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 24 * 32 - 1)
    monkeypatch.setattr(images, "load_pixels", lambda image: pytest.fail("was decoded"))
    with pytest.raises(ImageError) as error:
        decode_image(data)
    assert error.value.reason == "too large"


def test_heic_without_its_package_is_unreadable_whatever_its_name(monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    data = encoded(IMAGE, "HEIF")
    with pytest.raises(ImageError) as error:
        decode_image(data, [name for name in images.FORMATS if name != "HEIF"])
    assert error.value.reason == "unreadable"


def test_a_png_of_texts_that_unpack_to_gigabytes_is_read_in_little_memory():
    bomb = zlib.compress(bytes(64 << 20), 9)
    whole = encoded(IMAGE, "PNG")
    chunks = b"".join(
        chunk(kind, start + bomb)
        for kind, start in (
            (b"zTXt", b"a\0\0"),
            (b"zTXt", b"Raw profile type exif\0\0"),
            (b"iTXt", b"a\0\1\0\0\0"),
            (b"iCCP", b"a\0\0"),
        )
    )
    tracemalloc.start()
    found = read_image(whole[:33] + chunks + whole[33:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found == np.asarray(IMAGE)).all()
    assert peak < 48 << 20, "a few times a profile's limit, not the contents"


def test_an_orientation_that_imagemagick_left_in_a_text_is_followed():
    exif = Image.Exif()
    exif[0x0112] = 6
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    text = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    whole = encoded(IMAGE, "PNG")
    for kind, contents in ((b"tEXt", text), (b"zTXt", b"\0" + zlib.compress(text))):
        data = whole[:33] + chunk(kind, b"Raw profile type exif\0" + contents) + whole[33:]
        assert (read_image(data) == np.rot90(np.asarray(IMAGE), -1)).all()


def test_damaged_anywhere_is_an_image_error_or_a_image():
    """Whichever bytes are damaged: never another exception."""
    rng = np.random.default_rng(0)
    for kind in [*LOSSLESS, "JPEG", "WEBP", "GIF"]:
        whole = encoded(IMAGE, kind)
        for _ in range(40):
            data = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
            for place in rng.integers(0, len(data), 4):
                data[place] = rng.integers(256)
            try:
                assert read_image(bytes(data)).dtype == np.uint8
            except ImageError as error:
                assert error.reason in images.REASONS


def test_files_name_themselves(tmp_path):
    with pytest.raises(ImageError, match="unreadable.*nowhere.jpg"):
        read_image(tmp_path / "nowhere.jpg")
    (tmp_path / "x.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match="not an image.*x.jpg"):
        read_image(tmp_path / "x.jpg")
    IMAGE.save(tmp_path / "y.png")
    assert (read_image(tmp_path / "y.png") == np.asarray(IMAGE)).all()


@pytest.mark.parametrize("shape", [(64, 64), (40, 90), (90, 40), (8, 500), (500, 8), (9, 9), (257, 256)])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_fit_gives_the_square_asked_for(shape, fit):
    for channels in ((), (3,)):
        image = np.zeros((*shape, *channels), np.uint8)
        fitted = fit_square(image, 64, fit)
        assert fitted.shape == (64, 64, *channels)
        assert fitted.dtype == np.uint8
        assert fitted.flags.c_contiguous


def test_crop_takes_the_middle_and_pad_keeps_all():
    image = np.full((40, 80, 3), 255, np.uint8)
    image[:, 20:60] = 7
    assert (fit_square(image, 40, "crop") == 7).all()
    wide = np.full((40, 80, 3), 7, np.uint8)
    padded = fit_square(wide, 80, "pad")
    assert (padded[20:60] == 7).all()
    assert (padded[:20] == 255).all()
    assert (padded[60:] == 255).all()


def test_right_size_is_left_alone_and_keep_keeps():
    image = scene(0, 64, 64)
    assert (fit_square(image, 64, "crop") == image).all()
    odd = scene(0, 31, 57)
    assert fit_square(odd, 64, "keep") is odd


def test_shrinking_averages_all_pixels():
    """Noise shrunk by 8 keeps an eighth of its spread; taking only some of the pixels would keep more."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), np.uint8)
    assert fit_square(noise, 64, "crop").std() < 1.2 * noise.std() / 8


def test_tensors_round_trip_exactly():
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    batch = to_tensor(image)
    assert batch.shape == (1, 3, 16, 16)
    assert batch.dtype == torch.float32
    assert batch.min() == -1
    assert batch.max() == 1
    assert (to_uint8(batch) == image).all()


def test_tensor_axes_are_batch_channel_row_column():
    image = scene(3, 5, 7)
    one = to_tensor(image)
    assert one.shape == (1, 3, 5, 7)
    assert float(one[0, 2, 4, 6]) == pytest.approx(image[4, 6, 2] / 127.5 - 1, abs=1e-6)
    assert torch.equal(to_tensor(np.stack([image, image]))[1:], one)


def test_tensors_are_clipped_and_own_their_memory():
    assert (to_uint8(torch.tensor([-7.0, 7.0]).view(1, 1, 1, 2))[0, 0, :, 0] == [0, 255]).all()
    image = scene(0, 8, 8)
    before = image.copy()
    to_tensor(image).zero_()
    assert (image == before).all()
    with pytest.raises(ValueError, match="uint8"):
        to_tensor(image.astype(np.float32))
