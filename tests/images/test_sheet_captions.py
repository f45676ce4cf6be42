"""What sheets and images say of themselves: a caption below, and the same in the file."""

import numpy as np
import pytest
from PIL import Image

from sketchforge.images.contact_sheet import (
    BACKGROUND,
    MARGIN,
    add_caption,
    contact_sheet,
    describe_enlargement,
    describe_fidelity,
)
from sketchforge.images.encode import write_captioned_png, write_png
from sketchforge.utils.outputs import is_ours

SHEET = np.full((40, 200, 3), 7, np.uint8)


def test_a_caption_stands_below_and_changes_nothing_above():
    captioned = add_caption(SHEET, "64 pixels")
    assert captioned.shape[0] > 40
    assert captioned.shape[1:] == (200, 3)
    assert np.array_equal(captioned[:40], SHEET)
    assert captioned[40:].min() < 100 < captioned[40:].max() == BACKGROUND


def test_a_long_caption_takes_more_lines_and_is_never_cut():
    heights = [len(add_caption(SHEET, " ".join(["pixels"] * count))) for count in (1, 8, 40)]
    assert heights == sorted(set(heights))
    below = add_caption(SHEET, " ".join(["pixels"] * 40))[40:]
    assert (below[:, -MARGIN:] == BACKGROUND).all()
    assert len(add_caption(SHEET, "x" * 500)) == heights[0]  # a word loses its middle


def test_names_stand_at_the_left_of_their_rows():
    row = [np.zeros((32, 32), np.uint8)]
    bare, named = contact_sheet([row, row], ["a"]), contact_sheet([row, row], ["a"], names=["first", ""])
    width = named.shape[1] - bare.shape[1]
    assert width > 0
    assert np.array_equal(named[:, width:], bare)
    head = bare.shape[0] - 2 * (32 + MARGIN)
    left = named[head:, :width]
    assert (left[:32] < 150).any()
    assert (left[32 + MARGIN :] == BACKGROUND).all()
    with pytest.raises(ValueError, match="1 names for 2 rows"):
        contact_sheet([row, row], ["a"], names=["one"])


def test_sizes_are_told_and_whether_pixels_are_those_of_the_shards():
    assert describe_enlargement(64, 64) == "64 pixels"
    assert describe_enlargement(64, 128) == "64 pixels, shown at 128"
    square, wide = np.zeros((64, 64), np.uint8), np.zeros((64, 80), np.uint8)
    assert describe_fidelity([square, square], 64).endswith("pixel for pixel")
    for sketches, cell in (([square, wide], 64), ([square], 32)):
        assert f"fitted into {cell} pixels" in describe_fidelity(sketches, cell)


def test_a_cell_of_a_sketchs_own_size_has_its_pixels():
    rng = np.random.default_rng(0)
    sketch = rng.integers(0, 2, (48, 48), np.uint8) * 255
    sheet = contact_sheet([[sketch]], ["a"], 48)
    assert np.array_equal(sheet[-48 - MARGIN : -MARGIN, MARGIN : MARGIN + 48, 0], sketch)


def test_files_tell_what_they_show_and_whose_they_are(tmp_path):
    write_captioned_png(tmp_path / "a.png", SHEET, "ae-train: 64 pixels, 5 × 6")
    write_png(tmp_path / "b.png", SHEET, "cat in the style of klee")
    for name, text in (("a", "ae-train: 64 pixels, 5 × 6"), ("b", "cat in the style of klee")):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.text == {"Software": "sketchforge", "Description": text}
        assert is_ours(tmp_path / f"{name}.png")
