"""The rule that chooses snapshots: pure functions of scores and sketches."""

import cv2
import numpy as np
import pytest

from trainers.tom.selection import (
    CONTENT_TOLERANCE,
    farthest_first,
    has_plateaued,
    line_differences,
    passing_candidates,
    select,
)

SIDE = 128


def distances(points):
    points = np.asarray(points, float)
    return np.abs(points[:, None] - points[None, :])


def page(*rows: int, width: int = 3, grey: float = 0.0) -> np.ndarray:
    """float32 (1,SIDE,SIDE), one image: level strokes at these rows, on white."""
    sheet = np.full((SIDE, SIDE), 1.0, np.float32)
    for row in rows:
        cv2.line(sheet, (10, row), (SIDE - 11, row), grey, width)
    return sheet[None]


def difference(*candidates: np.ndarray) -> np.ndarray:
    return line_differences(np.stack(candidates))


def test_settles_when_the_score_stops_moving_and_not_before():
    assert not has_plateaued([0.5] * 5)
    assert has_plateaued([0.5] * 6)
    assert not has_plateaued([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert has_plateaued([0.1, 0.3, 0.6, 0.605, 0.6, 0.61, 0.6, 0.6])


def test_the_farthest_points_come_first():
    """By hand: on a line, from 0 the farthest is 10, then the middle 5."""
    assert farthest_first(distances([0, 1, 5, 9, 10]), 0, 3) == [0, 4, 2]
    assert farthest_first(distances([0, 1, 5, 9, 10]), 3, 2) == [3, 0]


@pytest.mark.parametrize("seed", range(5))
def test_every_prefix_is_at_least_as_spread_as_the_longer_ones(seed):
    apart = distances(np.random.default_rng(seed).uniform(size=12))
    chosen = farthest_first(apart, 3, 8)
    assert len(set(chosen)) == 8
    spread = [apart[np.ix_(chosen[:k], chosen[:k])][~np.eye(k, dtype=bool)].min() for k in range(2, 9)]
    assert all(a >= b for a, b in zip(spread, spread[1:]))


def test_as_many_as_asked_for_even_where_all_are_alike():
    assert farthest_first(np.zeros((4, 4)), 2, 4) == [2, 0, 1, 3]


def test_poor_candidates_are_dropped():
    content = [0.6, 0.7, 0.6 - 2 * CONTENT_TOLERANCE, 0.6, 0.6, 0.6]
    realism = [0.1, 0.2, 0.1, 0.5, 0.1, 0.1]
    ink = [0.05, 0.05, 0.05, 0.05, 0.15, 0.02]
    assert passing_candidates(content, realism, ink, 2) == ([0, 1], 0)


def test_one_that_comes_very_near_to_its_drawings_drops_no_other():
    """Drawings of a window may be easier to come near than those of others."""
    assert passing_candidates([0.6] * 4, [0.01, 0.3, 0.32, 0.34], [0.05] * 4, 2) == ([0, 1, 2, 3], 0)


def test_too_few_good_ones_relax_the_tolerances_and_always_give_the_number_asked_for():
    content = [0.9, 0.1, 0.2, 0.3]
    for count in range(1, 5):
        passing, relaxed = passing_candidates(content, [0.0, 9.0, 5.0, 1.0], [1, 1, 40, 0.01], count)
        assert len(set(passing)) >= count
        assert (relaxed > 0) == (count > 1)
    with pytest.raises(ValueError, match="4 candidates cannot give 5"):
        passing_candidates(content, [0.0] * 4, [1.0] * 4, 5)


def test_pen_and_boldness_are_no_difference():
    """The same lines in a hairline, a broad pen and pale grey; a fifth of the pixels differ."""
    assert difference(page(40, 90), page(40, 90, width=13), page(40, 90, grey=0.5)).max() < 0.06


def test_other_lines_are_a_difference():
    apart = difference(page(40, 90), page(60, 110), page(40, 110))
    assert apart[0, 1] > 0.97
    assert np.allclose([apart[0, 2], apart[1, 2]], 0.5, atol=0.02)
    assert np.allclose(apart, apart.T)
    assert not np.diag(apart).any()


def test_lines_nearby_are_the_same_and_those_farther_away_are_not():
    """TOLERANCE is two pixels in 256, one in 128."""
    apart = difference(page(40), page(41), page(44))
    assert apart[0, 1] < 0.02
    assert apart[0, 2] > 0.98


def test_faint_lines_beyond_the_common_length_do_not_count():
    """One candidate draws texture faintly below the lines that all draw: more ink alone is no other drawing."""
    faint = np.minimum(page(40, 90), page(20, 60, 110, grey=0.6))
    assert difference(page(40, 90), page(40, 90), faint).max() < 0.06


def test_the_difference_is_the_mean_of_the_images():
    both = np.concatenate([page(40), page(90)])
    one = np.concatenate([page(40), page(20)])
    assert difference(both, one)[0, 1] == pytest.approx(0.5, abs=0.01)


def test_blank_sketches_have_all_lines_in_common_with_each_other_and_half_with_any():
    apart = difference(page(), page(), page(40))
    assert apart[0, 1] == 0
    assert apart[0, 2] == 0.5


def test_the_most_careful_is_first_and_the_boldest_gains_nothing():
    """Four candidates draw lines 30, 60 and 90; one also 110, one in a broader pen."""
    candidates = np.stack(
        [page(30, 60, 110), page(30, 60, 90), page(30, 60, 90, width=5), page(30, 60, 90), page(15, 75, 118)]
    )
    selection = select([0.6] * 5, [0.1] * 5, candidates, 3)
    assert selection.chosen[0] in (1, 2, 3), "its lines are those of the mean"
    assert sorted(selection.chosen[1:]) == [0, 4], "not the same lines in another pen"
    assert selection.difference.shape == (3, 3)
    assert selection.difference[0, 1] == selection.difference.max()


def test_poor_candidates_are_not_chosen_however_different():
    candidates = np.stack([page(30, 60), page(30, 61), page(5, 118)])
    selection = select([0.6, 0.6, 0.1], [0.1] * 3, candidates, 2)
    assert sorted(selection.chosen) == [0, 1]
    assert selection.passing == [0, 1]
    assert selection.relaxed == 0


def test_where_all_are_blank_there_are_snapshots_all_the_same():
    assert select([0.0] * 3, [1.0] * 3, np.ones((3, 1, SIDE, SIDE), np.float32), 2).chosen == [0, 1]


def test_a_good_start_drops_none_of_those_that_follow():
    """The first candidate has the best content by far."""
    assert passing_candidates([0.9, 0.6, 0.6, 0.6], [0.1] * 4, [0.05] * 4, 2) == ([0, 1, 2, 3], 0)


def test_clogged_and_nearly_empty_sketches_are_not_chosen_however_different():
    clogged, empty = page(*range(5, 120, 12), width=6), np.full((1, SIDE, SIDE), 0.999, np.float32)
    candidates = np.stack([page(30, 60), clogged, page(31, 60), empty, page(30, 61)])
    selection = select([0.6] * 5, [0.1] * 5, candidates, 3)
    assert selection.passing == [0, 2, 4]
    assert selection.relaxed == 0
