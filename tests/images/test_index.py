"""An index of images: it stands for the folder or the tars it was made of, as long as they are unchanged."""

import json
import os
import shutil

import pytest

from cli.main import run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources import find_images, keys, search_images
from sketchforge.images.sources.index_file import read_index
from sketchforge.images.sources.make_index import make_index
from sketchforge.render.plan import plan_render
from sketchforge.render.render import render
from tests.helpers.photos import make_photos
from tests.helpers.recorded_progress import RecordedProgress
from tests.helpers.tars import jpeg, options_for, write_tar


def make_tars(folder, count=3):
    """Tars with captions, metadata, what is passed over, a damaged one and a gzipped one."""
    folder.mkdir()
    for number in range(count):
        write_tar(folder / f"{number:05}.tar", samples(number))
    write_tar(folder / "00003.tar", samples(3))
    (folder / "00003.tar").write_bytes((folder / "00003.tar").read_bytes()[:3000])
    write_tar(folder / "00004.tar.gz", samples(4), "w:gz")
    return folder


def samples(number):
    files = []
    for place in range(3):
        key = f"{number}/{place}"
        files += [(f"{key}.jpg", jpeg(number * 10 + place)), (f"{key}.strange", b"?")]
        files += [(f"{key}.txt", b"a caption"), (f"{key}.json", b"{}")] if place else []
    return files


def make_tree(folder):
    make_photos(folder, 3)
    make_photos(folder / "deep" / "er", 2)
    (folder / "p001.txt").write_text("a caption")
    (folder / "alone.txt").write_text("no image")
    return folder


@pytest.fixture
def tars(tmp_path):
    return make_tars(tmp_path / "tars")


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


def found_by(source, prefix_keys=False):
    images, passed_over = search_images(source, prefix_keys)
    return list(images), passed_over


@pytest.mark.parametrize("prefix_keys", [False, True])
def test_the_images_of_tars_are_those_of_their_headers(tars, prefix_keys):
    before = found_by(f"{tars}/*", prefix_keys)
    make_index(f"{tars}/*", prefix_keys=prefix_keys)
    assert found_by(f"{tars}/*", prefix_keys) == before
    assert len(before[0]) > 10


def test_the_images_of_a_folder_are_those_of_its_files(tree):
    before = found_by(tree)
    make_index(tree)
    assert found_by(tree) == before
    assert before[1] == {".txt without an image": 1}


def test_the_images_of_a_list_of_tars_are_those_of_its_lines(tars):
    (tars / "list.txt").write_text("00002.tar\n00000.tar\n")
    before = found_by(tars / "list.txt")
    make_index(tars / "list.txt")
    assert found_by(tars / "list.txt") == before


def test_no_header_is_read_again(tars, monkeypatch):
    make_index(f"{tars}/*")
    monkeypatch.setattr("sketchforge.images.sources.find.images_in_tar", None)
    assert len(find_images(f"{tars}/*")) > 10


@pytest.mark.parametrize("more", [{}, {"shuffle_seed": 3, "limit": 9}, {"split": "train=.6,test=.4"}])
def test_a_rendering_from_an_index_is_planned_and_described_alike(tars, tmp_path, more):
    options = options_for(f"{tars}/*", tmp_path / "out", **more)
    before = plan_render(options)
    make_index(f"{tars}/*")
    after = plan_render(options)
    assert [list(shard.inputs) for shard in after.shards] == [list(shard.inputs) for shard in before.shards]
    assert (after.splits, after.captioned) == (before.splits, before.captioned)


def test_classes_and_masks_are_those_of_the_same_images(tree, tmp_path):
    animals = make_tree(tree / "animals")
    shutil.move(animals, tmp_path / "in" / "animals")
    make_photos(tmp_path / "masks" / "animals", 2)
    options = options_for(
        tmp_path / "in",
        tmp_path / "out",
        labels="folder",
        masks=str(tmp_path / "masks"),
        shuffle_seed=1,
        limit=4,
    )
    before = plan_render(options)
    make_index(tmp_path / "in")
    after = plan_render(options)
    assert list(after.images) == list(before.images)
    assert after.labels == before.labels


def test_making_an_index_tells_of_each_tar_and_the_images_so_far(tars):
    progress = RecordedProgress()
    make_index(f"{tars}/*", progress=progress)
    assert progress.begun == [("tar", 5, 0)]
    assert [figures["found"] for figures in progress.figures] == [
        "3 images",
        "6 images",
        "9 images",
        "11 images",
        "14 images",
    ]


def test_planning_without_an_index_tells_of_each_tar(tars):
    progress = RecordedProgress()
    search_images(f"{tars}/*", progress=progress)
    assert (progress.begun, len(progress.figures)) == ([("tar", 5, 0)], 5)


def test_a_folder_rendered_without_an_index_goes_on_with_it_and_has_the_same_bytes(tars, tmp_path):
    plain, indexed = (options_for(f"{tars}/*", tmp_path / name) for name in ("plain", "indexed"))
    render(plain)
    shutil.copytree(plain.shards, indexed.shards)
    (indexed.shards / "00001.tar").unlink()
    make_index(f"{tars}/*")
    assert render(indexed).num_kept == 3, "of 4 shards"
    for path in plain.shards.iterdir():
        if not path.name.endswith(".stats.json"):  # they say how long it took
            assert (indexed.shards / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_index_is_none_of_the_files_that_it_lies_among(tree, tars):
    for source in (tree, f"{tars}/*"):
        make_index(source)
        first = found_by(source)
        make_index(source)
        assert found_by(source) == first


def test_the_same_index_again_has_the_same_bytes_with_any_number_of_processes(
    tars, tmp_path, worker_processes
):
    files = [tmp_path / f"{name}.index" for name in ("first", "second")]
    for workers, file in zip((1, 2), files, strict=True):
        make_index(f"{tars}/*", file, workers=workers)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_index_elsewhere_is_named_by_its_path(tars, tmp_path):
    before = found_by(f"{tars}/*")
    make_index(f"{tars}/*", tmp_path / "far" / "all.index")
    assert found_by(tmp_path / "far" / "all.index") == before


def test_an_index_moves_with_its_folder(tars, tmp_path):
    make_index(f"{tars}/*")
    tars.rename(tmp_path / "moved")
    images = find_images(tmp_path / "moved" / "sketchforge.index")
    assert images[0].read() == jpeg(0)


def test_tars_are_taken_from_an_index_of_more_in_the_order_they_are_named(tars):
    source = f"{tars}/{{00002,00000}}.tar"
    before = found_by(source)
    make_index(f"{tars}/*")
    assert found_by(source) == before


def test_what_was_used_is_said_in_one_line(tars):
    make_index(f"{tars}/0000[012].tar")
    progress = RecordedProgress()
    search_images(f"{tars}/0000[012].tar", progress=progress)
    assert progress.notes == [f"9 images in 3 tars by the index {tars}/sketchforge.index"]


def grow(path):
    path.write_bytes(path.read_bytes() + b"\0" * 512)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("00001.tar", grow, "has changed"),
        ("00001.tar", lambda path: os.utime(path, ns=(1, 1)), "has changed"),
        ("00001.tar", lambda path: path.unlink(), "is gone"),
        ("00009.tar", lambda path: shutil.copy(path.with_name("00001.tar"), path), "is new"),
    ],
)
def test_a_tar_that_changed_is_named_with_the_command_that_helps(tars, name, change, says):
    make_index(f"{tars}/*")
    change(tars / name)
    message = (
        rf"{name}: {says} since .*sketchforge\.index was made; run `sketchforge index '.*/tars/\*'` again"
    )
    with pytest.raises(UsageError, match=message):
        find_images(f"{tars}/*")


def test_a_tar_that_is_gone_is_named_where_it_was_meant_and_nowhere_else(tars):
    make_index(f"{tars}/*")
    (tars / "00001.tar").unlink()
    with pytest.raises(UsageError, match=r"00001\.tar: is gone since"):
        find_images(f"{tars}/0000[12].tar")
    assert len(find_images(f"{tars}/0000[02].tar")) == 6


def test_a_tar_that_the_index_was_not_made_of_is_named_with_the_command_that_helps(tars):
    make_index(tars / "00001.tar")
    message = (
        r"00000\.tar: is not in .*sketchforge\.index, made of .*00001\.tar; run `sketchforge index '.*\*'`"
    )
    with pytest.raises(UsageError, match=message):
        find_images(f"{tars}/*")


def point_elsewhere(path):
    path.unlink()
    path.symlink_to("er", target_is_directory=True)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("p001.jpg", grow, "p001.jpg: has changed"),
        ("p001.txt", grow, "p001.txt: has changed"),
        ("deep/er/p001.jpg", lambda path: path.unlink(), "deep/er/: holds other files"),
        ("deep/new.jpg", lambda path: path.write_bytes(jpeg(1)), "deep/: holds other files"),
        ("p002.txt", lambda path: path.write_text("new"), "tree/: holds other files"),
        ("deep", shutil.rmtree, "tree/: holds other files"),
        ("deep/link", point_elsewhere, "deep/: holds other files"),
    ],
)
def test_a_folder_that_changed_is_named_with_the_command_that_helps(tree, name, change, says):
    (tree / "deep" / "link").symlink_to("..", target_is_directory=True)
    make_index(tree)
    change(tree / name)
    with pytest.raises(UsageError, match=rf"{says} since .* was made; run `sketchforge index .*/tree` again"):
        find_images(tree)


def test_a_hidden_file_is_no_change(tree):
    make_index(tree)
    (tree / ".DS_Store").write_bytes(b"?")
    assert len(find_images(tree)) == 5


def test_a_rendering_into_the_folder_of_its_images_is_no_change(tree):
    make_index(tree)
    options = options_for(tree, tree / "out")
    render(options)
    assert render(options).num_kept == 2


def test_an_index_of_tars_is_not_taken_for_one_of_their_folder(tars):
    make_photos(tars, 2)
    make_index(f"{tars}/*.tar")
    assert [image.key for image in find_images(tars)] == ["p000", "p001"]


def test_an_index_with_other_keys_is_refused(tars):
    make_index(f"{tars}/*", prefix_keys=True)
    with pytest.raises(UsageError, match="was made with --prefix-keys; add it here, or run"):
        find_images(f"{tars}/*")


def test_an_index_of_other_endings_is_refused(tars, monkeypatch):
    make_index(f"{tars}/*")
    # Where it was made as where it is used: pillow-heif may be there or not.
    others = (
        keys.EXTENSIONS
        if keys.readable_extensions() != keys.EXTENSIONS
        else tuple(ending for ending in keys.EXTENSIONS if ending not in keys.HEIF_EXTENSIONS)
    )
    monkeypatch.setattr("sketchforge.images.sources.index.readable_extensions", lambda: others)
    with pytest.raises(UsageError, match=r"was made with(out)? pillow-heif, here it is otherwise; run"):
        find_images(f"{tars}/*")


def test_keys_that_repeat_are_refused_and_no_index_is_left(tars):
    shutil.copy(tars / "00001.tar", tars / "00009.tar")
    with pytest.raises(UsageError, match="has the same key as"):
        make_index(f"{tars}/*")
    assert not [path for path in tars.iterdir() if "index" in path.name]


@pytest.mark.parametrize(
    ("source", "out", "says"),
    [
        ("tree/*.jpg", None, "image files; an index holds a folder or tars"),
        ("tree", "here.bin", "expected a name that ends in .index"),
        ("tree/sketchforge.index", None, "an index; name the folder"),
        ("tree/deep/nothing.tar", None, "no such folder or file"),
    ],
)
def test_what_cannot_be_indexed_is_refused(tree, tmp_path, source, out, says):
    make_index(tree)
    with pytest.raises(UsageError, match=says):
        make_index(f"{tmp_path}/{source}", out and tmp_path / out)


def test_an_index_cut_anywhere_is_one_line(tars):
    path = make_index(f"{tars}/*").path
    data = path.read_bytes()
    for length in (0, 5, 8, 300, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(SketchforgeError, match=r"sketchforge\.index: cannot be read as an index"):
            find_images(f"{tars}/*")


def test_an_index_with_more_at_its_end_is_one_line(tars):
    path = make_index(f"{tars}/*").path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(
        SketchforgeError, match=r"cannot be read as an index \([\d,]+ bytes, expected [\d,]+\)"
    ):
        find_images(f"{tars}/*")


def alter(path, change):
    """Write an index with another header."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda header: header["__metadata__"].update(format="other"), "found format 'other'"),
        (lambda header: header["__metadata__"].update(version="99"), "version 99"),
        (lambda header: header["__metadata__"].update(record="[]"), "its record is not that of an index"),
        (lambda header: header.pop("image.size"), "image.size is missing"),
        (lambda header: header["image.size"].update(dtype="F64"), "image.size is not as an index has it"),
        (
            lambda header: header.update({"names.ends": header["image.size"]}),
            "values, expected|does not fit",
        ),
        (lambda header: header.update({"image.number": header["caption.size"]}), "image.number is not as"),
    ],
)
def test_an_index_whose_header_was_altered_is_one_line(tars, change, says):
    path = make_index(f"{tars}/*").path
    alter(path, change)
    with pytest.raises(SketchforgeError, match=says):
        find_images(f"{tars}/*")


def test_an_index_whose_places_lie_in_no_file_is_one_line(tars):
    path = make_index(f"{tars}/*").path
    data = bytearray(path.read_bytes())
    end = 8 + int.from_bytes(data[:8], "little")
    start = end + json.loads(data[8:end])["image.number"]["data_offsets"][0]
    data[start : start + 4] = (99).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(SketchforgeError, match=r"image\.number names a file that is not there"):
        find_images(f"{tars}/*")


def test_other_programs_read_an_index(tars):
    from safetensors.numpy import load_file

    path = make_index(f"{tars}/*").path
    _, columns = read_index(str(path))
    stored = load_file(path)
    assert stored.keys() == columns.keys()
    assert all((stored[name] == columns[name]).all() for name in columns)


def test_the_command_says_what_it_holds_and_what_comes_next(tars, capsys):
    assert run(["index", f"{tars}/*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("passed over: ")
    assert lines[1].startswith(f"{tars}/sketchforge.index: 14 images in 5 tars, 1 of them damaged, ")
    assert lines[2] == f"next: sketchforge render --images '{tars}/*' --shards out"
