"""Numbers that depend on what they are for, and on nothing else."""

import numpy as np
import pytest

from sketchforge.utils.seeding import choose, derive_seed, uniforms


def test_every_argument_counts_and_nothing_else():
    asked = [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a", 1, 1), (0, "a", "1", "")]
    drawn = [tuple(uniforms(4, *one)) for one in asked]
    assert len(set(drawn)) == len({derive_seed(*one) for one in asked}) == len(asked)
    np.random.seed(1)
    assert [tuple(uniforms(4, *one)) for one in asked] == drawn
    assert tuple(uniforms(2, 0, "a", 1)) == drawn[0][:2], "more of them begin with the same"


def test_uniforms_are_uniform():
    drawn = np.array([uniforms(3, 0, "test", key) for key in range(4000)])
    assert drawn.shape == (4000, 3)
    assert drawn.dtype == np.float64
    assert 0 <= drawn.min()
    assert drawn.max() < 1
    counts = np.stack([np.histogram(column, 10, (0, 1))[0] for column in drawn.T])
    assert abs(counts - 400).max() < 5 * np.sqrt(400 * 0.9)
    assert abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.08
    assert len(uniforms(0, 0, "test")) == 0


def test_chosen_without_repetition_each_as_likely_in_each_place():
    counts = np.zeros((2, 5), int)
    for key in range(5000):
        first, second = choose(2, 5, 0, "test", key)
        assert first != second
        counts[0, first] += 1
        counts[1, second] += 1
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.8)


@pytest.mark.parametrize(
    ("count", "number", "expected"), [(3, 3, 3), (5, 3, 3), (0, 3, 0), (2, 0, 0), (1, 1, 1)]
)
def test_no_more_than_there_are(count, number, expected):
    found = choose(count, number, 7, "test")
    assert len(found) == expected
    assert set(found) <= set(range(number))
    assert len(set(found)) == expected
