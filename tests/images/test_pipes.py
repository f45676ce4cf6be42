"""Pipes, sockets and devices among the inputs: nobody may ever write to them, so nothing waits for them."""

import os
import socket

import pytest

from sketchforge.images.decode import NOT_A_FILE, ImageError, read_image
from sketchforge.images.sources.passed_over import SPECIAL_FILES
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.manifest import read_manifest
from sketchforge.storage.folder import folder_at
from sketchforge.utils.files import open_file
from tests.helpers.commands import run_cli
from tests.helpers.folders import lines
from tests.helpers.photos import make_photos

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")


def drawn(images, shards, **more):
    options = RenderOptions(shards, images, method="canny", size=32, workers=1, timeout=30, **more)
    render(options)
    return {line["source"]: line for line in lines(shards)}


def test_what_is_no_file_fails_at_once_with_a_reason_of_its_own(tmp_path, monkeypatch):
    make_photos(tmp_path, 1)
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
    names = ["pipe.jpg", "socket.jpg", "p000.jpg"]
    (tmp_path / "all.txt").write_text("\n".join(names))
    reasons = {name: line["reason"] for name, line in drawn(tmp_path / "all.txt", tmp_path / "out").items()}
    assert reasons == dict.fromkeys(names[:2], NOT_A_FILE) | {"p000.jpg": None}


def test_a_device_is_no_image():
    with pytest.raises(ImageError) as error:
        read_image("/dev/null")
    assert error.value.reason == NOT_A_FILE


@pytest.mark.parametrize("name", ["linked.jpg", "p000.txt", "p000.json"])
def test_a_link_to_a_pipe_is_passed_over_and_counted(tmp_path, name):
    make_photos(tmp_path / "in", 1)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "in" / name).symlink_to(tmp_path / "pipe")
    found = drawn(tmp_path / "in", tmp_path / "out")
    assert {source: line["reason"] for source, line in found.items()} == {"p000.jpg": None}
    assert read_manifest(folder_at(tmp_path / "out"))["passed_over"] == {SPECIAL_FILES: 1}


@pytest.mark.parametrize("name", ["manifest.json", "a.jpg", "b"])
def test_finding_images_passes_by_a_pipe(tmp_path, name):
    make_photos(tmp_path / "in", 2)
    os.mkfifo(tmp_path / "in" / name)
    done = run_cli(
        "render", "--dry-run", "--method", "canny", "--images", tmp_path / "in", "--shards", tmp_path / "out"
    )
    assert done.returncode == 0
    assert "2 images" in done.stdout


def test_a_pipe_under_a_tars_name_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    done = run_cli(
        "render", "--method", "canny", "--images", tmp_path / "a.tar", "--shards", tmp_path / "out"
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/a.tar: cannot be read (not a file)\n"


def test_a_file_opens_like_any_other(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with open_file(tmp_path / "a") as file:
        assert file.read() == b"abc"
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "b")
