"""Hugging Face's `datasets` reads a folder by its card, whole and streamed: every column of every sample."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from sketchforge.checkpoints.catalog import KNOWN
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.card import dataset_card, is_edited, read_card, write_card
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from sketchforge.utils import files
from tests.helpers.commands import ROOT, run_python
from tests.helpers.folders import contents, members
from tests.helpers.photos import scene
from tests.helpers.recorded_progress import RecordedProgress

NUM_IMAGES = (
    8  # in tars of 6: `datasets` takes the columns from the first five samples where no card has them
)
CAPTIONS = {"last": ["p6", "p7"], "scattered": ["p1", "p4"], "hollow": ["p7"], "none": []}
METADATA = {
    "p0": '{"caption": null, "width": null, "similarity": NaN, "exif": {"ISO": [100, null]}}',
    "p1": '{"caption": "a text", "width": 640, "similarity": 0.25, "exif": {}}',
    "p7": '{"late": {"deep": [{"x": 1}, "y", null]}}',
}
COLUMNS = ["__key__", "__url__", "jpg", "json", "sketch0.png"]

LOAD = """
import contextlib, glob, hashlib, io, json, os, sys
from datasets import Image, load_dataset

def rows_of(dataset):
    dataset = dataset.cast_column("jpg", Image(decode=False))  # the bytes as they are stored
    return [
        {
            "columns": sorted(row),
            "key": row["__key__"],
            "txt": row.get("txt"),
            "json": row["json"],
            "jpg": hashlib.sha256(row["jpg"]["bytes"]).hexdigest(),
            "sketch": [row["sketch0.png"].mode, *row["sketch0.png"].size],
        }
        for row in dataset
    ]

blocks, with_strokes, *folders = sys.argv[1:]
loaded = {}
for folder in folders:
    tars = sorted(glob.glob(f"{folder}/*.tar"))
    ways = {
        "card": lambda: load_dataset(folder, split="train"),
        "card streamed": lambda: load_dataset(folder, split="train", streaming=True),
        "tars": lambda: load_dataset("webdataset", data_files=tars, split="train"),
        "tars streamed": lambda: load_dataset("webdataset", data_files=tars, split="train", streaming=True),
    }
    for way, load in ways.items():
        if way[:4] == "card" or "hollow" not in folder:
            loaded[f"{folder} {way}"] = rows_of(load())
tars = sorted(glob.glob(f"{with_strokes}/*.tar"))
ways = [
    load_dataset(with_strokes, split="train"),
    load_dataset(with_strokes, split="train", streaming=True),
    load_dataset("webdataset", data_files=tars, split="train"),
]
strokes = [{row["__key__"]: row["strokes.json"] for row in rows} for rows in ways]
os.chdir(os.path.dirname(blocks))
with contextlib.redirect_stdout(io.StringIO()) as printed:
    exec(compile(open(blocks).read(), blocks, "exec"), {"__name__": "__main__"})
print(json.dumps({"rows": loaded, "strokes": strokes, "printed": printed.getvalue()}))
"""


def offline(folder: Path) -> dict[str, str]:
    """The environment in which `datasets` keeps everything in `folder` and reaches no network."""
    cache = {"HF_HOME": str(folder), "HF_DATASETS_CACHE": str(folder / "datasets"), "HOME": str(folder)}
    return cache | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def make_inputs(folder: Path, captioned: list[str]) -> Path:
    """Plain JPEGs, which are stored as they are; texts for those `captioned`, METADATA for its images."""
    folder.mkdir()
    for number in range(NUM_IMAGES):
        Image.fromarray(scene(number, 24, 20 + number)).save(folder / f"p{number}.jpg")
    for key in captioned:
        (folder / f"{key}.txt").write_text(f"a sketch of {key}, é", encoding="utf-8")
    for key, text in METADATA.items():
        (folder / f"{key}.json").write_text(text)
    return folder


def options_for(images: Path, shards: Path, **more) -> RenderOptions:
    usual = {"method": "canny", "fit": "keep", "samples_per_shard": 6, "workers": 1}
    return RenderOptions(shards=shards, images=images, **usual | more)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """NAME/out for the names of CAPTIONS, made from NAME/in."""
    base = tmp_path_factory.mktemp("hugging-face")
    for name, captioned in CAPTIONS.items():
        (base / name).mkdir()
        images = make_inputs(base / name / "in", captioned)
        if name == "hollow":  # its first tar has no sample
            for key in ("p0", "p1"):
                (images / f"{key}.jpg").write_bytes(b"no image")
        render(options_for(images, base / name / "out", samples_per_shard=2 if name == "hollow" else 6))
    return base


def blocks_of(text: str) -> str:
    """A page's blocks of Python, one after the other."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    return "\n".join(blocks)


@pytest.fixture(scope="module")
def read(base, with_strokes) -> dict:
    """What one process reads, for it takes seconds to import `datasets`; folders all called `out`.

    "rows": by each folder and way; "strokes": in three ways; "printed": by the blocks of a card and of the page
    on the format.
    """
    page = base / "page"
    page.mkdir()
    render(options_for(make_inputs(page / "in", ["p7"]), page / "out", fit="crop", size=16))
    text = (page / "out" / "README.md").read_text(encoding="utf-8") + "\n"
    text += (ROOT / "docs" / "shard-format.md").read_text(encoding="utf-8")
    (page / "blocks.py").write_text(blocks_of(text), encoding="utf-8")
    folders = [base / name / "out" for name in CAPTIONS]
    done = run_python(LOAD, page / "blocks.py", with_strokes.shards, *folders, **offline(base / "cache"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def loaded(base, read) -> dict[str, list[dict]]:
    """What `datasets` reads of each folder in each way."""
    return {key.removeprefix(f"{base}/"): rows for key, rows in read["rows"].items()}


WAYS = ("card", "card streamed", "tars", "tars streamed")
READINGS = [
    (name, way) for name in CAPTIONS for way in WAYS if name != "hollow" or way in ("card", "card streamed")
]


@pytest.fixture(params=READINGS, ids=" ".join)
def reading(request, loaded) -> tuple[str, list[dict]]:
    """(the folder's name, the rows read from it in one way)."""
    name, way = request.param
    return name, loaded[f"{name}/out {way}"]


def expected_keys(name: str) -> list[str]:
    return [f"p{number}" for number in range(2 if name == "hollow" else 0, NUM_IMAGES)]


def test_all_samples_are_read_in_order(reading):
    name, rows = reading
    assert [row["key"] for row in rows] == expected_keys(name)


def test_every_sample_has_every_column(reading):
    name, rows = reading
    expected = sorted([*COLUMNS, *(["txt"] if CAPTIONS[name] else [])])
    assert [row["columns"] for row in rows] == [expected] * len(rows)


def test_strokes_are_read_as_they_are_stored_also_where_the_first_image_has_none(with_strokes, read):
    stored = {}
    for path in sorted(with_strokes.shards.glob("*.tar")):
        for name, data in members(with_strokes.shards, int(path.stem)).items():
            if name.endswith(".strokes.json"):
                stored[name.partition(".")[0]] = json.loads(data)
    assert not next(iter(stored.values()))["strokes"]["points"], "the white one"
    assert read["strokes"] == [stored] * 3


def test_captions_are_the_inputs_and_empty_where_there_is_none(reading):
    name, rows = reading
    expected = {key: f"a sketch of {key}, é" if key in CAPTIONS[name] else "" for key in expected_keys(name)}
    assert {row["key"]: row["txt"] for row in rows} == (
        expected if CAPTIONS[name] else dict.fromkeys(expected)
    )


def test_images_are_the_inputs(reading, base):
    name, rows = reading
    assert {row["key"]: row["jpg"] for row in rows} == {
        key: files.sha256_of(base / name / "in" / f"{key}.jpg") for key in expected_keys(name)
    }


def test_sketches_have_one_bit_and_the_size_of_their_image(reading):
    _, rows = reading
    assert [row["sketch"] for row in rows] == [["1", 20 + int(row["key"][1:]), 24] for row in rows]


def test_metadata_that_only_some_samples_have_comes_through(reading):
    """Nulls, other types under the same name and names that come late would each be another schema."""
    name, rows = reading
    lenient = {"parse_constant": lambda _: None}
    for row in rows:
        expected = json.loads(METADATA.get(row["key"], "{}"), **lenient)
        assert json.loads(row["json"]["meta"]) == expected, row["key"]


def test_every_description_has_the_same_fields_of_the_same_types(reading):
    _, rows = reading
    types = {tuple((name, type(value)) for name, value in sorted(row["json"].items())) for row in rows}
    assert len(types) == 1
    assert type(None) not in {kind for _, kind in next(iter(types))}


def test_webdataset_gives_an_empty_text_for_a_missing_caption(base):
    import webdataset

    tars = sorted(map(str, (base / "last" / "out").glob("*.tar")))
    texts = [sample["txt"] for sample in webdataset.WebDataset(tars, shardshuffle=False).decode()]
    assert texts == [""] * 6 + ["a sketch of p6, é", "a sketch of p7, é"]


def test_the_card_and_the_page_on_the_format_load_as_they_say(read):
    printed = read["printed"]
    assert printed.count("p0 (16, 16) (16, 16)\n") == 2, "datasets and webdataset of the card"
    assert "torch.Size([6, 3, 16, 16]) torch.Size([6, 3, 16, 16])\n" in printed
    assert printed.endswith("p7 'a sketch of p7, é' {'late': {'deep': [{'x': 1}, 'y', None]}}\n"), "the page"


# The card itself


@pytest.fixture
def options(base, tmp_path) -> RenderOptions:
    """A copy of a folder that may be changed, and the options that made it."""
    shutil.copytree(base / "last" / "out", tmp_path / "out")
    return options_for(base / "last" / "in", tmp_path / "out")


@pytest.fixture
def manifest(base) -> Mapping:
    return read_manifest(folder_at(base / "last" / "out"))


def test_the_card_is_what_the_manifest_yields(options, manifest):
    assert read_card(folder_at(options.shards)) == dataset_card(manifest)
    assert not is_edited(dataset_card(manifest))


def test_the_same_rendering_elsewhere_has_the_same_card(options, tmp_path):
    render(dataclasses.replace(options, shards=tmp_path / "elsewhere"))
    assert read_card(folder_at(tmp_path / "elsewhere")) == read_card(folder_at(options.shards))


def test_other_shards_have_another_description_in_the_cache_of_datasets(base):
    """Or `load_dataset` gives what it once read of another folder of this name and these columns."""
    cards = [read_card(folder_at(base / name / "out")) for name in ("last", "scattered")]
    descriptions = [re.search(rb"^  description: .*$", card, re.MULTILINE)[0] for card in cards]
    assert descriptions[0] != descriptions[1]


def test_an_unfinished_run_takes_our_card_away_and_the_finished_one_brings_it(options, monkeypatch):
    card = read_card(folder_at(options.shards))
    (options.shards / "00001.tar").unlink()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr("sketchforge.render.engines.render_shards", stop)
        with pytest.raises(KeyboardInterrupt):
            render(options)
    assert read_card(folder_at(options.shards)) is None
    render(options)
    assert read_card(folder_at(options.shards)) == card


def test_a_missing_card_is_found_and_written_again(options):
    before = contents(options.shards)
    (options.shards / "README.md").unlink()
    assert verify(options.shards).problems == [
        "README.md: missing; the same `sketchforge render` again writes it"
    ]
    render(options)
    assert contents(options.shards) == before


def edit(shards: Path) -> bytes:
    card = (
        read_card(folder_at(shards))
        .replace(b"license: other", b"license: cc-by-4.0")
        .replace(b"\n# ", b"\n# Mine: ")
    )
    (shards / "README.md").write_bytes(card)
    return card


def test_an_edited_card_is_no_problem(options):
    edit(options.shards)
    assert verify(options.shards).problems == []


@pytest.mark.parametrize("redrawn", [False, True])
def test_an_edited_card_is_never_written_over(options, redrawn):
    card = edit(options.shards)
    progress = RecordedProgress()
    if redrawn:
        (options.shards / "00001.tar").unlink()
    render(options, progress)
    assert read_card(folder_at(options.shards)) == card
    assert any("README.md: was edited" in note for note in progress.notes) == redrawn


def test_an_edited_card_outlives_overwriting(options):
    card = edit(options.shards)
    render(dataclasses.replace(options, overwrite=True, canny_blur=1.0))
    assert read_card(folder_at(options.shards)) == card


def test_our_own_card_is_replaced_with_the_shards(options):
    card = read_card(folder_at(options.shards))
    render(dataclasses.replace(options, overwrite=True, canny_blur=1.0))
    assert read_card(folder_at(options.shards)) != card
    assert verify(options.shards).problems == []


def test_the_card_of_another_manifest_is_found(options, base):
    shutil.copy(base / "scattered" / "out" / "README.md", options.shards)
    (problem,) = verify(options.shards).problems
    assert problem.startswith("README.md: not of this manifest")


@pytest.mark.parametrize("card", [b"", b"\xff\xfe", b"# Mine\n", b"<!-- sketchforge: -->\n"])
def test_any_other_text_counts_as_edited(options, card):
    (options.shards / "README.md").write_bytes(card)
    assert verify(options.shards).problems == []
    assert not write_card(folder_at(options.shards), read_manifest(folder_at(options.shards)))


def test_text_of_others_does_no_harm(manifest):
    evil = "a|b<script>x</script>\n# head\n---\nlicense: mit [x](javascript:alert(1)) \ud800"
    hostile = dict(manifest) | {
        "styles": [evil],
        "options": dict(manifest["options"]) | {"method": evil, evil: [evil]},
        "libraries": {evil: evil},
        "digests": {evil: evil},
        "outcomes": {"ok": 8, evil: 1},
    }
    text = dataset_card(hostile).decode()
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert "\n# head" not in text
    assert text.split("---\n")[1] == dataset_card(manifest).decode().split("---\n")[1], "the front matter"


def with_counts(manifest: Mapping, count: int) -> str:
    """The front matter of a folder of so many samples."""
    shards = [dict(manifest["shards"][0]) | {"samples": count}]
    return dataset_card(dict(manifest) | {"shards": shards}).decode().split("---\n")[1]


@pytest.mark.parametrize(
    ("count", "name"),
    [
        (1, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (9999, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (5_000_000, "1M<n<10M"),
        (10**9, "1B<n<10B"),
        (10**12, "n>1T"),
    ],
)
def test_sizes_have_the_hubs_names(manifest, count, name):
    assert f"size_categories:\n- {name}\n" in with_counts(manifest, count)


# Licences


def drawn_by(manifest: Mapping, method: str, digests: Mapping[str, str]) -> str:
    changed = {"options": dict(manifest["options"]) | {"method": method}, "digests": digests}
    return dataset_card(dict(manifest) | changed).decode()


def builtin_record() -> dict:
    return json.loads(KNOWN["tom"].candidates()[0].read_text())


def test_a_folder_drawn_by_the_shipped_snapshots_says_what_they_learnt_from(manifest):
    record = builtin_record()
    first = record["snapshots"][0]
    card = drawn_by(manifest, "tom", {first["style"]: first["digest"]})
    assert KNOWN["tom"].licence in card


def test_a_folder_drawn_with_the_shipped_encoder_says_what_that_learnt_from(manifest):
    card = drawn_by(manifest, "tom", {"encoder": builtin_record()["encoder"], "tom-9": "ab" * 32})
    assert KNOWN["builtin"].licence in card
    assert KNOWN["tom"].licence not in card


def test_a_folder_drawn_by_a_run_of_ones_own_blames_no_shipped_weights(manifest):
    card = drawn_by(manifest, "tom", {"encoder": "cd" * 32, "tom-9": "ab" * 32})
    assert "BSDS500" not in card


@pytest.mark.parametrize("method", ["hed", "pidinet", "teed"])
def test_a_folder_drawn_by_an_edge_network_has_its_licence(manifest, method):
    assert KNOWN[method].licence in drawn_by(manifest, method, {method: "ab" * 32})


def test_the_digest_at_the_end_is_of_the_rest(manifest):
    card = dataset_card(manifest)
    text, mark = card[: card.rindex(b"<!--")], card[card.rindex(b"<!--") :]
    assert hashlib.sha256(text).hexdigest().encode() in mark
