"""Frames of animated images and videos: which are taken, what they are called, and what becomes of bad files."""

import dataclasses
import hashlib
import io
import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image

import sketchforge
from sketchforge.errors import UsageError
from sketchforge.images import frames as frames_module
from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.frames import choose_frames, count_animation, count_video, read_video_frame
from sketchforge.images.sources.keys import MAX_KEY, frame_key, image_key
from sketchforge.options import RenderOptions
from sketchforge.render.plan import plan_render
from sketchforge.render.prepare import prepare
from sketchforge.render.render import render
from sketchforge.shards.verify import verify
from tests.helpers.folders import contents, lines, members
from tests.helpers.photos import scene
from tests.helpers.tars import write_tar

LEVELS = [20 * number for number in range(12)]


def animation(form: str, count: int = 12) -> bytes:
    """Frames of one grey each, 20 lighter from one to the next."""
    images = [Image.new("RGB", (40, 30), (level,) * 3) for level in LEVELS[:count]]
    buffer = io.BytesIO()
    more = {"lossless": True} if form == "WEBP" else {}
    images[0].save(buffer, form, save_all=True, append_images=images[1:], duration=50, **more)
    return buffer.getvalue()


def write_video(path, count: int = 12):
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"MJPG" if path.suffix == ".avi" else "mp4v"), 10, (64, 48)
    )
    for level in LEVELS[:count]:
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """An animation of twelve frames, a video of twelve, a GIF of one frame and a photo; never written to."""
    folder = tmp_path_factory.mktemp("moving")
    (folder / "walk.gif").write_bytes(animation("GIF"))
    (folder / "one.gif").write_bytes(animation("GIF", 1))
    Image.fromarray(scene(1, 40, 50)).save(folder / "photo.jpg")
    write_video(folder / "clip.mp4")
    return folder


def options_for(images, out, **more) -> RenderOptions:
    return RenderOptions(
        out, images, **{"method": "canny", "size": 32, "samples_per_shard": 4, "workers": 1} | more
    )


@pytest.mark.parametrize("num_frames", [1, 2, 9, 10, 11, 1000])
@pytest.mark.parametrize("most", [1, 3, 10])
def test_frames_are_the_middles_of_equal_parts(num_frames, most):
    chosen = choose_frames(num_frames, most)
    assert len(chosen) == min(num_frames, most)
    assert chosen == sorted(set(chosen))
    assert 0 <= chosen[0] and chosen[-1] < num_frames
    # As seen from behind they are the same, but for the rounding of a half.
    mirrored = [num_frames - 1 - frame for frame in reversed(chosen)]
    assert max(abs(a - b) for a, b in zip(chosen, mirrored, strict=True)) <= 1


def test_two_of_ten_frames():
    assert choose_frames(10, 2) == [2, 7]
    assert choose_frames(3, 5) == [0, 1, 2]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_a_frame_of_an_animation_shows_what_it_is(form):
    data = animation(form)
    assert count_animation(data) == 12
    for frame in (0, 5, 11):
        pixels = decode_image(data, frame=frame).pixels
        assert abs(float(pixels.mean()) - LEVELS[frame]) < 3
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data, frame=12)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv"])
def test_a_frame_of_a_video_shows_what_it_is(tmp_path, name):
    path = str(write_video(tmp_path / name))
    assert count_video(path) == 12
    for frame in (11, 0, 5):
        pixels = read_video_frame(path, frame)
        assert pixels.shape == (48, 64, 3)
        assert abs(float(pixels.mean()) - LEVELS[frame]) < 6
    with pytest.raises(ImageError, match="truncated"):
        read_video_frame(path, 12)


def test_colours_of_a_video_are_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 200), np.uint8))  # OpenCV's order
    writer.release()
    red, green, blue = read_video_frame(str(tmp_path / "red.avi"), 1).reshape(-1, 3).mean(0)
    assert red > 150 > 60 > max(green, blue)


def test_every_frame_is_a_sample_and_stills_stay_what_they_are(moving, tmp_path):
    render(options_for(moving, tmp_path / "stills"))
    render(options_for(moving, tmp_path / "out", frames=3))
    assert verify(tmp_path / "out").problems == []
    found = {line["key"]: line["source"] for line in lines(tmp_path / "out")}
    assert found == {
        **{f"clip_mp4-f{number:04d}": "clip.mp4" for number in (3, 7, 11)},
        **{f"walk_gif-f{number:04d}": "walk.gif" for number in (3, 7, 11)},
        "one_gif": "one.gif",
        "photo": "photo.jpg",
    }
    stored = {name: data for number in range(2) for name, data in members(tmp_path / "out", number).items()}
    for key in ("one_gif", "photo"):
        for ending in ("jpg", "sketch0.png", "json"):
            assert stored[f"{key}.{ending}"] == members(tmp_path / "stills")[f"{key}.{ending}"]
    for key, level in (("clip_mp4-f0007", LEVELS[6]), ("walk_gif-f0011", LEVELS[10])):
        assert abs(decode_image(stored[f"{key}.jpg"]).pixels.mean() - level) < 6
    metadata = json.loads(stored["clip_mp4-f0007.json"])
    assert metadata["sha256"] == hashlib.sha256((moving / "clip.mp4").read_bytes()).hexdigest()


def test_without_the_option_nothing_has_changed(moving):
    plan = plan_render(options_for(moving, moving / "out"))
    assert [key for key, _ in plan.images.names()] == ["one_gif", "photo", "walk_gif"]
    assert plan.passed_over == {".mp4": 1}


def test_a_frame_has_the_same_key_whatever_else_is_taken(moving):
    keys = {
        most: {key for key, _ in plan_render(options_for(moving, moving / "o", frames=most)).images.names()}
        for most in (1, 3, 12, 99)
    }
    assert keys[12] == keys[99]
    assert keys[1] < keys[3] < keys[12]
    assert len(keys[12]) == 26


def test_names_of_videos_and_of_images_give_different_keys():
    names = [
        "clip.mp4",
        "clip_mp4.jpg",
        "clip.jpg",
        "my clip.mp4",
        "my_clip.mp4",
        "a/clip.mov",
        "a__clip.mov",
    ]
    keys = [frame_key(image_key(name), 1) if not name.endswith("jpg") else image_key(name) for name in names]
    assert len(set(keys)) == len(names)
    assert keys[0] == "clip_mp4-f0001"
    long = frame_key("k" * 80, 123456)
    assert len(long) == MAX_KEY
    assert long.endswith("-f123456")
    assert long != frame_key("k" * 79 + "l", 123456)


def test_frames_in_a_tar_and_in_a_list_are_taken(moving, tmp_path):
    write_tar(tmp_path / "in.tar", [("walk.gif", (moving / "walk.gif").read_bytes())])
    plan = plan_render(options_for(tmp_path / "in.tar", tmp_path / "out", frames=2))
    assert [key for key, _ in plan.images.names()] == ["walk-f0004", "walk-f0010"]
    (tmp_path / "list.txt").write_text(f"{moving / 'clip.mp4'}\n")
    plan = plan_render(options_for(tmp_path / "list.txt", tmp_path / "out", frames=2))
    assert [image.frame for image in plan.images] == [3, 9]


def test_a_frame_with_the_key_of_another_image_is_refused(moving, tmp_path):
    (tmp_path / "walk.gif").write_bytes((moving / "walk.gif").read_bytes())
    Image.fromarray(scene(1, 40, 50)).save(tmp_path / "walk_gif-f0007.jpg")
    with pytest.raises(UsageError, match="has the same key as"):
        plan_render(options_for(tmp_path, tmp_path / "out", frames=1))


def test_bad_files_are_a_line_each_and_the_others_go_on(moving, tmp_path):
    images = tmp_path / "in"
    images.mkdir()
    video = (moving / "clip.mp4").read_bytes()
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{moving / 'clip.mp4'}\n#EXT-X-ENDLIST\n"
    files = {
        "empty.mp4": b"",
        "playlist.mp4": playlist.encode(),
        "cut.mp4": video[: len(video) // 3],
        "noise.mkv": b"\x1a\x45\xdf\xa3" + np.random.default_rng(0).bytes(4000),
        "cut.gif": animation("GIF")[:60],
        "good.gif": animation("GIF"),
    }
    for name, data in files.items():
        (images / name).write_bytes(data)
    summary = render(options_for(images, tmp_path / "out", frames=2))
    reasons = {line["source"]: line["reason"] for line in lines(tmp_path / "out")}
    assert reasons == {
        "empty.mp4": "empty",
        "playlist.mp4": "not an image",
        "cut.mp4": "unreadable",
        "noise.mkv": "unreadable",
        "cut.gif": "truncated",
        "good.gif": None,
    }
    assert (summary.outcomes["ok"], summary.num_failed) == (2, 5)


def test_no_demuxer_that_opens_other_files_is_allowed(moving, tmp_path, monkeypatch):
    """Beside the first bytes, FFmpeg itself is told: a playlist that begins like a container is no video."""
    monkeypatch.setattr(frames_module, "_CONTAINERS", ((0, (b"",)),))
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{moving / 'clip.mp4'}\n#EXT-X-ENDLIST\n"
    )
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "a;b")
    with pytest.raises(ImageError, match="unreadable"):
        count_video(str(tmp_path / "list.m3u8"))
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "a;b"


def test_frames_larger_than_any_image_may_be_are_not_decoded(moving, monkeypatch):
    monkeypatch.setattr(frames_module, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match="too large"):
        read_video_frame(str(moving / "clip.mp4"), 0)


def test_a_video_that_changes_after_it_was_found_is_not_drawn(tmp_path):
    write_video(tmp_path / "clip.avi")
    image = plan_render(options_for(tmp_path / "clip.avi", tmp_path / "out", frames=1)).images[0]
    assert prepare(image, 32, "crop").reason is None
    write_video(tmp_path / "clip.avi", 5)
    assert prepare(image, 32, "crop").reason == "changed"
    (tmp_path / "clip.avi").unlink()
    assert prepare(image, 32, "crop").reason == "gone"


def test_frames_have_the_caption_and_the_class_of_their_file(moving, tmp_path):
    folder = tmp_path / "in" / "walks"
    folder.mkdir(parents=True)
    (folder / "walk.gif").write_bytes((moving / "walk.gif").read_bytes())
    (folder / "walk.txt").write_text("a walk")
    render(options_for(tmp_path / "in", tmp_path / "out", frames=2, labels="folder", masks="alpha"))
    stored = members(tmp_path / "out")
    assert {stored[f"walks__walk_gif-f{number:04d}.txt"] for number in (4, 10)} == {b"a walk"}
    assert {stored[f"walks__walk_gif-f{number:04d}.cls"] for number in (4, 10)} == {b"0"}


def test_the_same_again_does_nothing_and_another_number_is_refused(moving, tmp_path):
    options = options_for(moving, tmp_path / "out", frames=2)
    render(options)
    before = contents(tmp_path / "out")
    assert render(dataclasses.replace(options, check_digests=True)).num_images == 0
    assert contents(tmp_path / "out") == before
    with pytest.raises(UsageError, match="--frames 2, now 3"):
        render(dataclasses.replace(options, frames=3))


def test_python_takes_the_option(moving, tmp_path):
    summary = sketchforge.render(
        moving / "walk.gif", tmp_path / "out", method="canny", size=32, workers=1, frames=4
    )
    assert summary.outcomes["ok"] == 4
