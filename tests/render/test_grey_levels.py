"""`--sketch-format png` has few greys: soft ones hide a copy of the photo."""

from dataclasses import replace

import numpy as np
import pytest

from cli.main import run
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.line_art import quantize_greys
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.manifest import read_manifest
from sketchforge.storage.folder import folder_at
from sketchforge.utils.files import checksummed_json, read_json, write_bytes
from tests.helpers.folders import stored_sketches

ALL = np.arange(256, dtype=np.uint8)


def test_greys_by_hand():
    assert np.unique(quantize_greys(ALL, 2)).tolist() == [0, 255]
    assert np.unique(quantize_greys(ALL, 4)).tolist() == [0, 85, 170, 255]
    assert quantize_greys(np.array([0, 42, 43, 127, 128, 212, 213, 255], np.uint8), 4).tolist() == [
        0, 0, 85, 85, 170, 170, 255, 255
    ]  # fmt: skip


@pytest.mark.parametrize("levels", [2, 3, 5, 8, 16, 100, 255, 256])
def test_greys_are_equally_spaced_from_black_to_paper(levels):
    greys = np.unique(quantize_greys(ALL, levels))
    assert len(greys) == levels
    np.testing.assert_allclose(greys, np.linspace(0, 255, levels), atol=0.51)
    assert (greys[0], greys[-1]) == (0, 255)


@pytest.mark.parametrize("levels", [2, 3, 5, 8, 16, 100, 255, 256])
def test_a_second_time_changes_nothing_and_the_nearest_grey_is_taken(levels):
    once = quantize_greys(ALL, levels)
    assert np.array_equal(quantize_greys(once, levels), once)
    assert np.abs(once.astype(int) - ALL).max() <= 255 / (levels - 1) / 2 + 0.5
    assert (np.diff(once.astype(int)) >= 0).all()


def test_all_256_greys_stay_as_they_are():
    assert np.array_equal(quantize_greys(ALL, 256), ALL)


@pytest.fixture(scope="module")
def soft(photos, tmp_path_factory) -> RenderOptions:
    """TOM in grey, one snapshot, 8 greys by default."""
    shards = tmp_path_factory.mktemp("soft") / "out"
    options = RenderOptions(
        shards,
        photos,
        checkpoints=1,
        size=48,
        limit=3,
        sketch_format="png",
        workers=1,
        threads=1,
        device="cpu",
    )
    render(options)
    return options


def test_render_stores_few_greys_and_says_how_many(soft):
    assert read_manifest(folder_at(soft.shards))["options"]["grey_levels"] == 8
    greys = np.unique(np.concatenate([sketch.ravel() for sketch in stored_sketches(soft.shards).values()]))
    assert set(greys) <= set(quantize_greys(ALL, 8))
    assert 2 < len(greys)


def test_256_levels_keep_what_was_drawn(soft, tmp_path):
    full = replace(soft, shards=tmp_path / "out", grey_levels=256)
    render(full)
    drawn, stored = stored_sketches(full.shards), stored_sketches(soft.shards)
    assert len(np.unique(np.concatenate([sketch.ravel() for sketch in drawn.values()]))) > 16
    for name, sketch in stored.items():
        assert np.array_equal(quantize_greys(drawn[name], 8), sketch)


def test_another_number_of_greys_is_refused_in_the_same_folder(soft):
    with pytest.raises(UsageError, match="--grey-levels 8, now 16"):
        render(replace(soft, grey_levels=16))


def test_black_and_white_has_no_greys_to_count(tmp_path, rendered, capsys, monkeypatch):
    assert "grey_levels" not in read_manifest(folder_at(rendered.shards))["options"]
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["render", "--method", "canny", "--grey-levels", "16", "--shards", str(tmp_path / "out")]
    assert run(words) == 2
    assert "--grey-levels: has no meaning with --sketch-format png1" in capsys.readouterr().err


@pytest.mark.parametrize("levels", [1, 257])
def test_impossible_numbers_are_refused(levels, tmp_path):
    with pytest.raises(UsageError, match=f"--grey-levels {levels}: expected 2 to 256"):
        render(RenderOptions(tmp_path / "out", method="canny", sketch_format="png", grey_levels=levels))


@pytest.mark.parametrize("levels", [0, 1, 257, "8", None])
def test_a_manifest_with_an_impossible_number_is_refused(levels, rendered, tmp_path):
    manifest = read_json(rendered.shards / "manifest.json")
    del manifest["checksum"]
    manifest["options"]["grey_levels"] = levels
    write_bytes(tmp_path / "manifest.json", checksummed_json(manifest))
    with pytest.raises(SketchforgeError, match="options: missing or not as a manifest has it"):
        read_manifest(folder_at(tmp_path))


def test_inspect_tells_how_many_greys(soft, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert run(["inspect", str(soft.shards)]) == 0
    assert "png, 8 greys" in capsys.readouterr().out


def test_inspect_reads_a_folder_that_hands_drew(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    render(
        RenderOptions(tmp_path / "out", photos, method="canny", hands="builtin", size=64, limit=1, workers=1)
    )
    assert run(["inspect", str(tmp_path / "out")]) == 0
    assert "sketches png1" in " ".join(capsys.readouterr().out.split())
