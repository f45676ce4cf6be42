"""Broad edges become their ridges: `images/edge_thinning.py`, and `render --thin`."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import ndimage
from skimage.morphology import thin as thin_lines

from cli.main import run
from sketchforge.errors import UsageError
from sketchforge.images.edge_thinning import suppress_non_maxima
from sketchforge.models.pidinet import PiDiNet
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from tests.helpers.folders import contents, stored_sketches

SIDE = 31
EIGHT = np.ones((3, 3))


def blurred(*lines: tuple[tuple[int, int], tuple[int, int]], spread: float = 1.5) -> np.ndarray:
    """uint8 SIDE x SIDE: lines between points (x, y), as broad and soft as a detector's edges."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    for first, last in lines:
        cv2.line(drawn, first, last, 255, 1)
    soft = cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), spread, borderType=cv2.BORDER_REPLICATE)
    return (255 - np.clip(220 * soft / soft.max(), 0, 255)).astype(np.uint8)


def ridges(sketch: np.ndarray, darkness: int = 30) -> np.ndarray:
    """bool: what is left, and not faint."""
    return suppress_non_maxima(sketch) <= 255 - darkness


def test_a_blurred_line_becomes_one_pixel_wide_at_its_ridge():
    sketch = blurred(((0, 12), (30, 12)))
    expected = np.full_like(sketch, 255)
    expected[12] = sketch[12]
    assert np.array_equal(suppress_non_maxima(sketch), expected)


@pytest.mark.parametrize("ends", [((0, 3), (30, 20)), ((4, 0), (9, 30)), ((0, 30), (30, 0))])
def test_an_inclined_line_keeps_its_place_and_one_pixel_in_every_row_or_column(ends):
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    cv2.line(drawn, *ends, 255, 1)
    left = ridges(blurred(ends))
    axis = 0 if abs(ends[0][0] - ends[1][0]) >= abs(ends[0][1] - ends[1][1]) else 1
    inside = left.any(axis=axis)[3:-3]
    assert inside.all()
    assert left.sum(axis=axis)[3:-3].max() == 1
    distance = ndimage.distance_transform_edt(drawn == 0)
    assert distance[3:-3, 3:-3][left[3:-3, 3:-3]].max() <= 1


@pytest.mark.parametrize("width", [2, 3, 5, 12])
def test_a_plateau_is_thinned_to_a_line_along_its_middle(width):
    sketch = np.full((SIDE, 60), 255, np.uint8)
    sketch[10 : 10 + width] = 40
    left = suppress_non_maxima(sketch) < 255
    middle = left[:, 15:-15]
    assert (middle.sum(axis=0) == 1).all()
    assert np.abs(np.nonzero(middle)[0] - (10 + (width - 1) / 2)).max() <= 0.5


@pytest.mark.parametrize(
    "lines",
    [
        (((0, 15), (30, 15)), ((15, 15), (15, 30))),  # T
        (((0, 15), (30, 15)), ((15, 0), (15, 30))),  # +
        (((3, 3), (27, 27)), ((27, 3), (3, 27))),  # X
        (((15, 0), (15, 14)), ((15, 14), (4, 30)), ((15, 14), (26, 30))),  # Y
        (((8, 0), (8, 22)), ((8, 22), (30, 22))),  # a corner
    ],
    ids=["T", "+", "X", "Y", "L"],
)
def test_lines_that_meet_are_not_torn_apart(lines):
    left = ridges(blurred(*lines))
    assert ndimage.label(left, EIGHT)[1] == 1
    for ends in lines:  # all of each line is still there
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        cv2.line(drawn, *ends, 255, 1)
        assert ndimage.distance_transform_edt(~left)[drawn > 0].max() <= 3
    assert left.sum() < 1.3 * sum(max(abs(x2 - x1), abs(y2 - y1)) + 1 for (x1, y1), (x2, y2) in lines)


def test_a_faint_line_that_runs_into_a_dark_one_reaches_it():
    dark, faint = blurred(((0, 15), (30, 15))), blurred(((15, 15), (15, 30)))
    sketch = np.clip(dark - (255.0 - faint) / 3, 0, 255).astype(np.uint8)
    assert ndimage.label(ridges(sketch), EIGHT)[1] == 1


def test_two_lines_side_by_side_stay_two():
    left = ridges(blurred(((10, 0), (10, 30)), ((16, 0), (16, 30))))
    assert np.array_equal(np.flatnonzero(left.any(axis=0)), [10, 16])


def test_darkness_is_kept_where_a_ridge_is_and_nothing_gets_darker():
    sketch = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (40, 57), np.uint8), (0, 0), 2)
    thinned = suppress_non_maxima(sketch)
    kept = thinned < 255
    assert 0 < kept.mean() < 0.4
    assert np.array_equal(thinned[kept], sketch[kept])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3)])
@pytest.mark.parametrize("grey", [0, 90, 255])
def test_flat_and_tiny_sketches_pass(shape, grey):
    thinned = suppress_non_maxima(np.full(shape, grey, np.uint8))
    assert thinned.shape == shape
    assert thinned.dtype == np.uint8


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match="expected a sketch of uint8 HxW, found float32"):
        suppress_non_maxima(np.zeros((4, 4), np.float32))


@pytest.fixture(scope="module")
def thin(photos, tmp_path_factory) -> RenderOptions:
    """PiDiNet of random weights, thin lines."""
    folder = tmp_path_factory.mktemp("thin")
    torch.manual_seed(0)
    save_file(PiDiNet([4, 8, 12, 12], 4).state_dict(), str(folder / "pidinet.safetensors"))
    options = RenderOptions(
        shards=folder / "out",
        images=photos,
        method="pidinet",
        edge_weights=folder / "pidinet.safetensors",
        size=48,
        limit=4,
        threads=1,
        workers=1,
        device="cpu",
        thin=True,
        threshold=0.7,
    )
    render(options)
    return options


def test_render_draws_thin_lines_and_records_it(thin):
    manifest = json.loads((thin.shards / "manifest.json").read_text())
    assert manifest["options"]["thin"] is True
    drawn = stored_sketches(thin.shards)
    assert any((sketch == 0).any() for sketch in drawn.values())
    for sketch in drawn.values():
        assert thin_lines(sketch == 0).sum() > 0.97 * (sketch == 0).sum()


def test_thin_lines_have_the_same_bytes_again_with_any_workers(thin, tmp_path):
    again = replace(thin, shards=tmp_path / "out", workers=2)
    render(again)
    assert contents(again.shards) == contents(thin.shards)


def test_thin_and_broad_lines_do_not_mix_in_a_folder(thin):
    with pytest.raises(UsageError, match="thin"):
        render(replace(thin, thin=False))


def test_thin_lines_lie_within_the_broad_ones(thin, tmp_path):
    broad = replace(thin, shards=tmp_path / "out", thin=False)
    render(broad)
    pairs = zip(stored_sketches(thin.shards).values(), stored_sketches(broad.shards).values(), strict=True)
    assert all((broad_sketch[sketch == 0] == 0).all() for sketch, broad_sketch in pairs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "canny"], "--thin: has no meaning with --method canny"),
        (["--method", "tom"], "--thin: has no meaning with --method tom"),
        (["--method", "teed", "--hands", "builtin"], "--thin: has no meaning with --hands"),
    ],
)
def test_thin_is_refused_where_it_means_nothing(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert run(["render", "--thin", *words, "--shards", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err.strip()
    assert printed.startswith(f"error: {message}")
    assert "\n" not in printed
    assert not Path(tmp_path / "out").exists()
