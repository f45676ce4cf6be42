"""Strokes of drawn shapes: width, length, straightness and fragments as the eye would tell them."""

import dataclasses
import math

import cv2
import numpy as np
import pytest

from sketchforge.images.builtin.drawings import SUBJECTS, draw
from sketchforge.images.line_art import line_widths
from sketchforge.metrics.sketches.skeleton import fragments, without_corners
from sketchforge.metrics.sketches.strokes import (
    MEASURES,
    SHORT,
    Strokes,
    compare_strokes,
    measure_strokes,
    values_of,
)

SIDE = 256
DIAGONAL = SIDE * 2**0.5


def paper(height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.full((height, width), 255, np.uint8)


def line(start: tuple[float, ...], end: tuple[float, ...], sketch: np.ndarray | None = None) -> np.ndarray:
    """A hairline between two (x, y), rounded to pixels."""
    interval = [tuple(round(value) for value in point) for point in (start, end)]
    return cv2.line(paper() if sketch is None else sketch, *interval, 0, 1)


def skeleton(*rows: str) -> np.ndarray:
    """Rows of # and . as bool, with an empty border."""
    return np.pad(np.array([[character == "#" for character in row] for row in rows]), 1)


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8])
def test_width_is_exact_for_upright_lines(width, upright):
    sketch = paper()
    sketch[100 : 100 + width, 40:200] = 0
    found = measure_strokes(sketch.T.copy() if upright else sketch)
    assert found.width == found.narrow == found.broad == width
    assert found.relative_width == pytest.approx(width / DIAGONAL)
    assert found.ink == pytest.approx(width * 160 / SIDE**2)


@pytest.mark.parametrize("degrees", [10, 30, 45, 75])
@pytest.mark.parametrize("width", [3, 6, 10])
def test_width_is_within_a_pixel_in_any_direction(width, degrees):
    """Ink is every pixel whose middle is within half the width of the axis."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - 127.5
    angle = math.radians(degrees)
    across = np.abs(rows * math.cos(angle) - columns * math.sin(angle))
    along = np.abs(rows * math.sin(angle) + columns * math.cos(angle))
    sketch = np.where((across <= width / 2) & (along < 90), 0, 255).astype(np.uint8)
    found = measure_strokes(sketch)
    assert found.width == pytest.approx(width, abs=0.8)
    assert found.fragments == 1
    assert found.straightness > 0.98


def test_width_of_two_pens_is_told_by_the_percentiles():
    sketch = paper()
    sketch[50, 20:220] = 0
    sketch[100:106, 20:220] = 0
    found = measure_strokes(sketch)
    assert (found.narrow, found.broad) == (1, 6)


def test_widths_against_brute_force():
    """Half a width is the distance from one of a pixel's quarters to the nearest quarter of paper."""
    ink = np.pad(np.random.default_rng(0).random((9, 11)) < 0.8, 1)
    fine = ink.repeat(2, axis=0).repeat(2, axis=1)
    blank = np.argwhere(~fine)
    expected = np.zeros(ink.shape)
    for row, column in np.argwhere(fine):
        distance = np.sqrt(((blank - (row, column)) ** 2).sum(axis=1).min())
        expected[row // 2, column // 2] = max(expected[row // 2, column // 2], distance)
    np.testing.assert_allclose(line_widths(ink), expected, rtol=1e-5)


@pytest.mark.parametrize("degrees", [0, 10, 22.5, 30, 45, 60, 85, 90])
def test_a_straight_line_is_straight_and_as_long_as_it_is_in_any_direction(degrees):
    step = 100 * math.cos(math.radians(degrees)), 100 * math.sin(math.radians(degrees))
    found = measure_strokes(line((128 - step[0], 128 - step[1]), (128 + step[0], 128 + step[1])))
    assert found.fragments == 1
    assert found.mean_length * DIAGONAL == pytest.approx(201, abs=2)
    assert found.mean_length == found.median_length
    assert found.straightness == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("radius", [15, 40, 100])
def test_a_circle_is_one_fragment_not_straight_at_all(radius):
    found = measure_strokes(cv2.circle(paper(), (128, 128), radius, 0, 1))
    assert found.fragments == 1
    assert found.straightness == 0
    assert found.mean_length * DIAGONAL == pytest.approx(2 * math.pi * radius, rel=0.035)


@pytest.mark.parametrize("radius", [20, 40, 100])
def test_a_half_circle_is_two_over_pi(radius):
    found = measure_strokes(cv2.ellipse(paper(), (128, 128), (radius, radius), 30, 0, 180, 0, 1))
    assert found.fragments == 1
    assert found.straightness == pytest.approx(2 / math.pi, abs=0.015)


def test_straightness_is_weighted_by_length():
    sketch = cv2.circle(paper(), (60, 60), 20, 0, 1)
    found = measure_strokes(line((120, 200), (245, 200), sketch))
    around = 2 * math.pi * 20
    assert found.straightness == pytest.approx(125 / (125 + around), abs=0.01)


def test_gaps_make_fragments_and_shorten_them():
    whole = line((20, 100), (219, 100))
    broken = whole.copy()
    broken[:, 60::40] = 255
    one, five = measure_strokes(whole), measure_strokes(broken)
    assert (one.fragments, five.fragments) == (1, 5)
    assert one.mean_length * DIAGONAL == pytest.approx(200)
    assert five.mean_length * DIAGONAL == pytest.approx(196 / 5)


def test_a_crossing_makes_four_fragments():
    found = measure_strokes(line((128, 20), (128, 220), line((20, 120), (220, 120))))
    assert found.fragments == 4
    assert found.median_length * DIAGONAL == pytest.approx(100, abs=9)
    assert found.straightness == pytest.approx(1)


def test_share_of_short_fragments_by_hand():
    """Two percent of the diagonal are 7.2 pixels: seven pixels in a row are short, eight are not."""
    assert 7 < SHORT * DIAGONAL < 8
    sketch = paper()
    sketch[20, 10:17] = sketch[40, 10:18] = sketch[60, 10:15] = 0
    found = measure_strokes(sketch)
    assert found.fragments == 3
    assert found.short_share == pytest.approx((7 + 5) / (7 + 5 + 8))
    assert found.median_length * DIAGONAL == pytest.approx(7)


def test_dots_are_fragments_of_one_pixel_whose_straightness_nobody_can_tell():
    sketch = paper(50, 40)
    sketch[10::10, 10::10] = 0
    found = measure_strokes(sketch)
    assert found.fragments == 4 * 3
    assert found.mean_length == pytest.approx(1 / math.hypot(50, 40))
    assert found.straightness is None


def test_a_blank_sketch_has_no_strokes_to_measure():
    found = measure_strokes(paper(30, 60))
    assert (found.ink, found.fragments) == (0, 0)
    others = set(dataclasses.asdict(found)) - {"ink", "fragments"}
    assert all(getattr(found, name) is None for name in others)


@pytest.mark.parametrize("shape", [(64, 48), (1, 1), (1, 9), (2, 2), (9, 1)])
def test_all_ink_is_measured_like_any_broad_stroke(shape):
    found = measure_strokes(np.zeros(shape, np.uint8))
    assert found.ink == 1
    assert found.width == pytest.approx(min(shape), abs=1)
    assert found.fragments >= 1
    assert all(np.isfinite(x) for x in dataclasses.asdict(found).values() if x is not None)


def test_noise_of_any_density_gives_finite_numbers_in_their_ranges():
    rng = np.random.default_rng(0)
    for density in (0.01, 0.1, 0.3, 0.5, 0.8, 0.99):
        found = measure_strokes(np.where(rng.random((50, 70)) < density, 0, 255).astype(np.uint8))
        values = dataclasses.asdict(found)
        assert all(np.isfinite(value) and value >= 0 for value in values.values())
        assert found.ink <= 1
        assert found.short_share <= 1
        assert found.straightness <= 1
        assert found.narrow <= found.width <= found.broad


def test_grey_below_128_is_ink():
    sketch = np.full((20, 30), 128, np.uint8)
    assert measure_strokes(sketch).ink == 0
    sketch[5, 5:25] = 127
    assert measure_strokes(sketch).ink == pytest.approx(20 / 600)


def test_turning_and_mirroring_leave_the_measures_nearly_alone():
    sketch = draw("cat", "quill")
    expected = measure_strokes(sketch)
    for turned in (np.rot90(sketch), np.rot90(sketch, 2), sketch[:, ::-1], sketch[::-1], sketch.T):
        found = measure_strokes(np.ascontiguousarray(turned))
        for measure in MEASURES:
            if measure in ("fragments", "median_length", "short_share"):
                tolerance = {"rel": 0.1, "abs": 0.01}  # thinning favours some directions: a few come and go
            else:
                tolerance = {"rel": 0.03}
            assert getattr(found, measure) == pytest.approx(getattr(expected, measure), **tolerance), measure


def test_a_sketch_twice_as_large_has_the_same_relative_measures():
    small, large = (measure_strokes(draw("teapot", "marker", size)) for size in (256, 512))
    assert large.width == pytest.approx(2 * small.width, rel=0.15)
    assert large.relative_width == pytest.approx(small.relative_width, rel=0.15)
    assert large.mean_length == pytest.approx(small.mean_length, rel=0.2)
    assert large.fragments == pytest.approx(small.fragments, rel=0.2)


def test_pens_differ_where_they_should():
    def mean(pen: str, measure: str) -> float:
        return values_of([measure_strokes(draw(subject, pen)) for subject in SUBJECTS[::8]], measure).mean()

    assert mean("marker", "width") > 1.5 * mean("technical", "width")
    assert mean("broken", "fragments") > 1.05 * mean("technical", "fragments")
    assert mean("broken", "mean_length") < 0.8 * mean("technical", "mean_length")


def test_ragged_edges_are_not_strokes():
    """Thinning draws a line to whatever sticks out of a broad stroke, and cuts it there."""
    from skimage.morphology import skeletonize

    sketch = paper()
    sketch[100:112, 40:200] = 0
    sketch[98:100, 50:190:20] = 0
    assert len(fragments(skeletonize(np.pad(sketch == 0, 1))).arcs) > 10
    found = measure_strokes(sketch)
    assert found.fragments == 1
    assert found.straightness == pytest.approx(1, abs=0.01)


def test_a_stroke_that_leaves_a_broad_one_is_a_stroke():
    sketch = paper()
    sketch[100:108, 40:200] = 0
    sketch[60:100, 120] = 0
    assert measure_strokes(sketch).fragments == 3


def test_fragments_by_hand():
    """A fork: its branch point belongs to no fragment; the arms are 2, 2 and 2 diagonal steps long."""
    found = fragments(skeleton("......#", ".....#.", "....#..", "####...", "....#..", "....#..", "....#.."))
    assert not found.closed.any()
    expected = sorted([2.0, 2 * 2**0.5, 2.0])
    assert sorted(found.arcs) == pytest.approx(expected)
    assert sorted(found.chords) == pytest.approx(expected)


def test_a_bend_is_longer_than_its_chord():
    found = fragments(skeleton("##########.", *["..........#"] * 10))
    assert not found.closed.any()
    assert found.chords == pytest.approx([math.hypot(10, 10)])
    assert found.chords[0] < found.arcs[0] < 9 + 2**0.5 + 9 + 1e-9


def test_rings_are_closed_whatever_their_neighbours():
    """Eight pixels, 4 steps of 1 and 4 of sqrt 2, whose corners the polygon cuts."""
    ring = (".##.", "#..#", "#..#", ".##.")
    found = fragments(skeleton(*(f"{row}..{row}.#" for row in ring)))
    assert sorted(found.closed) == [False, True, True]
    assert found.arcs[~found.closed] == pytest.approx([3])
    assert all(6 < arc < 4 + 4 * 2**0.5 for arc in found.arcs[found.closed])


def traced(skeleton: np.ndarray) -> list[tuple[float, float, bool]]:
    """(arc, chord, closed) of every fragment, pixel by pixel."""
    present = {tuple(map(int, at)) for at in np.argwhere(skeleton)}

    def linked(a: tuple[int, int]) -> list[tuple[int, int]]:
        beside = [b for b in present if abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1]
        for b in present:
            if abs(a[0] - b[0]) == abs(a[1] - b[1]) == 1 and not {(a[0], b[1]), (b[0], a[1])} & present:
                beside.append(b)
        return beside

    links = {a: linked(a) for a in present}
    path = {a: [b for b in near if len(links[b]) < 3] for a, near in links.items() if len(near) < 3}
    result, left = [], set(path)
    while left:
        interval = [a for a in left if len(path[a]) < 2]
        at = interval[0] if interval else min(left)
        walk = [at]
        left.discard(at)
        while following := [b for b in path[at] if b in left]:
            at = following[0]
            left.discard(at)
            walk.append(at)
        knots = walk[::5] + ([] if (len(walk) - 1) % 5 == 0 else walk[-1:])
        chord = math.dist(walk[0], walk[-1])
        arc = sum(math.dist(a, b) for a, b in zip(knots, knots[1:], strict=False))
        result.append((arc if interval else arc + chord, chord, not interval))
    return result


def test_fragments_against_pixel_by_pixel_tracing():
    """Of random lines and ellipses with crossings and dots; polygons may begin at either end: hence 4 %."""
    rng, kinds = np.random.default_rng(0), set()
    for _ in range(12):
        sketch = paper(30, 40)
        for _ in range(2):
            cv2.line(sketch, *(tuple(map(int, rng.integers(2, 28, 2))) for _ in range(2)), 0, 1)
            centre, axes = (tuple(map(int, rng.integers(*span, 2))) for span in ((5, 30), (2, 10)))
            cv2.ellipse(sketch, centre, axes, 0, 0, 360, 0, 1)
        sketch[tuple(rng.integers(0, 30, 2))] = 0
        thin = without_corners(np.pad(sketch == 0, 1))
        found, expected = fragments(thin), traced(thin)
        assert len(found.arcs) == len(expected)
        assert found.closed.sum() == sum(closed for *_, closed in expected)
        chords = sorted(chord for _, chord, closed in expected if not closed)
        assert sorted(found.chords[~found.closed]) == pytest.approx(chords)
        assert found.arcs.sum() == pytest.approx(sum(arc for arc, *_ in expected), rel=0.04)
        kinds |= set(found.closed.tolist())
    assert kinds == {True, False}


def test_corners_of_staircases_go_and_everything_still_hangs_together():
    from skimage.morphology import skeletonize

    stairs = without_corners(skeleton("##....", ".##...", "..##..", "...##.", "....#."))
    assert stairs.sum() <= 6  # of nine; five would do
    assert not (stairs[:-2, 1:-1] & stairs[1:-1, 1:-1] & (stairs[1:-1, 2:] | stairs[1:-1, :-2])).any()
    rng, corners = np.random.default_rng(0), 0
    for _ in range(20):
        byte_sources = cv2.GaussianBlur(rng.random((40, 60)), (0, 0), 1.5)
        before = skeletonize(np.pad(byte_sources > 0.5, 1))
        after = without_corners(before)
        assert not (after & ~before).any()
        corners += before.sum() - after.sum()
        pieces = [cv2.connectedComponents(x.astype(np.uint8), connectivity=8)[0] for x in (before, after)]
        assert pieces[0] == pieces[1]
    assert corners > 0


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)], ids=str
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ValueError, match="expected uint8 HxW"):
        measure_strokes(array)


def sketches(*widths: float) -> list[Strokes]:
    blank = measure_strokes(paper(8, 8))
    return [dataclasses.replace(blank, ink=0.1, width=width) for width in widths]


def test_compare_by_hand():
    """From {1, 3} to {2, 6} by 1 and 3, 2 on average; the reference's quartiles are 3 and 5."""
    result = compare_strokes(sketches(1.0, 3.0), sketches(6.0, 2.0))
    assert set(result) == set(MEASURES)
    assert result["width"] == pytest.approx(1)


def test_compare_does_not_take_its_unit_from_a_single_drawing():
    """Half of {1, 2, 3, 4, 100} lies between 2 and 4; the other set is 1 further on."""
    assert compare_strokes(sketches(2, 3, 4, 5, 101), sketches(1, 2, 3, 4, 100))["width"] == pytest.approx(
        0.5
    )


def test_compare_with_a_reference_most_of_which_is_equal():
    """The quartiles of {1, 1, 1, 1, 6} are equal; its standard deviation is 2."""
    assert compare_strokes(sketches(5, 5, 5, 5, 10), sketches(1, 1, 1, 1, 6))["width"] == pytest.approx(2)


def test_compare_knows_no_order_and_no_repetition():
    assert compare_strokes(sketches(1.0, 2.0), sketches(2.0, 1.0, 1.0, 2.0))["width"] == pytest.approx(0)


def test_compare_does_not_depend_on_units():
    ours, theirs = [1.0, 2.0, 4.0], [3.0, 5.0, 9.0]
    scaled = compare_strokes(sketches(*(7 * x for x in ours)), sketches(*(7 * x for x in theirs)))
    assert scaled["width"] == pytest.approx(compare_strokes(sketches(*ours), sketches(*theirs))["width"])


def test_what_cannot_be_compared_is_none():
    result = compare_strokes(sketches(1.0, 3.0), sketches(6.0, 2.0))
    assert result["ink"] is None  # all the reference's are equal
    assert result["straightness"] is None  # nobody has any
    assert compare_strokes([], sketches(6.0, 2.0))["width"] is None


def test_blank_sketches_are_left_out_of_what_they_lack():
    blank = measure_strokes(paper(8, 8))
    assert compare_strokes([*sketches(1.0, 3.0), blank], sketches(6.0, 2.0))["width"] == pytest.approx(1)
    assert values_of([blank, *sketches(4.0)], "width").tolist() == [4.0]
    assert values_of([blank, *sketches(4.0)], "ink").tolist() == [0.0, 0.1]
