"""The rule that chooses snapshots: pure functions of scores."""

import numpy as np
import pytest

from trainers.tom.selection import CONTENT_TOLERANCE, has_plateaued, pairwise_difference, select


def distances(points):
    points = np.asarray(points, float)
    return np.abs(points[:, None] - points[None, :])


def test_settles_when_the_score_stops_moving_and_not_before():
    assert not has_plateaued([0.5] * 5)
    assert has_plateaued([0.5] * 6)
    assert not has_plateaued([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert has_plateaued([0.1, 0.3, 0.6, 0.605, 0.6, 0.61, 0.6, 0.6])


def test_farthest_points_first():
    """By hand: on a line, from 0 (best content) the farthest is 10, then the middle 5."""
    content = [0.61, 0.6, 0.6, 0.6, 0.6]
    selection = select(content, [1.0] * 5, distances([0, 1, 5, 9, 10]), 3)
    assert selection.chosen == [0, 4, 2]
    assert selection.relaxed == 0


def test_poor_candidates_are_dropped_however_different():
    content = [0.6, 0.6, 0.6 - 2 * CONTENT_TOLERANCE, 0.6]
    realism = [0.1, 0.1, 0.1, 0.5]
    selection = select(content, realism, distances([0, 1, 100, 200]), 2)
    assert sorted(selection.chosen) == [0, 1] and selection.passing == [0, 1]


def test_too_few_good_ones_relax_the_tolerances_and_always_give_the_number_asked_for():
    content = [0.9, 0.1, 0.2, 0.3]
    for count in range(1, 5):
        selection = select(content, [0.0, 9.0, 5.0, 1.0], distances([0, 1, 2, 3]), count)
        assert len(set(selection.chosen)) == count
        assert (selection.relaxed > 0) == (count > 1)
    with pytest.raises(ValueError, match="4 candidates cannot give 5"):
        select(content, [0.0] * 4, distances([0, 1, 2, 3]), 5)


@pytest.mark.parametrize("seed", range(5))
def test_every_prefix_is_at_least_as_spread_as_the_longer_ones(seed):
    rng = np.random.default_rng(seed)
    difference = distances(rng.uniform(size=12))
    chosen = select(np.full(12, 0.5), np.full(12, 1.0), difference, 8).chosen
    spread = [difference[np.ix_(chosen[:k], chosen[:k])][~np.eye(k, dtype=bool)].min() for k in range(2, 9)]
    assert all(a >= b for a, b in zip(spread, spread[1:]))


def test_pairwise_difference_by_hand():
    white, black, half = np.ones((1, 2, 2)), np.zeros((1, 2, 2)), np.full((1, 2, 2), 0.5)
    expected = [[0, 1, 0.5], [1, 0, 0.5], [0.5, 0.5, 0]]
    assert np.allclose(pairwise_difference(np.stack([white, black, half])), expected)
