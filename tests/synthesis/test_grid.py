"""The grid of sketches × styles: every image at its place, labels beside them, bad shapes refused."""

import tracemalloc

import numpy as np
import pytest

from sketchforge.images.contact_sheet import BACKGROUND, MARGIN, labelled_grid
from sketchforge.images.decode import read_image
from sketchforge.images.encode import write_png
from sketchforge.images.resize import fit_square

CELL = 64


def flat(level, height=CELL, width=CELL):
    """An image of one colour, that no label and no other image has."""
    return np.full((height, width, 3), (level, 255 - level, 7), np.uint8)


def example(columns=3, rows=2, label="a name"):
    heads = [(label, flat(100 + number)) for number in range(columns)]
    sides = [(label, flat(150 + number)) for number in range(rows)]
    cells = [[flat(1 + row * columns + column) for column in range(columns)] for row in range(rows)]
    return heads, sides, cells


def corner_of(grid, level):
    """y and x of the one square of a flat image."""
    y, x = np.nonzero((grid == (level, 255 - level, 7)).all(-1))
    assert len(y) == CELL * CELL
    assert np.ptp(y) == np.ptp(x) == CELL - 1
    return int(y.min()), int(x.min())


@pytest.mark.parametrize("label", ["", "name.png", "a name that is far too long for its place.png"])
def test_images_lie_in_rows_and_columns_whatever_the_labels(label):
    heads, sides, cells = example(label=label)
    grid = labelled_grid("sketch \\ style", heads, sides, cells)
    top, left = corner_of(grid, 100)[0], corner_of(grid, 150)[1]
    pitch = CELL + MARGIN
    assert grid.shape == (top + 3 * pitch, left + 4 * pitch, 3)
    for column in range(3):
        assert corner_of(grid, 100 + column) == (top, left + (1 + column) * pitch)
        for row in range(2):
            assert corner_of(grid, 150 + row) == (top + (1 + row) * pitch, left)
            found = corner_of(grid, 1 + row * 3 + column)
            assert found == (top + (1 + row) * pitch, left + (1 + column) * pitch)


def test_labels_stay_above_columns_and_left_of_rows():
    heads, sides, cells = example()
    for text in ("short", "long enough to need an ellipsis, and then some"):
        named_heads, named_sides = ([(text, one) for _, one in some] for some in (heads, sides))
        named = labelled_grid(text, named_heads, named_sides, cells)
        blank = [[None] * 3] * 2
        bare = labelled_grid("", [(text, None)] * 3, [(text, None)] * 2, blank, CELL)
        assert named.shape == bare.shape
        top, left = corner_of(named, 100)[0], corner_of(named, 150)[1]
        written = (bare != BACKGROUND).any(-1)
        assert written[:top].any()
        assert written[:, :left].any()
        assert not written[top:, left:].any()
        inside = np.zeros_like(written)
        for column in range(1, 4):  # a label keeps to its own column, else neighbours would run together
            x = left + column * (CELL + MARGIN)
            inside[:top, x : x + CELL] = True
            assert written[:top, x : x + CELL].any()
        assert not (written[:top] & ~inside[:top]).any()


def test_long_labels_keep_both_ends():
    """Two names that differ in an end only do not look alike."""
    heads, sides, cells = example(columns=2, rows=1)
    long = "x" * 60
    for one, other in ((long + "1", long + "2"), ("1" + long, "2" + long)):
        grids = [labelled_grid("", [(name, None), ("", None)], sides, cells) for name in (one, other)]
        assert (grids[0] != grids[1]).any()
    assert np.array_equal(*(labelled_grid("", [(f"{long}{m}{long}", None)] * 2, sides, cells) for m in "ab"))


def test_unequal_sizes_greys_and_gaps_fit_into_a_grid():
    wide, grey = flat(3, 20, 50), np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8)
    grid = labelled_grid("", [("", wide)], [("", grey)], [[None]], cell=40)
    pitch = 40 + MARGIN
    top, left = grid.shape[0] - 2 * pitch, grid.shape[1] - 2 * pitch

    def part(row, column):
        y, x = top + row * pitch, left + column * pitch
        return grid[y : y + 40, x : x + 40]

    assert np.array_equal(part(0, 1), fit_square(wide, 40, "pad"))
    assert np.array_equal(part(1, 0), np.repeat(fit_square(grey, 40, "pad")[..., None], 3, axis=2))
    assert (part(0, 0) == BACKGROUND).all()
    assert (part(1, 1) == BACKGROUND).all()


def test_cells_are_as_large_as_the_heads_by_default():
    def side(*sizes):
        heads = [("", flat(1, size, size)) for size in sizes]
        grid = labelled_grid("", heads, [("", None)], [[None] * len(sizes)])
        return grid.shape[1] - (2 + len(sizes)) * MARGIN

    assert side(50, 80) == 3 * 80
    assert side(900) == 2 * 256


def test_large_grids_take_little_more_than_themselves():
    image = flat(9)
    heads, sides = [("style", image)] * 100, [("sketch", image)] * 10
    labelled_grid("", heads[:1], sides[:1], [[image]])  # what is imported and cached at first use
    tracemalloc.start()
    grid = labelled_grid("", heads, sides, ([image] * 100 for _ in range(10)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grid.nbytes > 13_000_000
    assert peak < grid.nbytes + 1_000_000


def test_written_and_read_again(tmp_path):
    grid = labelled_grid("corner", *example())
    write_png(tmp_path / "grid.png", grid)
    assert np.array_equal(read_image(tmp_path / "grid.png"), grid)


def test_what_does_not_fit_is_refused():
    heads, sides, cells = example()
    for bad in (cells[:1], cells + cells[:1], iter([])):
        with pytest.raises(ValueError, match="expected cells for the 2 rows"):
            labelled_grid("", heads, sides, bad)
    with pytest.raises(ValueError, match=r"row 2 \(a name\): found 2 cells, expected 3"):
        labelled_grid("", heads, sides, [cells[0], cells[1][:2]])
    with pytest.raises(ValueError, match="0 columns and 2 rows"):
        labelled_grid("", [], sides, cells)
    with pytest.raises(ValueError, match="cell=0"):
        labelled_grid("", heads, sides, cells, cell=0)
    with pytest.raises(ValueError, match="expected uint8 H×W×3 or H×W, found float64"):
        labelled_grid("", heads, sides, [[cells[0][0] / 2.0] * 3] * 2)
