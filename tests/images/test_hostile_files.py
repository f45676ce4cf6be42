"""Files of strangers: no decoder but ours is started, none allocates what a header promises, no tar fills memory."""

import gzip
import io
import os
import shlex
import struct
import tarfile
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from sketchforge.data.augment import stored_pair
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.order import SampleOrder
from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import FORMATS, NOT_AN_IMAGE, ImageError, decode_image, stored_size
from sketchforge.images.sources import find_images
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards import check_shard, schema
from sketchforge.shards.manifest import read_manifest, write_manifest
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from sketchforge.utils.files import sha256_of
from sketchforge.utils.tar_headers import MAX_HEADERS, any_members, members
from tests.helpers.folders import lines
from tests.helpers.photos import make_photos
from tests.helpers.stored import png, store

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n{ } loop\n%%EOF\n"


def saved(form: str) -> bytes | None:
    """A small image in a format of Pillow's; None where it cannot write it."""
    for mode in ("RGB", "L", "1", "P"):
        buffer = io.BytesIO()
        try:
            Image.new(mode, (32, 32), 1).save(buffer, form)
            return buffer.getvalue()
        except Exception:
            continue
    return None


@pytest.fixture(scope="module")
def all_formats():
    Image.init()
    return {form: data for form in Image.SAVE if (data := saved(form)) is not None}


def test_formats_that_are_not_on_the_list_are_no_images_whatever_else_pillow_can_read(all_formats):
    others = {form: data for form, data in all_formats.items() if form not in (*FORMATS, "MPO", "JPEG2000")}
    assert {"EPS", "TGA", "ICO", "PCX", "SGI"} <= set(others)
    read = [
        form
        for form in others
        if form not in ("DIB", "PDF", "PALM", "BUFR", "GRIB", "HDF5") and opens(others[form])
    ]
    assert len(read) >= 8, "Pillow itself would have taken them"
    for form, data in others.items():
        with pytest.raises(ImageError) as error:
            decode_image(data)
        assert error.value.reason == NOT_AN_IMAGE, form


def opens(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data))
    except OSError:
        return False
    return True


def test_formats_on_the_list_are_read(all_formats):
    for form in (*FORMATS, "MPO"):
        if form in all_formats:
            assert decode_image(all_formats[form]).pixels.shape == (32, 32, 3), form
    assert {"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"} <= set(all_formats)


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for Ghostscript")
def test_postscript_under_a_jpegs_name_is_never_run(tmp_path, monkeypatch):
    """Pillow hands it to Ghostscript, which runs it: here a stand-in that leaves a trace."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path))}/ran\nsleep 600\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    photos = make_photos(tmp_path / "in", 2)
    (photos / "a.jpg").write_bytes(POSTSCRIPT)
    options = RenderOptions(tmp_path / "out", photos, method="canny", size=32, workers=1, timeout=20)
    assert render(options).outcomes == {"ok": 2, NOT_AN_IMAGE: 1}
    assert [line["reason"] for line in lines(tmp_path / "out") if line["source"] == "a.jpg"] == [NOT_AN_IMAGE]
    assert not (tmp_path / "ran").exists()


def test_a_format_whose_header_promises_gigabytes_is_refused_unread():
    cards = ["SIMPLE  = T", "BITPIX  = -64", "NAXIS   = 2", "NAXIS1  = 30000", "NAXIS2  = 30000", "END"]
    data = "".join(f"{card:80}" for card in cards).encode().ljust(2880, b" ")
    with pytest.raises(ImageError, match=NOT_AN_IMAGE):
        decode_image(gzip.compress(data)), decode_image(data)


# Sizes by the header.


def jpeg(width: int, height: int, **more) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)).save(
        buffer, "JPEG", **more
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    "more", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(500)}, {"dpi": (300, 300)}]
)
def test_the_size_in_a_jpegs_header_is_the_one_that_is_decoded(more):
    data = jpeg(37, 21, **more)
    assert stored_size(data) == (37, 21)
    # Filling bytes before a marker are legal.
    at = data.index(b"\xff\xdb")
    assert stored_size(data[:at] + b"\xff\xff" + data[at:]) == (37, 21)


def test_the_size_in_a_pngs_header_is_the_one_that_is_decoded():
    assert stored_size(png(np.zeros((21, 37), np.uint8))) == (37, 21)
    assert stored_size(png(np.zeros((21, 37), np.uint8), binary=False)) == (37, 21)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0" * 9, b"\x89PNG\r\n\x1a\n" + bytes(30), b"BM" * 50]
)
def test_what_has_no_such_header_has_no_size(data):
    assert stored_size(data) is None


def test_a_jpeg_cut_anywhere_has_its_size_or_none():
    data = jpeg(37, 21)
    assert {stored_size(data[:length]) for length in range(len(data))} == {None, (37, 21)}


def png_of(width: int, height: int) -> bytes:
    """A PNG of nothing that claims to be large: a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def shards_with(folder, image=None, sketch=None, size=16, **options):
    """A set of one sample whose image or sketch is other bytes."""
    ink = png(np.full((size, size), 255, np.uint8))
    store(
        folder,
        [[{"key": "k", "sketches": [ink, ink], "size": (size, size)}]],
        ["a", "b"],
        size=size,
        **options,
    )
    with tarfile.open(folder / "00000.tar") as tar:
        contents = {info.name: tar.extractfile(info).read() for info in tar}
    contents |= {"k.jpg": image or contents["k.jpg"], "k.sketch1.png": sketch or contents["k.sketch1.png"]}
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    _agree(folder)
    return folder


def _agree(folder):
    """Make the manifest say of the shard's file what it is."""
    path, manifest = folder / "00000.tar", read_manifest(folder_at(folder))
    entry = manifest["shards"][0] | {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    write_manifest(folder_at(folder), manifest | {"shards": [entry]})


def read_one(folder):
    shards = open_shards(folder)
    return ShardDataset(shards, SampleOrder(shards.shard_sizes, 0), stored_pair, 2, False)[0]


BOMBS = {
    "larger than the set's images": (
        {"sketch": png_of(30_000, 30_000)},
        "30000 x 30000 pixels, expected 16 x 16",
    ),
    "a hair larger": ({"sketch": png_of(16, 17)}, "16 x 17 pixels, expected 16 x 16"),
    "image too large": ({"image": jpeg(16, 17)}, "16 x 17 pixels, expected 16 x 16"),
    "a PNG for the image": ({"image": png_of(16, 16)}, "cannot be decoded"),
    "a TIFF for a sketch": ({"sketch": b"II*\0" + bytes(500)}, "cannot be decoded"),
    "another format that OpenCV reads": ({"sketch": b"P5 40000 40000 255\n"}, "cannot be decoded"),
    "many sizes": (
        {"sketch": png_of(30_000, 30_000), "fit": "keep"},
        "30000 x 30000 pixels, expected 16 x 16",
    ),
    "an image of many sizes": (
        {"image": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3" + bytes(9), "fit": "keep"},
        "65535 x 65535 pixels, expected at most",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_the_trainings_reader_decodes_nothing_that_is_not_as_the_manifest_says(tmp_path, monkeypatch, name):
    changes, message = BOMBS[name]
    folder = shards_with(tmp_path / "out", **changes)
    imdecode = cv2.imdecode

    def watched(data, how):
        assert bytes(data[:200]) not in [
            bytes(value[:200]) for value in changes.values() if isinstance(value, bytes)
        ]
        return imdecode(data, how)

    def watched_by_verify(data):
        assert stored_size(data) in (None, (16, 16)) or "fit" in changes and "image" in changes
        return data

    monkeypatch.setattr(cv2, "imdecode", watched)
    with pytest.raises(SketchforgeError) as error:
        read_one(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    # `verify` tells it, too, and decodes it as little.
    monkeypatch.setattr(
        check_shard, "decode_image", lambda data, *how: decode_image(watched_by_verify(data), *how)
    )
    assert any(
        what.startswith(f"00000.tar: k.{'jpg' if 'image' in changes else 'sketch1.png'}: ")
        for what in verify(folder).problems
    )


def test_what_opencv_raises_is_one_line(tmp_path, monkeypatch):
    folder = shards_with(tmp_path / "out")

    def raises(*_):
        raise cv2.error("a page of C++")

    monkeypatch.setattr(cv2, "imdecode", raises)
    with pytest.raises(SketchforgeError, match="k.jpg: cannot be decoded"):
        read_one(folder)


@pytest.mark.parametrize("fit", ["crop", "keep"])
def test_members_beyond_any_measure_are_not_read(tmp_path, monkeypatch, fit):
    """A hole, which costs nothing on the disk, larger than a member may be: of half a gigabyte an eighth."""
    bound = schema.most_bytes
    monkeypatch.setattr(schema, "most_bytes", lambda side: bound(side) >> (3 if side is None else 0))
    folder = shards_with(tmp_path / "out", fit=fit)
    path = folder / "00000.tar"
    data = bytearray(path.read_bytes())
    info = tarfile.TarInfo("k.sketch1.png")
    info.size = (75 if fit == "keep" else 100) << 20
    with tarfile.open(path) as tar:
        at = tar.getmember("k.sketch1.png").offset
    path.write_bytes(data[:at] + info.tobuf(tarfile.USTAR_FORMAT))
    os.truncate(path, at + 512 + info.size + 1024)
    _agree(folder)
    tracemalloc.start()
    with pytest.raises(SketchforgeError, match=f"{info.size:,} bytes, expected at most"):
        read_one(folder)
    problems = verify(folder).problems
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any("k.sketch1.png: too large" in problem for problem in problems)
    assert peak < 64 << 20


# Tars.


def header(kind: bytes, data: bytes, size: int | None = None) -> bytes:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(data) if size is None else size
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def _file(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return b"%d %s=%s\n" % (length, key, value)


END = bytes(1024)
LONG = b"v" * (MAX_HEADERS // 2)
TARS = {
    "pax": header(b"x", record(b"comment", LONG * 3)) + _file("a.jpg", b"x") + END,
    "pax, cut": header(b"x", b"", size=2 << 30) + END,
    "GNU's long name": header(b"L", b"n" * 3 * MAX_HEADERS) + _file("a.jpg", b"x") + END,
    "GNU's long link": header(b"K", b"n" * 3 * MAX_HEADERS) + _file("a.jpg", b"x") + END,
    "one after another": header(b"x", record(b"comment", b"v")) * 3000 + _file("a.jpg", b"x") + END,
    "all that follow": b"".join(
        header(b"g", record(b"k%d" % n, LONG)) + _file(f"{n}.jpg", b"x") for n in range(4)
    )
    + END,
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", TARS)
def test_extended_headers_have_a_limit(tmp_path, name, packed):
    data = TARS[name]
    for walk in (members, any_members):
        with pytest.raises(tarfile.TarError):
            list(walk(io.BytesIO(data)))
    path = tmp_path / ("a.tgz" if packed else "a.tar")
    whole = _file("first.jpg", b"first") + _file("last.jpg", b"last") + data
    path.write_bytes(gzip.compress(whole, 1) if packed else whole)
    tracemalloc.start()
    images = find_images(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images[0].key == "first", "what came before it counts"
    assert images[-1].image.reason is not None, "and the tar is counted as damaged"
    assert peak < 32 * MAX_HEADERS, "copies that tarfile makes of one header, no more"


def test_a_size_below_nothing_does_not_go_round_in_circles():
    info = tarfile.TarInfo("a.jpg")
    data = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    data[124:136] = b"\xff" * 10 + b"\xfe\x00"  # GNU's binary numbers: -512
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + sum(data[156:512]) + 8 * 32)
    for walk in (members, any_members):
        with pytest.raises(tarfile.TarError):
            list(walk(io.BytesIO(bytes(data) + _file("b.jpg", b"x") + END)))


def test_ordinary_extended_headers_pass():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(20):
            info = tarfile.TarInfo(f"{'n' * 150}{number}.jpg")
            info.pax_headers = {"comment": "x" * 1000, "SCHILY.xattr.user.a": "y" * 10_000}
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    found = list(members(buffer))
    assert len(found) == 20
    assert all(member.is_plain for member in found)
    assert {buffer.getvalue()[member.offset : member.offset + member.size] for member in found} == {b"abc"}
