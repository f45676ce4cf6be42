"""Captions in metadata.jsonl and metadata.csv, as Hugging Face's image folders have them."""

import json
import os
import shutil

import pytest

from sketchforge.errors import UsageError
from sketchforge.images.sources import find_images, search_images
from sketchforge.images.sources.make_index import make_index
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.shard_set import open_shards
from sketchforge.storage.filesystems import connect
from tests.helpers.photos import make_photos


@pytest.fixture
def folder(tmp_path):
    """p000.jpg, p001.jpg, p002.png, more/p003.jpg."""
    return make_photos(tmp_path / "in", 4)


def write_jsonl(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def captions(source) -> dict[str, str]:
    images = find_images(source)
    return {image.source: image.caption.read().decode() for image in images if image.caption}


def test_a_list_beside_the_images_captions_them_and_those_below(folder):
    write_jsonl(
        folder / "metadata.jsonl",
        {"file_name": "p000.jpg", "text": "a cat é", "other": 1},
        {"file_name": "./more/../more/p003.jpg", "text": "below"},
        {"file_name": "p001.jpg", "text": None},
    )
    assert captions(folder) == {"p000.jpg": "a cat é", "more/p003.jpg": "below"}


@pytest.mark.parametrize("column", ["text", "caption", "prompt"])
def test_a_table_captions_with_commas_line_ends_and_marks(folder, column):
    text = f'\ufefffile_name,label,{column}\np000.jpg,1,"one, ""two""\nthree"\n\nmore/p003.jpg,2,\n'
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    assert captions(folder) == {"p000.jpg": 'one, "two"\nthree'}


def test_a_text_of_its_own_beats_a_table_a_deeper_table_a_shallow_one_and_a_first_row_a_later_one(folder):
    write_jsonl(
        folder / "metadata.jsonl",
        {"file_name": "p000.jpg", "text": "table"},
        {"file_name": "p001.jpg", "text": "first", "prompt": "no"},
        {"file_name": "p001.jpg", "text": "second"},
        {"file_name": "more/p003.jpg", "text": "shallow"},
    )
    (folder / "p000.txt").write_text("own")
    (folder / "more" / "metadata.csv").write_text("file_name,text\np003.jpg,deep\n")
    assert captions(folder) == {"p000.jpg": "own", "p001.jpg": "first", "more/p003.jpg": "deep"}


def test_what_a_table_names_that_is_not_there_is_counted_and_leads_nowhere(folder, tmp_path):
    shutil.copy(folder / "p000.jpg", tmp_path / "outside.jpg")
    write_jsonl(
        folder / "metadata.jsonl",
        *(
            {"file_name": name, "text": "x"}
            for name in ("gone.jpg", "../outside.jpg", "/etc/passwd", "p000.jpg/")
        ),
    )
    found = search_images(folder)
    assert len(found.images) == 4
    assert found.passed_over == {"captions without an image": 3}
    assert captions(folder) == {"p000.jpg": "x"}


@pytest.mark.parametrize("text", ["", "\n\n", '{"name": "p000.jpg"}\n', "[1]\n", "name,text\na,b\n"])
@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_tables_of_other_things_are_passed_over(folder, name, text):
    if name.endswith("jsonl") and text.startswith("name"):
        pytest.skip("no JSON at all, which is told")
    (folder / name).write_text(text)
    if text.strip():
        assert search_images(folder).passed_over == {f".{name.rpartition('.')[2]}": 1}
    assert captions(folder) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.jsonl", '{"file_name": "a", "text": "b"}\n{"file_na', "metadata.jsonl: line 2: not JSON"),
        (
            "metadata.jsonl",
            '{"file_name": "a"}\n[]\n',
            "metadata.jsonl: line 2: expected an object with file_name",
        ),
        ("metadata.jsonl", "[" * 100_000, "metadata.jsonl: line 1: not JSON .nested too deeply"),
        ("metadata.csv", "file_name,text\na,b,c\n", "metadata.csv: line 2: 3 columns, expected 2"),
    ],
)
def test_malformed_tables_are_one_line(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(UsageError, match=message) as raised:
        find_images(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "data", [b"file_name,text\na,\xff\n", b'file_name,text\na,"' + b"x" * 200_000 + b'"\n']
)
def test_tables_that_are_no_text_are_one_line(folder, data):
    from sketchforge.errors import SketchforgeError

    (folder / "metadata.csv").write_bytes(data)
    with pytest.raises(SketchforgeError, match="metadata.csv: cannot be read as a table of captions"):
        find_images(folder)


def test_a_table_larger_than_its_bound_is_not_read(folder, monkeypatch):
    monkeypatch.setattr("sketchforge.images.sources.captions.MAX_BYTES", 10)
    write_jsonl(folder / "metadata.jsonl", {"file_name": "p000.jpg", "text": "x"})
    with pytest.raises(UsageError, match="not read as a table of captions"):
        find_images(folder)


def test_captions_come_through_a_rendering(folder, tmp_path):
    write_jsonl(folder / "metadata.jsonl", {"file_name": "p000.jpg", "text": "a cat"})
    render(RenderOptions(tmp_path / "out", folder, method="canny", size=16, workers=1))
    shards = open_shards(tmp_path / "out")
    found = {sample.key: sample.caption for sample in raw_samples(shards, shards.keys)}
    assert found == {"p000": "a cat", "p001": "", "p002_png": "", "more__p003": ""}


def test_an_index_keeps_captions_and_knows_when_their_table_has_changed(folder):
    write_jsonl(folder / "metadata.jsonl", {"file_name": "p000.jpg", "text": "a cat"})
    plain = captions(folder)
    make_index(folder)
    assert captions(folder) == captions(folder / "sketchforge.index") == plain == {"p000.jpg": "a cat"}
    times = (folder / "metadata.jsonl").stat()
    write_jsonl(folder / "metadata.jsonl", {"file_name": "p000.jpg", "text": "a dog"})
    os.utime(folder / "metadata.jsonl", ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    with pytest.raises(UsageError, match="holds other files since"):
        find_images(folder)


def test_a_folder_in_a_store_has_captions_too(folder):
    write_jsonl(folder / "metadata.jsonl", {"file_name": "more/p003.jpg", "text": "below"})
    filesystem, _ = connect("memory://")
    filesystem.put(str(folder), "/captioned", recursive=True)
    try:
        assert captions("memory://captioned") == {"more/p003.jpg": "below"}
    finally:
        filesystem.rm("/captioned", recursive=True)
