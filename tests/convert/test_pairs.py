"""`sketchforge convert` to data sets: every pair once, as it is stored, in folders that are continued and kept apart."""

import hashlib
import io
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cli.main import run
from sketchforge.convert import parquet
from sketchforge.convert.convert import convert
from sketchforge.convert.file_names import file_stem, name_folders
from sketchforge.convert.image_folder import ControlNet, ImageFolder, Pix2pix
from sketchforge.convert.pairs import ImagePairs, PairSource, pick_pairs
from sketchforge.convert.targets import PAIR_TARGETS
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.options import ConvertOptions
from sketchforge.shards.reader import RawSample, raw_samples
from sketchforge.shards.shard_set import open_shards
from sketchforge.storage.filesystems import connect
from tests.convert.conftest import HANDS
from tests.helpers.folders import contents
from tests.helpers.recorded_progress import RecordedProgress

pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (the extra `datasets`)")
TARGETS = list(PAIR_TARGETS)


@pytest.fixture(scope="module")
def samples(pair_shards) -> dict[str, RawSample]:
    shards = open_shards(pair_shards)
    return {sample.key: sample for sample in raw_samples(shards, shards.keys)}


@pytest.fixture(scope="module")
def splits(pair_shards) -> dict[str, list[str]]:
    """The keys of each split."""
    shards = open_shards(pair_shards)
    return {
        name: [key for key, number in shards.keys.items() if number in numbers]
        for name, numbers in shards.splits.items()
    }


@pytest.fixture(scope="module")
def converted(pair_shards, tmp_path_factory) -> Path:
    """A folder of every target; never written to."""
    base = tmp_path_factory.mktemp("converted")
    for to in TARGETS:
        convert(ConvertOptions(pair_shards, to, base / to))
    return base


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# The layouts.


def test_a_row_of_parquet_for_every_image_and_sketch(converted, samples, splits):
    for split, name in (("train", "train"), ("val", "validation")):
        rows = pq.read_table(converted / "parquet" / "data" / f"{name}-00000-of-00001.parquet").to_pylist()
        assert [(row["key"], row["sketch"]) for row in rows] == [
            (key, number) for key in splits[split] for number in range(3)
        ]
        for row in rows:
            sample = samples[row["key"]]
            assert row["image"] == {"bytes": sample.image, "path": f"{row['key']}.jpg"}
            assert row["conditioning_image"]["bytes"] == sample.sketches[row["sketch"]]
            assert row["mask"]["bytes"] == sample.extras["mask.png"]
            assert row["text"] == sample.caption
            assert row["style"] == HANDS[row["sketch"]]
            assert json.loads(row["hand"])["hand"] == row["style"]
            assert row["source"].split("/")[0] == ["Wild dög", "cat"][row["label"]]


def test_an_images_bytes_lie_in_a_file_once(converted, samples, splits):
    path = converted / "parquet" / "data" / "train-00000-of-00001.parquet"
    data = path.read_bytes()
    assert [data.count(samples[key].image) for key in splits["train"]] == [1] * len(splits["train"])


def test_images_of_more_than_a_megabyte_lie_in_a_file_once_too(tmp_path, monkeypatch):
    """Parquet's writers by default give up a dictionary that is larger, after a thousand rows or so."""
    monkeypatch.setattr(parquet, "GROUP_ROWS", 5000)
    rng = np.random.default_rng(0)
    images = [
        ImagePairs(
            f"k{number}",
            RawSample(f"k{number}", rng.bytes(30_000), (b"a",), {"source": "s"}, "", {}),
            [0] * 25,
        )
        for number in range(80)
    ]
    shards = SimpleNamespace(
        classes=[], has_masks=False, styles=["x"], manifest={"shards": [{"bytes": 1}]}, source="out"
    )
    source = SimpleNamespace(
        shards=shards, splits={"train": [0]}, count_images=lambda _: 80, read=lambda *_: iter(images)
    )
    parquet.write_parquet(tmp_path, source, RecordedProgress())
    (path,) = (tmp_path / "data").iterdir()
    assert path.stat().st_size < 1.1 * 80 * 30_000
    file = pq.ParquetFile(path)
    assert (file.num_row_groups, file.metadata.num_rows) == (1, 2000)


def test_row_groups_and_files_are_bounded_and_part_no_image(
    pair_shards, samples, splits, tmp_path, monkeypatch
):
    monkeypatch.setattr(parquet, "GROUP_ROWS", 7)
    monkeypatch.setattr(parquet, "FILE_BYTES", 40_000)
    convert(ConvertOptions(pair_shards, "parquet", tmp_path / "set"))
    found = []
    names = sorted(path.name for path in (tmp_path / "set" / "data").iterdir() if "train" in path.name)
    assert len(names) > 1
    assert names == [f"train-{number:05d}-of-{len(names):05d}.parquet" for number in range(len(names))]
    for name in names:
        file = pq.ParquetFile(tmp_path / "set" / "data" / name)
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=["key"]).column("key").to_pylist()
            assert len(rows) <= 7
            assert set(Counter(rows).values()) == {3}
            found += rows
    assert list(dict.fromkeys(found)) == splits["train"]
    assert f'path: "data/train-*-of-{len(names):05d}.parquet"' in (tmp_path / "set" / "README.md").read_text()


def test_groups_are_bounded_by_what_a_reader_gets(pair_shards, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    convert(ConvertOptions(pair_shards, "parquet", tmp_path / "set"))
    file = pq.ParquetFile(next((tmp_path / "set" / "data").glob("train-*")))
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [3] * (
        file.metadata.num_rows // 3
    )


def test_an_image_folder_lists_every_pair_and_holds_its_files_as_they_are_stored(converted, samples, splits):
    for split, name in (("train", "train"), ("val", "validation")):
        root = converted / "imagefolder" / name
        lines = read_lines(root / "metadata.jsonl")
        assert [(line["key"], line["style"]) for line in lines] == [
            (key, style) for key in splits[split] for style in HANDS
        ]
        used = {"metadata.jsonl"}
        for line in lines:
            sample = samples[line["key"]]
            assert next(iter(line)) == "file_name", "datasets takes the first image of a line for it"
            assert (root / line["file_name"]).read_bytes() == sample.image
            sketch = (root / line["conditioning_image_file_name"]).read_bytes()
            assert sketch == sample.sketches[line["sketch"]]
            assert (root / line["mask_file_name"]).read_bytes() == sample.extras["mask.png"]
            assert line["text"] == sample.caption
            assert line["label"] == sample.metadata["source"].split("/")[0]
            used |= {line[key] for key in line if key.endswith("file_name")}
        assert used == files_in(root)


def test_torchvision_finds_the_classes(converted, splits):
    from torchvision.datasets import ImageFolder as TorchFolder

    for kind, per_image in (("images", 1), ("sketches", 3)):
        found = TorchFolder(converted / "imagefolder" / "train" / kind)
        assert found.classes == ["cat", "wild-d-g"]
        assert len(found) == per_image * len(splits["train"])


def test_controlnets_list_names_a_sketch_an_image_and_a_caption(converted, samples, splits):
    for split, keys in splits.items():
        root = converted / "controlnet" / split
        lines = read_lines(root / "prompt.json")
        assert [set(line) for line in lines] == [{"source", "target", "prompt"}] * 3 * len(keys)
        for line, (key, number) in zip(lines, ((k, n) for k in keys for n in range(3)), strict=True):
            assert (root / line["source"]).read_bytes() == samples[key].sketches[number]
            assert (root / line["target"]).read_bytes() == samples[key].image
            assert line["prompt"] == samples[key].caption
        used = {line[name] for line in lines for name in ("source", "target")}
        assert used | {"prompt.json"} == files_in(root)


def test_pix2pix_has_the_sketch_at_the_left_and_its_own_image_at_the_right(converted, samples, splits):
    for split, keys in splits.items():
        root = converted / "pix2pix" / split
        assert files_in(root) == {f"{key}-sketch{number}.jpg" for key in keys for number in range(3)}
        for key in keys:
            image = np.array(Image.open(io.BytesIO(samples[key].image))).astype(int)
            for number in range(3):
                pair = np.array(Image.open(root / f"{key}-sketch{number}.jpg")).astype(int)
                sketch = np.array(Image.open(io.BytesIO(samples[key].sketches[number])).convert("RGB"))
                assert pair.shape == (32, 64, 3)
                assert ((pair[:, :32] > 127) == (sketch > 127)).mean() > 0.998
                assert np.abs(pair[:, 32:] - image).mean() < 4


def test_a_set_without_splits_is_train_and_controlnets_own_layout(rendered, tmp_path):
    for to in TARGETS:
        convert(ConvertOptions(rendered.shards, to, tmp_path / to))
    ten = [path.name for path in sorted((tmp_path / "controlnet" / "target").iterdir())]
    assert len(ten) == len(read_lines(tmp_path / "controlnet" / "prompt.json")) == 10
    for to, expected in (("imagefolder", {"train"}), ("pix2pix", {"train"}), ("parquet", {"data"})):
        assert {path.name for path in (tmp_path / to).iterdir() if path.is_dir()} == expected
    row = pq.read_table(tmp_path / "parquet" / "data").to_pylist()[0]
    assert (row["style"], row["text"], row["hand"]) == ("canny", "", "{}")
    assert not row.keys() & {"label", "mask"}


# What is chosen.


@pytest.mark.parametrize("to", TARGETS)
def test_some_sketches_of_each_image_are_chosen_by_its_key_alone(pair_shards, samples, tmp_path, to):
    done = convert(ConvertOptions(pair_shards, to, tmp_path / to, per_image=1))
    assert sum(done.pairs.values()) == 13
    source = pick_pairs(open_shards(pair_shards), (), 1)
    expected = {f"{key}-sketch{source.choose_styles(key)[0]}" for key in samples}
    if to == "parquet":
        rows = [row for path in (tmp_path / to / "data").iterdir() for row in pq.read_table(path).to_pylist()]
        found = [f"{row['key']}-sketch{row['sketch']}" for row in rows]
    else:
        found = [path.stem for path in (tmp_path / to).rglob("*-sketch*")]
    assert sorted(found) == sorted(expected)
    assert {name[-1] for name in found} == {"0", "1", "2"}, "not the same style of all"


def test_choices_are_nested_uniform_and_ascending():
    counts: Counter[int] = Counter()
    for number in range(900):
        two = PairSource(None, (0, 2, 5), 2).choose_styles(f"k{number}")
        assert two == sorted(set(two))
        assert set(PairSource(None, (0, 2, 5), 1).choose_styles(f"k{number}")) < set(two)
        counts.update(two)
    assert set(counts) == {0, 2, 5}
    assert min(counts.values()) > 540
    assert PairSource(None, (0, 2), 9).choose_styles("k") == [0, 2]


def test_some_hands_alone_keep_their_numbers(pair_shards, tmp_path):
    convert(ConvertOptions(pair_shards, "controlnet", tmp_path / "set", ("ruler",)))
    sources = list((tmp_path / "set").rglob("source/*"))
    assert len(sources) == 13
    assert all(path.stem.endswith("-sketch2") for path in sources)


def test_other_parts_of_a_shard_are_those_of_the_whole(pair_shards, samples, splits):
    source = pick_pairs(open_shards(pair_shards), (), None)
    for start, stop in ((0, 2), (2, 5), (5, None)):
        found = [pairs.key for pairs in source.read("train", start, stop)]
        assert found == splits["train"][start:stop]


# Names.


@pytest.mark.parametrize("key", ["cats__tom", "a-b_c", "x" * 80, "A_b-0123456789abcdef"])
def test_keys_that_files_can_have_stay(key):
    assert file_stem(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "../../evil",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "con",
        "NUL",
        "com1",
        "a.b",
        "A",
        "",
        ".",
        "-x",
        "x" * 81,
        "é",
        "a\0b",
        "\ud800",
    ],
)
def test_other_keys_become_names_that_every_file_system_has(key):
    stem = file_stem(key)
    assert re.fullmatch(r"[A-Za-z0-9_-]*-[0-9a-f]{16}", stem)
    assert len(stem) <= 80
    assert file_stem(stem) == stem or stem.startswith("-"), "and stays"


def test_no_two_keys_share_a_name_even_where_case_is_ignored():
    keys = ["a/b", "a_b", "a__b", "A_b", "a b", "con", "CON", "x" * 90, "x" * 91]
    assert len({file_stem(key).lower() for key in keys}) == len(keys)


def test_folders_of_classes_are_distinct_whatever_they_are_called():
    names = ["a b", "a-b", "a-b-1", "猫", "犬", "con", "../x", "A B"]
    folders = name_folders(names, "class")
    assert len(set(folders)) == len(names)
    assert all(re.fullmatch("[a-z0-9-]+", folder) for folder in folders)
    assert folders[2] == "a-b-1"
    assert "con" not in folders


@pytest.mark.parametrize("layout", [ImageFolder, ControlNet, Pix2pix])
def test_a_foreign_key_leads_nowhere(layout):
    key = "../../evil"
    sample = RawSample(key, b"", (b"",), {"source": "s"}, "", {"cls": b"0", "mask.png": b""})
    shards = SimpleNamespace(classes=["../up"], styles=["x"], splits={}, has_masks=True)
    pairs = ImagePairs(file_stem(key), sample, [0])
    source = SimpleNamespace(shards=shards, splits={"train": []})
    for name in layout(source).list_files(pairs):
        assert ".." not in name
        assert not name.startswith("/")


# Folders that are continued and kept apart.


@pytest.mark.parametrize("to", TARGETS)
def test_the_same_command_elsewhere_makes_the_same_bytes(pair_shards, converted, tmp_path, to):
    convert(ConvertOptions(pair_shards, to, tmp_path / to))
    assert contents(tmp_path / to) == contents(converted / to)


@pytest.mark.parametrize("to", TARGETS)
def test_a_folder_that_was_interrupted_is_continued_and_nothing_is_written_twice(
    pair_shards, converted, tmp_path, monkeypatch, to
):
    monkeypatch.setattr(parquet, "FILE_BYTES", 40_000)
    out = tmp_path / to
    options = ConvertOptions(pair_shards, to, out)

    class Stopping(RecordedProgress):
        left = 7

        def advance(self, **figures):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(options, Stopping())
    assert not (out / "README.md").exists()
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]
    before = {
        path: path.stat().st_mtime_ns
        for path in out.rglob("*.*")
        if path.suffix in (".jpg", ".png", ".parquet")
    }
    assert before
    done = convert(options)
    assert 0 < done.num_kept < 13
    assert {path: path.stat().st_mtime_ns for path in before} == before
    if to != "parquet":  # whose files are larger there
        assert contents(out) == contents(converted / to)
    assert convert(options).num_kept == 13


@pytest.mark.parametrize("to", TARGETS)
def test_a_lost_file_comes_back(pair_shards, converted, tmp_path, to):
    out = shutil.copytree(converted / to, tmp_path / to)
    lost = next(
        path
        for path in sorted(out.rglob("*"))
        if path.suffix in (".png", ".parquet") or "sketch" in path.name and path.is_file()
    )
    lost.unlink()
    assert convert(ConvertOptions(pair_shards, to, out)).num_kept < 13
    assert contents(out) == contents(converted / to)


@pytest.mark.parametrize("to", TARGETS)
def test_other_options_are_refused_and_replace_our_files_alone(pair_shards, converted, tmp_path, to):
    out = shutil.copytree(converted / to, tmp_path / to)
    (out / "mine.txt").write_text("precious")
    before = contents(out)
    for changed in (
        {"hand": ("ruler",)},
        {"per_image": 1},
        {"to": next(name for name in TARGETS if name != to)},
    ):
        options = ConvertOptions(**{"shards": pair_shards, "to": to, "out": out, **changed})
        with pytest.raises(UsageError, match="was made with other --"):
            convert(options)
    assert contents(out) == before
    convert(ConvertOptions(pair_shards, "controlnet", out, ("ruler",), overwrite=True))
    assert (out / "mine.txt").read_text() == "precious"
    (out / "mine.txt").unlink()
    convert(ConvertOptions(pair_shards, "controlnet", tmp_path / "fresh", ("ruler",)))
    assert contents(out) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("to", TARGETS)
def test_a_folder_of_somebody_elses_is_left_alone(pair_shards, tmp_path, to):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds files that are not of this command"):
            convert(ConvertOptions(pair_shards, to, tmp_path / "mine", overwrite=overwrite))
    assert contents(tmp_path / "mine") == {"a.txt": b"precious"}


def test_an_edited_card_is_kept(pair_shards, converted, tmp_path, capsys):
    out = shutil.copytree(converted / "controlnet", tmp_path / "set")
    card = (out / "README.md").read_text().replace("license: other", "license: cc0-1.0")
    (out / "README.md").write_text(card)
    words = ["convert", str(pair_shards), "--to", "controlnet", "--out", str(out)]
    assert run(words) == 0
    assert "README.md: was edited, and is kept as it is" in capsys.readouterr().out
    assert run([*words, "--hand", "ruler", "--overwrite"]) == 0
    assert (out / "README.md").read_text() == card


def test_shards_in_a_store_are_converted_like_those_here(pair_shards, converted, tmp_path):
    filesystem, _ = connect("memory://")
    filesystem.put(str(pair_shards), "/converted/out", recursive=True)
    try:
        convert(ConvertOptions("memory://converted/out", "controlnet", tmp_path / "set"))
    finally:
        filesystem.rm("/converted", recursive=True)
    assert contents(tmp_path / "set") == contents(converted / "controlnet")


# Damage, and wrong requests.


def test_a_damaged_shard_is_named_and_what_was_written_is_kept(pair_shards, tmp_path, capsys):
    spoilt = shutil.copytree(pair_shards, tmp_path / "out")
    path = spoilt / "00001.tar"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert run(["convert", str(spoilt), "--to", "controlnet", "--out", str(tmp_path / "set")]) == 1
    told = capsys.readouterr().err
    assert "00001.tar: SHA-256" in told
    assert "sketchforge verify" in told
    assert len(list((tmp_path / "set" / "train" / "target").iterdir())) == 3
    assert not (tmp_path / "set" / "train" / "prompt.json").exists()


def test_a_sketch_of_another_size_is_named(pair_shards, tmp_path, monkeypatch):
    from sketchforge.images.encode import encode_png

    real = PairSource.read

    def read(self, *words):
        for pairs in real(self, *words):
            yield ImagePairs(
                pairs.stem,
                RawSample(
                    **{**vars(pairs.sample), "sketches": (encode_png(np.zeros((8, 32), np.uint8), True),) * 3}
                ),
                pairs.numbers,
            )

    monkeypatch.setattr(PairSource, "read", read)
    with pytest.raises(SketchforgeError, match="its image is 32 × 32 pixels, its sketch 0 32 × 8"):
        convert(ConvertOptions(pair_shards, "pix2pix", tmp_path / "set"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "parquet", "--out", "set", "--hand", "nobody"], "--hand nobody: no such hand in"),
        (["--to", "parquet", "--out", "file"], "--out file: is a file; --to parquet makes a folder"),
        (["--to", "pix2pix", "--out", "s3://bucket/x"], "URLs are neither read nor written here"),
        (["--to", "svg", "--out", "svg", "--per-image", "2"], "--per-image: is of data sets"),
        (["--to", "ndjson", "--out", "a.ndjson", "--push", "a/b"], "--push: is of data sets"),
        (["--to", "parquet", "--out", "set", "--per-image", "0"], "0 is not in the range"),
    ],
)
def test_wrong_requests_are_one_line_and_write_nothing(
    pair_shards, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert run(["convert", str(pair_shards), *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_parquet_without_its_library_is_one_line(pair_shards, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    assert run(["convert", str(pair_shards), "--to", "parquet", "--out", str(tmp_path / "set")]) == 2
    assert "pip install 'sketchforge[datasets]'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_the_command_says_how_many_pairs_it_wrote(pair_shards, tmp_path, splits, capsys):
    out = tmp_path / "set"
    words = ["convert", str(pair_shards), "--to", "imagefolder", "--out", str(out)]
    counts = ", ".join(f"{name} {3 * len(keys)}" for name, keys in splits.items())
    assert run(words) == 0
    told = capsys.readouterr().out
    assert f"{out}: 39 pairs of 13 images ({counts})\n" in told
    assert "state the licence of the images" in told
    assert run(words) == 0
    assert f"({counts}), 13 images there already\n" in capsys.readouterr().out


# The card.


@pytest.mark.parametrize("to", TARGETS)
def test_a_card_counts_names_and_shows(converted, splits, to):
    card = (converted / to / "README.md").read_text(encoding="utf-8")
    assert "\n# 13 images, 3 sketches of each\n" in card
    assert "| pairs | 39 |" in card
    assert "license: other" in card
    assert all(f"| {name} |" in card for name in HANDS)
    sheet = Image.open(converted / to / re.search(r"!\[.*\]\((.*)\)", card)[1])
    assert sheet.width > 4 * 128
    assert ("\nconfigs:\n" in card) == (to in ("parquet", "imagefolder"))


def test_equal_bytes_of_every_system(converted):
    """Golden: names and lists do not change unseen between versions (bytes of libraries left out)."""
    names = sorted(
        files_in(converted / "imagefolder") | {f"c/{name}" for name in files_in(converted / "controlnet")}
    )
    assert hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] == "0424bae46bab8554"
