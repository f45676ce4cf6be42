"""The snapshots that come with sketchforge: found when nothing else is there, small, whole, and all different."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder
from sketchforge.checkpoints.tom import (
    ENCODER_FILE,
    builtin_run,
    find_tom_run,
    read_run_encoder,
    read_tom_run,
)
from sketchforge.errors import SketchforgeError
from sketchforge.images.builtin.photos import load_photos
from sketchforge.images.line_art import binarize
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.sketches.strokes import measure_strokes
from sketchforge.metrics.sketches.variety import sketch_style_vectors, style_distances, vendi_score
from sketchforge.options import RenderOptions
from sketchforge.sketchers.tom import TomSketcher
from tests.helpers.forks import forked_cli
from tests.helpers.photos import make_photos


@pytest.fixture(scope="module")
def drawn():
    """uint8 (photos, 10, H, W) of every twelfth built-in photo, black and white as `render` makes them."""
    sketcher = TomSketcher.from_run(builtin_run(), 10, torch.device("cpu"))
    photos = np.stack([photo for _, photo in load_photos()[::12]])
    drawings = [sketcher.sketches(to_tensor(photo))[0, :, 0].numpy() for photo in photos]
    thresholds = RenderOptions(Path("unused")).thresholds
    grey = np.rint(np.stack(drawings) * 255).astype(np.uint8)
    return np.array([[binarize(sketch, *thresholds) for sketch in styles] for styles in grey])


def test_they_are_small_and_belong_to_the_builtin_encoder():
    run = builtin_run()
    assert sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) <= 2_100_000
    record = read_tom_run(run)
    assert len(record["snapshots"]) == 10
    assert record["encoder"] == encoder_digest(load_encoder("builtin"))


def test_the_encoder_is_not_stored_a_second_time_and_a_copy_of_the_run_finds_it(tmp_path):
    assert not (builtin_run() / ENCODER_FILE).exists()
    copy = shutil.copytree(builtin_run(), tmp_path / "copy")
    record = read_tom_run(copy)
    assert encoder_digest(read_run_encoder(copy, record)) == record["encoder"]


def test_a_run_of_another_encoder_needs_its_own(tmp_path):
    with pytest.raises(SketchforgeError, match=f"{tmp_path / ENCODER_FILE}: no such file"):
        read_run_encoder(tmp_path, {"encoder": "another"})


def test_every_style_draws_lines_and_leaves_paper(drawn):
    for style in drawn.swapaxes(0, 1):
        ink = [measure_strokes(sketch).ink for sketch in style]
        assert 0.01 < np.mean(ink) < 0.25


def test_the_styles_are_not_one(drawn):
    scores = [vendi_score(style_distances(sketch_style_vectors(sketches))) for sketches in drawn]
    assert np.mean(scores) > 2


def test_a_run_of_ones_own_goes_before_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_tom_run(None) == builtin_run()
    (tmp_path / "runs" / "tom").mkdir(parents=True)
    assert str(find_tom_run(None)) == "runs/tom"
    assert str(find_tom_run("builtin")) == str(builtin_run())
    assert str(find_tom_run(tmp_path / "mine")) == str(tmp_path / "mine")


def test_render_without_training_says_what_it_draws_with(tmp_path):
    make_photos(tmp_path / "photos", 2)
    arguments = (
        "render --images photos --checkpoints 10 --size 48 --threads 1 --workers 1 --shards out/".split()
    )
    first = forked_cli(*arguments, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "10 snapshots of the built-in run" in first.stdout
    assert len(list(tmp_path.glob("out/*.tar"))) == 2

    shutil.copytree(builtin_run(), tmp_path / "runs" / "tom")
    again = forked_cli(*[*arguments[:-1], "own/"], cwd=tmp_path)
    assert "10 snapshots of runs/tom" in again.stdout


def test_a_run_that_is_not_finished_is_named_and_the_way_around_it(tmp_path):
    make_photos(tmp_path / "photos", 1)
    (tmp_path / "runs" / "tom").mkdir(parents=True)
    record = read_tom_run(builtin_run())
    del record["snapshots"]
    (tmp_path / "runs" / "tom" / "run.json").write_text(json.dumps(record))
    failed = forked_cli("render", "--images", "photos", "--shards", "out/", cwd=tmp_path)
    assert failed.returncode == 2
    assert "has not finished" in failed.stderr
    assert "--tom builtin" in failed.stderr
