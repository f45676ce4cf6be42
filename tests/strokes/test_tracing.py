"""Tracing: what was drawn is what is traced; every pixel of a line once, in order; joins over small gaps."""

import cv2
import numpy as np
import pytest

from sketchforge.strokes.strokes import StrokeSet, smooth_paths
from sketchforge.strokes.tracing import (
    join_pieces,
    order_pixels,
    remove_corners,
    space_points,
    thin_lines,
    trace,
)

SIDE = 256


def drawn(*lines: np.ndarray, width: int = 2, closed: bool = False) -> np.ndarray:
    """float32 SIDExSIDE darkness of polylines, (n,2) as x, y."""
    paper = np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(paper, [np.round(line).astype(np.int32) for line in lines], closed, 255, width, cv2.LINE_AA)
    return paper.astype(np.float32) / 255


def distance_to(strokes: StrokeSet, lines: np.ndarray) -> float:
    """The largest distance of any point of the strokes to the lines' pixels."""
    away = cv2.distanceTransform((lines < 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(strokes.sample(away).max())


def test_a_line_is_one_stroke_with_its_length_and_place():
    line = np.array([[30, 40], [200, 90]])
    darkness = drawn(line)
    strokes = trace(darkness)
    assert len(strokes) == 1
    assert strokes.lengths()[0] == pytest.approx(np.hypot(170, 50), abs=4)
    assert distance_to(strokes, darkness) < 1.5
    assert not strokes.closed[0]


def test_a_circle_is_one_ring_that_ends_where_it_begins():
    turn = np.linspace(0, 2 * np.pi, 90)
    darkness = drawn(np.stack([128 + 60 * np.cos(turn), 128 + 60 * np.sin(turn)], 1))
    strokes = trace(darkness)
    assert len(strokes) == 1
    assert strokes.closed[0]
    points = next(iter(strokes))
    assert np.allclose(points[0], points[-1], atol=1e-4)
    assert strokes.lengths()[0] == pytest.approx(2 * np.pi * 60, rel=0.03)


def test_a_crossing_gives_two_strokes_that_run_through_it():
    strokes = trace(drawn(np.array([[40, 128], [216, 128]]), np.array([[128, 40], [128, 216]])))
    assert len(strokes) == 2
    assert strokes.lengths() == pytest.approx([176, 176], abs=6)


def test_a_corner_is_not_run_around():
    """Two lines that meet at a right angle: turning by more than 50 degrees is not going on."""
    corner = [np.array([[40, 60], [120.0, 60]]), np.array([[122.0, 62], [122, 140]])]
    walks = [np.stack([np.linspace(*line[:, axis], 60) for axis in (0, 1)], 1) for line in corner]
    pieces, _ = join_pieces(walks, [False, False], 5)
    assert len(pieces) == 2


@pytest.mark.parametrize(("gap", "strokes"), [(3, 1), (9, 2)])
def test_a_line_with_a_small_gap_is_one_stroke(gap, strokes):
    lines = [np.array([[30, 100], [110, 100]]), np.array([[112 + gap, 100], [200, 100]])]
    assert len(trace(drawn(*lines))) == strokes


def test_what_is_faint_or_tiny_is_left_out():
    darkness = drawn(np.array([[30, 40], [200, 90]]))
    darkness[200:202, 50:150] = 0.35  # above the threshold, nowhere dark
    darkness[230:232, 30:33] = 1.0
    assert len(trace(darkness)) == 1


def test_blank_paper_has_no_strokes():
    strokes = trace(np.zeros((64, 80), np.float32))
    assert len(strokes) == 0
    assert strokes.size == (64, 80)
    assert strokes.lengths().shape == (0,)


def random_lines(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lines = [np.cumsum(rng.normal(0, 14, (14, 2)), 0) + rng.uniform(60, 200, 2) for _ in range(7)]
    return thin_lines(drawn(*lines), SIDE)


@pytest.mark.parametrize("seed", range(4))
def test_every_pixel_of_a_path_is_walked_once_and_steps_are_to_neighbours(seed):
    lines = random_lines(seed)
    pieces, rings = order_pixels(lines)
    walked = np.concatenate(pieces).astype(int)
    assert len(np.unique(walked, axis=0)) == len(walked)
    assert lines[walked[:, 1], walked[:, 0]].all()
    for piece in pieces:
        assert np.abs(np.diff(piece, axis=0)).max() == 1
    neighbours = cv2.filter2D(lines.astype(np.uint8), cv2.CV_8U, np.ones((3, 3), np.float32), borderType=0)
    junctions = int((lines & (neighbours > 3)).sum())
    assert lines.sum() - len(walked) <= 3 * junctions, "only junctions and what stands alone beside them"


@pytest.mark.parametrize("seed", range(4))
def test_removing_corners_keeps_the_lines_connected(seed):
    from skimage.morphology import skeletonize

    lines = skeletonize(random_lines(seed))
    stairs = cv2.dilate(lines.astype(np.uint8), np.array([[0, 0, 0], [0, 1, 1], [0, 0, 0]], np.uint8)) > 0
    kept = remove_corners(stairs)
    assert not (kept & ~stairs).any()
    before = cv2.connectedComponents(stairs.astype(np.uint8), connectivity=8)[0]
    assert cv2.connectedComponents(kept.astype(np.uint8), connectivity=8)[0] == before


def test_a_stair_becomes_a_diagonal():
    stair = np.zeros((7, 7), bool)
    for step in range(1, 6):
        stair[step, step] = stair[step, step - 1] = True
    kept = remove_corners(stair)
    assert kept.sum() <= 6
    assert kept[5, 5] or kept[5, 4]


def test_points_of_a_stroke_are_evenly_spaced_and_keep_the_ends():
    walk = np.stack([np.arange(101.0), np.zeros(101)], 1)
    points = space_points(StrokeSet.of([walk[::-1], walk], np.zeros(2, bool), (SIDE, SIDE)), 4.0)
    points = list(points)[1]
    assert np.allclose(points[[0, -1]], walk[[0, -1]])
    assert np.allclose(np.diff(points[:, 0]), 4.0, atol=1e-3)


def test_pictures_of_twice_the_size_have_the_same_strokes():
    lines = [np.array([[30, 40], [200, 90]]), np.array([[60, 200], [150, 120]])]
    small = trace(drawn(*lines))
    large = trace(cv2.resize(drawn(*lines), (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1))
    assert len(small) == len(large) == 2
    assert large.lengths() == pytest.approx(2 * small.lengths(), rel=0.05)
    assert abs(len(large.points) - len(small.points)) <= 4


def test_smoothing_keeps_straight_lines_and_ends_and_shrinks_a_ring_evenly():
    turn = np.linspace(0, 2 * np.pi, 41)
    ring = 50 + 20 * np.stack([np.cos(turn), np.sin(turn)], 1)
    line = np.stack([np.linspace(0, 30, 11), np.linspace(0, 60, 11)], 1)
    corner = np.array([[0.0, 0], [10, 0], [10, 10]])
    strokes = StrokeSet.of([line, ring, corner], np.array([False, True, False]), (SIDE, SIDE))
    smooth = strokes.moved(smooth_paths(strokes.points, strokes.offsets, strokes.closed, 1.5))
    straight, round_, bent = smooth
    assert np.allclose(straight, line, atol=1e-4)
    radii = np.hypot(*(round_ - 50).T)
    assert np.allclose(radii, radii[0], atol=1e-4)
    assert 18 < radii[0] < 20
    assert np.allclose(round_[0], round_[-1])
    assert np.allclose(bent[[0, -1]], corner[[0, -1]], atol=1e-4)
    assert 3 < bent[1, 0] < 9.5, "cut across"
