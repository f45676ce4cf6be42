"""The share of line pixels that two drawings have in common: `metrics/sketches/shared_lines.py`."""

import cv2
import numpy as np
import pytest

from sketchforge.metrics.sketches.shared_lines import SIDE as LONGER_SIDE
from sketchforge.metrics.sketches.shared_lines import line_points, shared_lines

SIDE = 256


def drawing(*lines: tuple[tuple[int, int], tuple[int, int]], pen: int = 1, side: int = SIDE) -> np.ndarray:
    sketch = np.full((side, side), 255, np.uint8)
    for first, last in lines:
        cv2.line(sketch, first, last, 0, pen)
    return sketch


def share(*sketches: np.ndarray) -> float | None:
    return shared_lines([line_points(sketch) for sketch in sketches])


def scribble(seed: int, pen: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.integers(40, SIDE - 40, (9, 2))
    return drawing(*zip(map(tuple, points[:-1].tolist()), map(tuple, points[1:].tolist())), pen=pen)


TOP, BOTTOM = ((40, 50), (200, 50)), ((40, 200), (200, 200))
UPRIGHT = ((120, 20), (120, 180))


def test_equal_drawings_share_all():
    assert share(scribble(0), scribble(0)) == 1


def test_lines_that_are_nowhere_near_share_nothing():
    assert share(drawing(TOP), drawing(BOTTOM)) == 0


def test_half_of_the_lines_shared_is_a_half():
    assert share(drawing(TOP, BOTTOM), drawing(TOP, ((40, 120), (200, 120)))) == pytest.approx(0.5, abs=0.01)


def test_the_sparser_drawing_counts_whichever_comes_first():
    few, many = drawing(TOP), drawing(TOP, BOTTOM, ((40, 120), (200, 120)))
    assert share(few, many) == share(many, few) == 1


@pytest.mark.parametrize("shift", [(8, 8), (-7, 5), (3, -6)])
def test_a_shifted_copy_shares_all(shift):
    original = scribble(1)
    assert share(original, np.roll(original, shift, axis=(0, 1))) == 1


def test_a_copy_shifted_far_does_not():
    original = scribble(1)
    assert share(original, np.roll(original, (30, 22), axis=(0, 1))) < 0.6


@pytest.mark.parametrize("scale", [0.9, 1.1, 1.05])
def test_a_copy_that_is_a_little_smaller_or_larger_shares_nearly_all(scale):
    original = scribble(2)
    turn = cv2.getRotationMatrix2D((SIDE / 2 - 0.5, SIDE / 2 - 0.5), 0, scale)
    copy = cv2.warpAffine(original, turn, (SIDE, SIDE), borderValue=255)
    copy = np.where(copy < 200, 0, 255).astype(np.uint8)
    assert share(original, copy) > 0.93


def test_the_pen_does_not_count():
    assert share(drawing(TOP, pen=1), drawing(TOP, pen=9)) == pytest.approx(1, abs=0.01)
    assert share(scribble(3), scribble(3, pen=5)) > 0.9  # acute corners fill up


@pytest.mark.parametrize(("factor", "side"), [(2, 512), (0.5, 128)])
def test_the_size_of_the_sketch_does_not_count(factor, side):
    def scaled(*lines):
        return drawing(
            *(tuple((int(x * factor), int(y * factor)) for x, y in line) for line in lines), side=side
        )

    half = (TOP, BOTTOM), (TOP, ((40, 120), (200, 120)))
    assert share(scaled(*half[0]), scaled(*half[1])) == pytest.approx(0.5, abs=0.02)
    assert share(drawing(*half[0]), scaled(*half[0])) == pytest.approx(1, abs=0.02)


def test_sketches_need_not_be_square():
    wide = drawing(TOP, BOTTOM)[:, :210]
    assert share(wide, wide) == 1


def test_the_mean_is_over_all_pairs():
    pairs = share(drawing(TOP), drawing(TOP), drawing(BOTTOM))
    assert pairs == pytest.approx(1 / 3)


def test_blank_drawings_make_no_pair():
    blank = drawing()
    assert share(blank, blank) is None
    assert share(drawing(TOP)) is None
    assert share(blank, drawing(TOP), drawing(TOP)) == 1


def test_lines_at_the_border_of_the_paper_are_seen():
    border = drawing(((0, 0), (255, 0)), ((255, 0), (255, 255)))
    assert share(border, border) == 1
    assert share(drawing(((0, 0), (255, 0))), drawing(((0, 255), (255, 255)))) == 0


def test_the_longer_side_of_a_wide_sketch_spans_the_paper():
    wide = np.full((64, 256), 255, np.uint8)
    wide[:, [0, 255]] = 0
    across = line_points(wide)[:, 0]
    assert across.max() - across.min() == pytest.approx(255 / 256 * LONGER_SIDE, abs=1)


@pytest.mark.parametrize(("grey", "is_line"), [(127, True), (128, False)])
def test_the_darker_half_of_the_greys_is_line(grey, is_line):
    sketch = np.full((SIDE, SIDE), 255, np.uint8)
    sketch[100, 40:200] = grey
    assert (len(line_points(sketch)) > 0) == is_line
