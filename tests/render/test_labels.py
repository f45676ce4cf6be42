"""--labels: the class of every image, by its folder or by a table."""

import json

import pytest

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources import ImageSource, ImageTable
from sketchforge.images.sources.source import ByteSource
from sketchforge.images.sources.table_builder import build_table
from sketchforge.options import InspectOptions, RenderOptions
from sketchforge.render.labels import Labels, read_labels
from sketchforge.render.render import render
from sketchforge.report.gallery.inspect import inspect
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from tests.helpers.commands import run_cli
from tests.helpers.folders import members
from tests.helpers.photos import make_photos


def images(*sources: str) -> ImageTable:
    return build_table(
        ImageSource(f"key{number}", source, ByteSource(1, data=b"x")) for number, source in enumerate(sources)
    )


def numbers(labels: Labels, found: ImageTable) -> list[int]:
    return [labels.number_of(key, source) for key, source in found.names()]


def table(folder, text: str, name: str = "labels.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_the_topmost_folder_is_the_class_and_classes_are_numbered_by_name():
    found = images("horse/1.jpg", "dog/young/2.jpg", "horse/3.jpg")
    labels = read_labels("folder", found)
    assert labels.classes == ["dog", "horse"]
    assert numbers(labels, found) == [1, 0, 1]


@pytest.mark.parametrize("source", ["1.jpg", "00000.tar/1.jpg", "set.tar.gz/dog/1.jpg"])
def test_an_image_that_lies_in_no_folder_is_refused(source):
    with pytest.raises(UsageError, match="1 of 2 images lie in no folder of their own, the first is"):
        read_labels("folder", images("dog/1.jpg", source))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/1.jpg,dog\nkey1,cat\n", "l.csv"),
        ("image,label\na/1.jpg,dog\nkey1,cat\nz,cow\n", "l.csv"),
        ("\ufeffpath\tclass\na/1.jpg\tdog\n\nkey1\tcat\n", "l.TSV"),
        ('"a/1.jpg","dog"\r\nkey1, cat \r\n', "l.csv"),
    ],
)
def test_a_table_names_paths_or_keys(tmp_path, text, name):
    found = images("a/1.jpg", "b/2.jpg")
    labels = read_labels(table(tmp_path, text, name), found)
    assert (labels.classes, numbers(labels, found)) == (["cat", "dog"], [1, 0])


def test_numbers_stay_as_they_are(tmp_path):
    found = images("a", "b")
    labels = read_labels(table(tmp_path, "key0,10\nkey1,2\n"), found)
    assert numbers(labels, found) == [10, 2]
    assert labels.classes == [str(number) for number in range(11)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key0,dog\n", "1 of 2 images have no class, the first is b"),
        ("key0,dog\nkey1\n", "line 2: 1 column, expected path and class"),
        ("key0,dog\nkey1,\n", "line 2: 2 columns, expected path and class"),
        ("key0,dog\nkey1,cat\nkey0,cow\n", "line 3: key0 is of class cow here, of dog before"),
    ],
)
def test_tables_that_do_not_say_one_thing_of_each_are_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_labels(table(tmp_path, text), images("a", "b"))


def test_files_that_are_no_table_are_refused(tmp_path):
    with pytest.raises(UsageError, match="expected folder, or a table that ends in .csv or .tsv"):
        read_labels(str(tmp_path / "labels.txt"), images("a"))
    with pytest.raises(UsageError, match="no such file"):
        read_labels(str(tmp_path / "labels.csv"), images("a"))
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SketchforgeError, match="bad.csv: cannot be read as a table"):
        read_labels(str(tmp_path / "bad.csv"), images("a"))


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("animals")
    make_photos(folder / "cat", 3)
    make_photos(folder / "ant", 2)
    return folder


@pytest.fixture(scope="module")
def out(animals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels") / "out"
    render(RenderOptions(folder, animals, method="canny", size=32, workers=1, labels="folder"))
    return folder


def test_every_sample_has_the_number_of_its_class(out):
    found = {}
    for number in range(read_manifest(folder_at(out))["num_shards"]):
        for name, data in members(out, number).items():
            if name.endswith(".cls"):
                found.setdefault(data, set()).add(name.split("__")[0])
    assert found == {b"0": {"ant"}, b"1": {"cat"}}
    assert read_manifest(folder_at(out))["classes"] == ["ant", "cat"]


def test_inspect_counts_classes_and_verify_knows_them(out):
    assert inspect(InspectOptions(out)).num_classes == {"ant": 2, "cat": 3}
    assert "classes   2: cat 3, ant 2" in run_cli("inspect", out).stdout
    assert verify(out).problems == []


def test_verify_finds_a_class_that_is_none(out, tmp_path):
    for path in out.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((out / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"classes": ["ant"]}))
    problems = verify(tmp_path).problems
    assert (
        sum(".cls: cannot be read (expected the number of one of 1 classes)" in line for line in problems)
        == 3
    )


def test_another_table_is_refused(animals, tmp_path):
    names = [path.relative_to(animals) for path in sorted(animals.rglob("*.*"))]
    first = table(tmp_path, "".join(f"{name},a\n" for name in names))
    made = RenderOptions(tmp_path / "out", animals, method="canny", size=32, workers=1, labels=first)
    render(made)
    table(tmp_path, f"{names[0]},b\n" + "".join(f"{name},a\n" for name in names[1:]))
    with pytest.raises(UsageError, match="was made with --labels labels.csv .*, now labels.csv"):
        render(made)
