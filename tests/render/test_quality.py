"""Every sample tells what its sketches are worth; blank ones may be left out; folders of the older format stay readable."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from cli.main import run
from sketchforge.errors import SketchforgeError
from sketchforge.images.sketch_quality import BLANK, describe_quality, measure_quality
from sketchforge.options import InspectOptions, RenderOptions
from sketchforge.render.render import render
from sketchforge.report.gallery.inspect import inspect
from sketchforge.shards import manifest as manifests
from sketchforge.shards.check_shard import _check_sample
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.schema import json_bytes
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from sketchforge.utils import files
from tests.helpers.folders import contents, lines, members, stored_sketches
from tests.helpers.photos import make_photos


@pytest.fixture(scope="module")
def some_blank(tmp_path_factory) -> RenderOptions:
    """Three photos and two white sheets, two a shard, a sketch of each; never written to."""
    folder = tmp_path_factory.mktemp("blank")
    photos = make_photos(folder / "in", 3)
    for name in ("a-white.png", "z-white.png"):
        Image.new("RGB", (60, 60), "white").save(photos / name)
    options = RenderOptions(
        folder / "out", photos, method="canny", size=48, samples_per_shard=2, workers=1, drop_blank=True
    )
    render(options)
    return options


def paper(*spots: tuple[int, int, int]) -> np.ndarray:
    """40 × 50 pixels of paper, with a level at each (row, column, level)."""
    sketch = np.full((40, 50), 255, np.uint8)
    for row, column, level in spots:
        sketch[row, column] = level
    return sketch


@pytest.mark.parametrize(
    ("spots", "ink", "components"),
    [
        ([], 0, 0),
        ([(3, 3, 0), (4, 4, 0)], 2 / 2000, 1),  # they touch at a corner
        ([(3, 3, 0), (5, 5, 0), (3, 9, 0)], 3 / 2000, 3),
        (
            [(0, 0, 127), (9, 9, 128)],
            (128 + 127) / 255 / 2000,
            1,
        ),  # a grey that is paper more than ink is no line
    ],
)
def test_ink_is_darkness_and_pieces_hang_together_at_corners(spots, ink, components):
    quality = measure_quality(paper(*spots))
    assert quality.ink == pytest.approx(ink)
    assert quality.components == components


def test_a_sketch_is_blank_below_a_thousandth_of_ink():
    two, one = measure_quality(paper((1, 1, 0), (8, 8, 0))), measure_quality(paper((1, 1, 0)))
    assert (two.ink, one.ink) == (pytest.approx(BLANK), pytest.approx(BLANK / 2))
    assert (measure_quality(paper((1, 1, 0), (8, 8, 0), (9, 9, 0))).is_blank, one.is_blank) == (False, True)
    assert describe_quality([one]) == {"ink": [0.0005], "components": [1], "blank": [True]}


def test_every_sample_tells_the_quality_of_each_of_its_sketches(with_strokes):
    sketches = stored_sketches(with_strokes.shards)
    blank = 0
    for number in range(2):
        stored = members(with_strokes.shards, number)
        for key in {name.partition(".")[0] for name in stored}:
            quality = json.loads(stored[f"{key}.json"])["quality"]
            for index in range(len(quality["ink"])):
                grey = np.asarray(sketches[f"{key}.sketch{index}.png"]).astype(np.uint8) * 255
                measured = measure_quality(grey)
                assert quality["ink"][index] == pytest.approx(measured.ink, abs=1e-5)
                assert quality["components"][index] == measured.components
                blank += quality["blank"][index]
    assert blank == 10  # all hands leave the white photo white


def test_images_whose_sketches_are_all_blank_are_left_out_and_counted(some_blank):
    left_out = [line for line in lines(some_blank.shards) if line["status"] == "left out"]
    assert [(line["key"], line["reason"]) for line in left_out] == [
        ("a-white_png", "blank"),
        ("z-white_png", "blank"),
    ]
    assert all(len(line["sha256"]) == 64 for line in left_out)
    manifest = read_manifest(folder_at(some_blank.shards))
    assert manifest["outcomes"] == {"ok": 3, "blank": 2}
    assert manifest["options"]["drop_blank"] is True
    assert {name.partition(".")[0] for name in stored_sketches(some_blank.shards)} == {
        "p000",
        "p001",
        "p002_png",
    }


def test_what_is_left_out_is_no_failure(some_blank, tmp_path):
    summary = render(dataclasses.replace(some_blank, shards=tmp_path / "out", max_failures=0))
    assert (summary.num_failed, summary.some_failed) == (0, [])
    before = contents(some_blank.shards)
    again = render(dataclasses.replace(some_blank, retry_failed=True))
    assert (again.num_images, contents(some_blank.shards)) == (0, before)
    report = verify(some_blank.shards)
    assert (report.problems, report.num_failed, report.num_left_out) == ([], 0, 2)
    assert inspect(InspectOptions(some_blank.shards)).num_samples == 3


def test_what_is_left_out_is_said(some_blank, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["render", "--images", some_blank.images, "--shards", tmp_path / "out", "--method", "canny"]
    assert run([*map(str, words), "--size", "48", "--workers", "1", "--drop-blank"]) == 0
    assert "2 images left out by --drop-blank: all sketches blank" in capsys.readouterr().out
    assert run(["inspect", str(tmp_path / "out")]) == 0
    assert "left out  2 inputs: blank sketches only" in capsys.readouterr().out
    assert run(["verify", str(tmp_path / "out")]) == 0
    assert "2 inputs left out as blank" in capsys.readouterr().out


def test_nothing_but_blank_sketches_is_a_failure_that_says_so(some_blank, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(some_blank.images / "a-white.png", tmp_path / "in")
    with pytest.raises(SketchforgeError, match="no image could be drawn, of 1: all sketches are blank"):
        render(dataclasses.replace(some_blank, images=tmp_path / "in", shards=tmp_path / "out"))


@pytest.fixture
def older(photos, tmp_path) -> RenderOptions:
    """A finished folder of version 4, whose samples tell no quality."""
    options = RenderOptions(tmp_path / "out", photos, method="canny", size=48, samples_per_shard=4, workers=1)
    make = manifests.new_manifest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "new_manifest", lambda **entries: make(**entries | {"quality": False}))
        patch.setattr("sketchforge.shards.schema.VERSION", 4)
        render(options)
    manifest = json.loads((options.shards / "manifest.json").read_text())
    for name in ("checksum", "quality"):
        del manifest[name]
    files.write_bytes(options.shards / "manifest.json", files.checksummed_json(manifest))
    assert not any(b"quality" in data for data in members(options.shards).values())
    return options


def test_a_folder_of_the_older_format_is_read_and_left_as_it_is(older):
    before = contents(older.shards)
    assert verify(older.shards).problems == []
    assert open_shards(older.shards).num_samples == 10
    assert inspect(InspectOptions(older.shards)).num_samples == 10
    assert render(older).num_images == 0
    assert contents(older.shards) == before


def test_a_shard_made_again_has_the_samples_of_its_folder(older):
    before = members(older.shards, 1)
    (older.shards / "00001.tar").unlink()
    assert render(older).num_images == 4
    assert members(older.shards, 1) == before
    assert verify(older.shards).problems == []
    render(dataclasses.replace(older, overwrite=True))
    assert all("quality" in json.loads(members(older.shards)[f"{key}.json"]) for key in ("p000", "p001"))


def test_wrong_columns_of_quality_are_found(rendered):
    manifest, key = read_manifest(folder_at(rendered.shards)), "p000"
    stored = {name: data for name, data in members(rendered.shards).items() if name.startswith(f"{key}.")}
    assert list(_check_sample(key, list(stored.items()), manifest)) == []
    metadata = json.loads(stored[f"{key}.json"])
    metadata["quality"]["ink"] = []
    stored[f"{key}.json"] = json_bytes(metadata)
    assert list(_check_sample(key, list(stored.items()), manifest)) == [
        "p000.json: cannot be read (quality: expected 1 entry in every column)"
    ]
