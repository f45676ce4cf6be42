"""Skt-Rec: the distance of two drawings, and drawing again as the shards were drawn."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sketchforge.checkpoints.catalog import AbsentError
from sketchforge.errors import UsageError
from sketchforge.metrics.images.inputs import SampleReader
from sketchforge.metrics.images.sketch_reconstruction import redrawing_of, sketch_distances
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.shard_set import open_shards
from tests.helpers.photos import make_photos

CPU = torch.device("cpu")


def columns(*places: int, side: int = 256) -> np.ndarray:
    drawn = np.full((1, side, side), 255, np.uint8)
    drawn[0, 40:200, list(places)] = 0
    return drawn


def distance(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    found = sketch_distances(a, b)
    return float(found["absolute"][0]), float(found["relative"][0])


def test_nothing_between_equal_drawings_and_blank_ones():
    assert distance(columns(50, 90), columns(50, 90)) == (0, 0)
    assert distance(columns(), columns()) == (0, 0)


def test_lines_that_do_not_meet_count_in_full():
    """Both of 160 pixels of ink: the absolute figure is their share, the relative one 1."""
    assert distance(columns(50), columns(150)) == pytest.approx((320 / 256**2, 1), rel=1e-6)


def test_a_blank_drawing_is_as_far_as_can_be_by_its_ink():
    assert distance(columns(50), columns()) == pytest.approx((160 / 256**2, 1), rel=1e-6)


def test_lines_a_pixel_away_count_less_than_half():
    away = [distance(columns(50), columns(50 + step))[1] for step in (0, 1, 2, 3, 6)]
    assert away == sorted(away)
    assert away[1] < 0.45
    assert away[-1] > 0.97


def test_it_is_symmetric_and_pair_by_pair():
    a, b = np.concatenate([columns(50), columns(90)]), np.concatenate([columns(50, 70), columns(130)])
    forth, back = sketch_distances(a, b), sketch_distances(b, a)
    for name in forth:
        np.testing.assert_allclose(forth[name], back[name])
    assert forth["relative"][0] == pytest.approx(1 / 3)
    assert forth["relative"][1] == pytest.approx(1)


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match="expected equal ones"):
        sketch_distances(columns(5), columns(5, side=210))
    with pytest.raises(ValueError, match="expected sketches uint8"):
        sketch_distances(columns(5) / 255.0, columns(5))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """Four photos by two built-in snapshots."""
    folder = tmp_path_factory.mktemp("drawn")
    photos = make_photos(folder / "photos", 4)
    options = RenderOptions(
        folder / "out",
        photos,
        tom=Path("builtin"),
        checkpoints=2,
        hands="none",
        size=64,
        workers=1,
        threads=1,
        batch_size=4,
    )
    render(options)
    return folder / "out"


def test_the_image_itself_drawn_again_is_its_sketch(drawn):
    """But for its JPEG: style by style, so another snapshot's drawing is farther."""
    shards = open_shards(drawn)
    reader = SampleReader(shards)
    found = [reader.read(index, [0, 1]) for index in range(4)]
    reader.close()
    redrawing = redrawing_of(shards, Path("builtin"), CPU)
    images = np.stack([one.image for one in found])
    sketches = np.stack([one.sketches[0] for one in found])
    same = sketch_distances(sketches, redrawing.draw(images, [0] * 4))["relative"]
    other = sketch_distances(sketches, redrawing.draw(images, [1] * 4))["relative"]
    assert same.max() < 0.15
    assert same.mean() < other.mean() / 2
    mixed = redrawing.draw(images, [0, 1, 0, 1])
    assert np.array_equal(mixed[::2], redrawing.draw(images[::2], [0, 0]))
    assert np.array_equal(mixed[1::2], redrawing.draw(images[1::2], [1, 1]))


def test_images_of_other_sizes_are_drawn_at_the_sketchs(drawn):
    redrawing = redrawing_of(open_shards(drawn), None, CPU)
    assert redrawing.draw(np.zeros((2, 32, 32, 3), np.uint8), [0, 1]).shape == (2, 64, 64)


def test_what_was_drawn_otherwise_is_a_gap(drawn, ten_sketches, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AbsentError, match="drawn by canny"):
        redrawing_of(open_shards(ten_sketches), None, CPU)
    shards = open_shards(drawn)
    digests = {**shards.manifest["digests"], shards.styles[1]: "f" * 64}
    strange = dataclasses.replace(shards, manifest={**shards.manifest, "digests": digests})
    with pytest.raises(AbsentError, match="not drawn by the snapshots of the built-in run; name the run"):
        redrawing_of(strange, None, CPU)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(UsageError, match="other"):
        redrawing_of(shards, tmp_path / "other", CPU)
