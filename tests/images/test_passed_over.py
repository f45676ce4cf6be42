"""Nothing vanishes uncounted: what lies beside the images is counted by kind, told, and kept in the manifest."""

import io
import json
import os
import random
import tarfile
from collections import Counter

import pytest

from cli.main import run
from sketchforge.errors import UsageError
from sketchforge.images.sources import describe_passed_over, find_images, keys, search_images, source
from sketchforge.images.sources.passed_over import MAX_ENDINGS, MAX_SHOWN, count_ending
from sketchforge.render.render import render
from sketchforge.shards.manifest import fingerprint_of, read_manifest
from sketchforge.storage.folder import folder_at
from tests.helpers.folders import members
from tests.helpers.photos import make_photos
from tests.helpers.tars import jpeg, options_for, write_tar


def passed_over(source) -> dict[str, int]:
    return search_images(source).passed_over


@pytest.fixture
def without_heif(monkeypatch):
    keys.readable_extensions.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    yield
    monkeypatch.undo()
    keys.readable_extensions.cache_clear()


# Folders.


def test_files_of_other_endings_are_counted_by_ending(tmp_path):
    for name in ("a.jpg", "b.tga", "c.TGA", "d/e.jpg_large", "noext", "f.001", ".hidden.tga", ".git/x.tga"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert passed_over(tmp_path) == {".jpg_large": 1, ".tga": 2, "no ending": 1, "other endings": 1}


def test_captions_and_metadata_count_where_they_belong_to_no_image(tmp_path):
    for name in ("a.jpg", "a.txt", "a.json", "b.txt", "captions/a.txt", "captions/a.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert passed_over(tmp_path) == {".json without an image": 1, ".txt without an image": 2}


def test_a_folder_of_images_alone_passes_nothing_over(tmp_path):
    assert passed_over(make_photos(tmp_path / "in", 3)) == {}


def test_folders_that_sketchforge_wrote_are_counted(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_text('{"format": "sketchforge-shards"}')
    assert passed_over(tmp_path) == {"folders of shards": 1}


def test_heic_is_named_with_the_package_that_reads_it(tmp_path, without_heif):
    for name in ("a.jpg", "b.heic", "c.HEIC"):
        (tmp_path / name).touch()
    counts = passed_over(tmp_path)
    assert counts == {".heic": 2}
    assert describe_passed_over(counts) == "passed over: 2 .heic (pip install pillow-heif reads them)"
    with pytest.raises(UsageError, match="pip install pillow-heif"):
        find_images(tmp_path / "b.heic")


def test_heic_is_an_image_where_the_package_is_there(tmp_path):
    pytest.importorskip("pillow_heif")
    (tmp_path / "b.heic").touch()
    assert [image.key for image in find_images(tmp_path)] == ["b_heic"]


# Links.


def test_folders_that_link_to_each_other_are_read_once(tmp_path):
    for name in range(8):
        (tmp_path / f"f{name}").mkdir()
        (tmp_path / f"f{name}/p.jpg").touch()
        for other in range(8):
            (tmp_path / f"f{name}/to{other}").symlink_to(tmp_path / f"f{other}")
    images, counts = search_images(tmp_path)
    assert [image.source for image in images] == [f"f{name}/p.jpg" for name in range(8)]
    assert counts == {"links to folders read already": 64}
    assert [image.source for image in find_images(f"{tmp_path}/**/*.jpg")] == [
        f"f{n}/p.jpg" for n in range(8)
    ]


def test_the_path_without_links_names_an_image(tmp_path):
    """Whether the link comes before the folder in the listing or after it."""
    (tmp_path / "in/m").mkdir(parents=True)
    (tmp_path / "in/m/p.jpg").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/q.jpg").touch()
    for name, target in (("a", "in/m"), ("z", "in/m"), ("b", "outside"), ("c", "outside")):
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    assert [image.source for image in find_images(tmp_path / "in")] == ["b/q.jpg", "m/p.jpg"]


def test_bad_links_are_failed_images_or_counted_by_their_ending(tmp_path):
    (tmp_path / "a.jpg").touch()
    for name in ("loop.jpg", "loop", "loop.tga"):
        (tmp_path / name).symlink_to(tmp_path / name)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    images, counts = search_images(tmp_path)
    assert [(image.source, image.image.num_bytes) for image in images] == [("a.jpg", 0), ("loop.jpg", -1)]
    assert counts == {"broken links": 3}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_pipes_are_counted_not_opened(tmp_path):
    (tmp_path / "a.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    images, counts = search_images(tmp_path)
    assert [image.source for image in images] == ["a.jpg"]
    assert counts == {"pipes, sockets and devices": 2}


# Tars.


def captions(path) -> dict[str, str | None]:
    found = find_images(path)
    return {image.key: image.caption and image.caption.read().decode() for image in found}


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_captions_are_found_wherever_they_are_in_a_tar(tmp_path, ending):
    names = [f"k{number}" for number in range(5)]
    files = [(f"{name}.json", b"{}") for name in names] + [(f"{name}.jpg", jpeg(1)) for name in names]
    files += [(f"{name}.txt", name.encode()) for name in names]
    path = write_tar(tmp_path / f"a.{ending}", files, "w:gz" if ending == "tar.gz" else "w")
    assert captions(path) == {name: name for name in names}
    assert all(image.metadata.read() == b"{}" and image.read() == jpeg(1) for image in find_images(path))
    assert passed_over(path) == {}


def test_a_gzipped_tar_of_parts_is_unpacked_once_for_each_part(tmp_path, monkeypatch):
    """Images first, then captions, read in turn: not from the beginning again for every image."""
    noise = random.Random(0)
    files = [(f"k{number}.jpg", noise.randbytes(100_000)) for number in range(20)]
    files += [(f"k{number}.txt", b"x") for number in range(20)]
    path = write_tar(tmp_path / "a.tgz", files, "w:gz")
    images = find_images(path)
    num_read = []

    class Counting(io.FileIO):
        def readinto(self, buffer):
            num_read.append(super().readinto(buffer))
            return num_read[-1]

    monkeypatch.setattr(source, "open", lambda path, mode: io.BufferedReader(Counting(path)), raising=False)
    for image in images:
        assert len(image.read()) == 100_000
        assert image.caption.read() == b"x"
    assert sum(num_read) < 2.5 * path.stat().st_size


def test_dotted_names_are_images_of_their_own_where_no_other_claims_the_key(tmp_path):
    files = [
        ("IMG_2020.01.02.jpg", jpeg(1)), ("IMG_2020.01.02.txt", b"own"), ("v1.5_cat.JPG", jpeg(2)), ("v1.txt", b"key"),
        ("plain.jpg", jpeg(3)),
    ]  # fmt: skip
    path = write_tar(tmp_path / "a.tar", files)
    images, counts = search_images(path)
    assert [image.source for image in images] == [
        "a.tar/IMG_2020.01.02.jpg", "a.tar/v1.5_cat.JPG", "a.tar/plain.jpg",
    ]  # fmt: skip
    assert [image.read() for image in images] == [jpeg(1), jpeg(2), jpeg(3)]
    assert list(captions(path).values()) == ["own", "key", None]
    assert all("." not in image.key for image in images)
    assert images[2].key == "plain"
    assert counts == {}
    prefixed = find_images(path, prefix_keys=True)
    assert len({image.key for image in (*images, *prefixed)}) == 6


def test_other_images_of_a_sample_are_counted(tmp_path):
    files = [(f"000.{ending}", jpeg(1)) for ending in ("jpg", "input.jpg", "mask.png", "sketch0.png", "png")]
    path = write_tar(tmp_path / "a.tar", [*files, ("000.cls", b"3"), ("000.txt", b"x"), ("001.jpg", jpeg(2))])
    images, counts = search_images(path)
    assert [image.source for image in images] == ["a.tar/000.jpg", "a.tar/001.jpg"]
    assert counts == {".cls": 1, "further images of samples": 4}


def test_several_dotted_images_of_a_key_are_counted(tmp_path):
    files = [("000.1.jpg", jpeg(1)), ("000.2.jpg", jpeg(2)), ("000.json", b"{}"), ("001.jpg", jpeg(3))]
    images, counts = search_images(write_tar(tmp_path / "a.tar", files))
    assert [image.key for image in images] == ["001"]
    assert counts == {".json without an image": 1, "images whose names share a key": 2}
    assert "2 images whose names share a key (unpack the tar" in describe_passed_over(counts)


def test_a_sketch_alone_is_no_image(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("0.sketch0.png", jpeg(1)), ("1.jpg", jpeg(2))])
    assert passed_over(path) == {"further images of samples": 1}


def test_the_last_of_members_of_one_name_counts(tmp_path):
    files = [("0.jpg", jpeg(1)), ("0.txt", b"old"), ("1.jpg", jpeg(2)), ("0.jpg", jpeg(3)), ("0.txt", b"new")]
    path = write_tar(tmp_path / "a.tar", files)
    images, counts = search_images(path)
    assert [(image.key, image.read()) for image in images] == [("0", jpeg(3)), ("1", jpeg(2))]
    assert captions(path)["0"] == "new"
    assert counts == {"members replaced by later ones of the same name": 2}


def test_members_that_are_no_files_are_counted(tmp_path):
    path = write_tar(
        tmp_path / "a.tar", [("0.jpg", jpeg(1)), ("readme", b""), ("notes.md", b""), ("._0.jpg", b"")]
    )
    with tarfile.open(path, "a") as tar:
        for name, kind in (
            ("d", tarfile.DIRTYPE), ("s.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE), ("p.jpg", tarfile.FIFOTYPE),
            ("c.jpg", tarfile.CHRTYPE), ("b.jpg", tarfile.BLKTYPE), ("z.jpg", tarfile.GNUTYPE_SPARSE),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "0.jpg"
            tar.addfile(info, io.BytesIO())
    images, counts = search_images(path)
    assert [image.key for image in images] == ["0"]
    assert counts == {
        ".md": 1, "links in tars": 2, "no ending": 1, "pipes, sockets and devices": 3, "sparse members": 1,
    }  # fmt: skip


# Lists and patterns.


def test_a_pattern_counts_what_is_neither_image_nor_tar(tmp_path):
    for name in ("a.jpg", "a.txt", "b.tga", "more/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    images, counts = search_images(f"{tmp_path}/*")
    assert [image.source for image in images] == ["a.jpg"]
    assert counts == {".tga": 1, ".txt": 1, "folders that a pattern matches": 1}


# The counts themselves.


def test_endings_are_bounded_in_number_and_length():
    counts = Counter()
    for number in range(3 * MAX_ENDINGS):
        count_ending(counts, f"x{number}")
    for ending in ("2019", "a" * 40, "b c", "\n", "é"):
        count_ending(counts, ending)
    assert len(counts) == MAX_ENDINGS + 1
    assert sum(counts.values()) == 3 * MAX_ENDINGS + 5


def test_the_line_begins_with_the_largest_count_and_has_an_end():
    counts = {f".e{number:02d}": number for number in range(1, MAX_SHOWN + 4)}
    line = describe_passed_over(counts)
    assert line.startswith(f"passed over: {MAX_SHOWN + 3} .e{MAX_SHOWN + 3}, ")
    assert line.endswith(f", {1 + 2 + 3} of 3 other kinds")
    assert describe_passed_over({}) == ""
    assert describe_passed_over({"broken links": 1}) == "passed over: 1 broken link"


# From `render` to `inspect`.


@pytest.fixture
def mixed(tmp_path):
    folder = make_photos(tmp_path / "in", 3)
    (folder / "x.tga").touch()
    (folder / "lost.txt").touch()
    return folder


def test_a_rendering_tells_and_keeps_what_was_passed_over(mixed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    line = "passed over: 1 .tga, 1 .txt without an image"
    words = [
        "render",
        "--images",
        str(mixed),
        "--shards",
        str(tmp_path / "out"),
        "--method",
        "canny",
        "--size",
        "32",
    ]
    assert run([*words, "--dry-run"]) == 0
    assert line in capsys.readouterr().out.splitlines()
    assert run([*words, "--workers", "1"]) == 0
    assert line in capsys.readouterr().out.splitlines()
    assert read_manifest(folder_at(tmp_path / "out"))["passed_over"] == {
        ".tga": 1,
        ".txt without an image": 1,
    }
    assert run(["inspect", str(tmp_path / "out")]) == 0
    assert "not read  1 .tga, 1 .txt without an image" in capsys.readouterr().out.splitlines()


def test_what_is_passed_over_decides_no_bytes(mixed, tmp_path):
    """Another file beside the images lets a rendering continue, and its shards are the same."""
    render(options_for(mixed, tmp_path / "one"))
    before = read_manifest(folder_at(tmp_path / "one"))
    (mixed / "y.tga").touch()
    assert render(options_for(mixed, tmp_path / "one")).num_images == 0
    render(options_for(mixed, tmp_path / "two"))
    assert members(tmp_path / "two") == members(tmp_path / "one")
    after = read_manifest(folder_at(tmp_path / "two"))
    assert after["passed_over"] != before["passed_over"]
    assert fingerprint_of(after) == fingerprint_of(before)


def test_a_manifest_with_other_counts_than_numbers_is_damaged(mixed, tmp_path):
    from sketchforge.errors import SketchforgeError
    from sketchforge.shards.manifest import write_manifest

    render(options_for(mixed, tmp_path / "out"))
    manifest = read_manifest(folder_at(tmp_path / "out"))
    del manifest["checksum"]
    for value in ({".tga": "many"}, ["x"], None):
        write_manifest(folder_at(tmp_path / "out"), manifest | {"passed_over": json.loads(json.dumps(value))})
        with pytest.raises(SketchforgeError, match="passed_over"):
            read_manifest(folder_at(tmp_path / "out"))


def test_a_tom_training_tells_what_was_passed_over(mixed, few_drawings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["tom-train", "--images", str(mixed), "--run", str(tmp_path / "run"), "--dry-run"]
    assert run(words) == 0
    assert "passed over: 1 .tga, 1 .txt without an image" in capsys.readouterr().out.splitlines()


def test_a_caption_beyond_any_measure_is_left_out_with_a_note(tmp_path):
    from sketchforge.options import RenderOptions
    from sketchforge.render.render import render
    from tests.helpers.folders import lines

    make_photos(tmp_path / "in", 1)
    (tmp_path / "in" / "p000.txt").write_bytes(b"a" * ((1 << 20) + 1))
    render(RenderOptions(tmp_path / "out", tmp_path / "in", method="canny", size=32, workers=1))
    (line,) = lines(tmp_path / "out")
    assert line["status"] == "ok"
    assert line["note"] == "caption left out: unreadable"


def test_metadata_beyond_any_measure_is_left_out_with_a_note(tmp_path):
    from sketchforge.options import RenderOptions
    from sketchforge.render.render import render
    from tests.helpers.folders import lines, members

    make_photos(tmp_path / "in", 1)
    with open(tmp_path / "in" / "p000.json", "wb") as file:
        file.write(b'{"a": 1}')
        file.truncate((16 << 20) + 1)
    render(RenderOptions(tmp_path / "out", tmp_path / "in", method="canny", size=32, workers=1))
    (line,) = lines(tmp_path / "out")
    assert (line["status"], line["note"]) == ("ok", "metadata left out: more than 16 MiB")
    assert json.loads(members(tmp_path / "out")["p000.json"])["meta"] == "{}"
