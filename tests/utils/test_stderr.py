"""What C libraries print while they decode: kept with the image that it is about, and out of the progress bar."""

import io
import os
import threading

import numpy as np
import pytest
from PIL import Image

from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.source import ByteSource
from sketchforge.render.prepare import prepare
from sketchforge.utils.stderr import MAX_LENGTH, captured_stderr, one_line, open_stderr
from tests.helpers.commands import run_cli
from tests.helpers.folders import lines
from tests.helpers.photos import make_photos, scene


def damaged_tiff() -> bytes:
    """LZW data that libtiff complains of, by printing."""
    buffer = io.BytesIO()
    Image.fromarray(scene(1, 64, 64)).save(buffer, "TIFF", compression="tiff_lzw")
    data = bytearray(buffer.getvalue())
    data[40:1000] = np.random.default_rng(0).bytes(960)
    return bytes(data)


def write(text: bytes) -> None:
    """As a C library does, past sys.stderr."""
    os.write(2, text)


def test_a_damaged_image_keeps_what_its_decoder_printed(capfd):
    data = damaged_tiff()
    prepared = prepare(ImageSource("a", "a.tif", ByteSource(len(data), data=data)), 32, "crop")
    assert prepared.reason == "unreadable"
    assert "not yet in table" in prepared.note
    assert "\n" not in prepared.note
    assert capfd.readouterr().err == ""


def test_it_is_in_the_sidecar_and_not_on_the_terminal(tmp_path):
    make_photos(tmp_path / "in", 1)
    (tmp_path / "in" / "torn.tif").write_bytes(damaged_tiff())
    done = run_cli(
        "render", "--method", "canny", "--size", 32, "--images", tmp_path / "in", "--shards", tmp_path / "out"
    )
    assert done.returncode == 0
    assert "in table" not in done.stderr
    notes = {line["source"]: line.get("note") for line in lines(tmp_path / "out")}
    assert notes["p000.jpg"] is None
    assert "in table" in notes["torn.tif"]


def test_what_is_printed_about_a_sound_image_is_dropped(monkeypatch, capfd):
    from sketchforge.render import prepare as module

    decode = module.decode_image
    monkeypatch.setattr(module, "decode_image", lambda data, frame: write(b"unknown tag\n") or decode(data))
    data = b"P6\n16 16\n255\n" + bytes(768)
    prepared = prepare(ImageSource("a", "a.ppm", ByteSource(len(data), data=data)), 16, "crop")
    assert (prepared.reason, prepared.note, capfd.readouterr().err) == (None, None, "")


def test_later_output_goes_where_it_went_before(capfd):
    with captured_stderr() as printed:
        write(b"inside\n")
    write(b"after\n")
    assert printed.text == "inside"
    assert capfd.readouterr().err == "after\n"


def decode_until(ended, inside, kept):
    """Keep stderr from the moment that `inside` is set until `ended` is."""
    with captured_stderr() as printed:
        inside.set()
        assert ended.wait(60)
    kept.append(printed.text)


def test_a_message_waits_until_another_thread_has_decoded(capfd):
    inside, ended, kept = threading.Event(), threading.Event(), []
    thread = threading.Thread(target=decode_until, args=(ended, inside, kept))
    thread.start()
    assert inside.wait(60)
    ended.set()
    with open_stderr():
        write(b"interrupted\n")
    thread.join(60)
    assert (kept, capfd.readouterr().err) == ([""], "interrupted\n")


def test_a_decoder_that_never_ends_does_not_keep_a_message(monkeypatch):
    monkeypatch.setattr("sketchforge.utils.stderr._WAIT", 0.0)
    inside, ended, kept = threading.Event(), threading.Event(), []
    thread = threading.Thread(target=decode_until, args=(ended, inside, kept))
    thread.start()
    assert inside.wait(60)
    with open_stderr():
        write(b"too early\n")
    ended.set()
    thread.join(60)
    assert kept == ["too early"]


def test_output_without_end_neither_blocks_nor_fills_anything():
    with captured_stderr() as printed:
        with pytest.raises(BlockingIOError):  # which C libraries do not look at
            while True:
                write(b"x" * 4095 + b"\n")
    assert 0 < len(printed.text) <= MAX_LENGTH


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a\nb\n", "a; b"),
        (b"  a \t b\r\n", "a b"),
        (b"\x1b[31mred\x00", "[31mred"),
        (b"TIFFOpen: /home/me/photos/a.tif: no such file", "TIFFOpen: a.tif: no such file"),
        (b"in 'C:\\Users\\me\\a.tif'", "in 'a.tif'"),
        (b"1/2 and/or n/a", "1/2 and/or n/a"),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"warning\n" * 999 + b"error", "; ".join(["warning"] * 21 + ["error"])),
        (b"y" * 999, "y" * (MAX_LENGTH - 1) + "\u2026"),
    ],
)
def test_one_line_of_whatever_was_printed(text, line):
    assert one_line(text) == line
