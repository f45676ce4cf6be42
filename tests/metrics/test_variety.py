"""Variety: what the Vendi score is by hand and by theory, and what counts as a style of its own."""

import os
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from sketchforge.images.builtin.drawings import draw
from sketchforge.metrics.sketches.variety import (
    SIDE,
    TAPS,
    UNITS,
    WIDTH,
    sketch_style_vectors,
    style_distances,
    style_parts,
    vendi_score,
)

needs_data = pytest.mark.skipif(
    "SKETCHFORGE_TEST_DATA" not in os.environ, reason="SKETCHFORGE_TEST_DATA is not set"
)


def simplex(count: int, distance: float) -> np.ndarray:
    """Distances of `count` members all as far from each other."""
    return distance * (1 - np.eye(count))


def cloud(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def variety(sketches: list[np.ndarray]) -> float:
    return vendi_score(style_distances(sketch_style_vectors(sketches)))


def two_tone(sketch: np.ndarray) -> np.ndarray:
    return np.where(sketch < 128, 0, 255).astype(np.uint8)


def noisy(sketch: np.ndarray, seed: int, share: float = 0.005) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(sketch.shape) < share, rng.choice(np.uint8([0, 255]), sketch.shape), sketch)


def test_copies_are_one_and_strangers_are_many():
    assert vendi_score(simplex(10, 0), 1) == pytest.approx(1)
    assert vendi_score(simplex(10, 100), 1) == pytest.approx(10)
    assert vendi_score(simplex(1, 0), 1) == pytest.approx(1)


def test_ten_members_a_width_apart_by_hand():
    """K/10 has the eigenvalue (1 + 9 e^-1/2)/10 = .64588 once and (1 - e^-1/2)/10 = .03935 nine times; the
    entropy is .28237 + 1.14571 and its exponential 4.1706."""
    assert vendi_score(simplex(10, 3), 3) == pytest.approx(4.1706, abs=1e-4)


def test_two_members_by_hand():
    """At distance d the eigenvalues are (1 ± e^(-d²/2w²))/2; with d² = 2 w² ln 2 they are 3/4 and 1/4."""
    width = 0.7
    found = vendi_score(simplex(2, width * (2 * np.log(2)) ** 0.5), width)
    assert found == pytest.approx(4 ** (1 / 4) * (4 / 3) ** (3 / 4))


def test_groups_of_copies_count_by_their_shares():
    """Far apart, 1 + 3 + 4 members: exp of the entropy of (1/8, 3/8, 4/8)."""
    group = np.repeat([0, 1, 2], [1, 3, 4])
    distances = 100.0 * (group[:, None] != group)
    shares = np.array([1, 3, 4]) / 8
    assert vendi_score(distances, 1) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize("seed", range(5))
def test_bounds_order_repetition_and_copies(seed):
    points = cloud(7, seed)
    score = vendi_score(style_distances(points), 1)
    assert 1 < score < 7
    assert vendi_score(style_distances(points[::-1]), 1) == pytest.approx(score)
    assert vendi_score(style_distances(np.repeat(points, 3, axis=0)), 1) == pytest.approx(score)
    for copied in range(7):  # a copy may shift the weights, but there are still only seven to be had
        assert vendi_score(style_distances(np.vstack([points, points[[copied] * 4]])), 1) < 7


@pytest.mark.parametrize("seed", range(5))
def test_a_narrower_kernel_sees_more(seed):
    """A narrower Gaussian is the wider one times another, entry by entry, which evens out the eigenvalues."""
    distances = style_distances(cloud(8, seed))
    scores = [vendi_score(distances, width) for width in (4, 2, 1, 0.5, 0.25)]
    assert scores == sorted(scores)
    assert scores[0] < 2
    assert scores[-1] > 6


def test_a_newcomer_among_copies_raises_the_score():
    assert vendi_score(style_distances(np.array([[0.0], [0.0], [0.0]])), 1) == pytest.approx(1)
    assert vendi_score(style_distances(np.array([[0.0], [0.0], [3.0]])), 1) > 1.5


def test_distances_against_brute_force():
    points = cloud(5)
    expected = [[np.sqrt(((a - b) ** 2).sum()) for b in points] for a in points]
    np.testing.assert_allclose(style_distances(points), expected, atol=1e-12)


@pytest.mark.parametrize(
    "distances",
    [
        np.zeros((0, 0)),
        np.zeros(3),
        np.zeros((2, 3)),
        np.array([[0, 1], [2, 0]]),
        np.array([[0, -1], [-1, 0]]),
        np.array([[1, 1], [1, 1]]),
        np.array([[0, np.nan], [np.nan, 0]]),
    ],
    ids=["none", "a row", "oblong", "lopsided", "negative", "not zero to itself", "not a number"],
)
def test_what_is_no_table_of_distances_is_refused(distances):
    with pytest.raises(ValueError, match="expected"):
        vendi_score(distances, 1)


@pytest.mark.parametrize("width", [0, -1, float("nan")])
def test_a_width_must_be_positive(width):
    with pytest.raises(ValueError, match="width"):
        vendi_score(simplex(2, 1), width)


def test_vectors_are_the_parts_in_their_units_with_equal_weight():
    """Whatever the numbers of channels: a part that differs by its unit makes a distance of 1/sqrt(parts)."""
    sketch = draw("cat", "brush")
    parts = style_parts(sketch)
    assert set(parts) == {*TAPS, "ink"} == set(UNITS)
    expected = np.concatenate([parts[name] / unit for name, unit in UNITS.items()]) / 2
    vectors = sketch_style_vectors([sketch, draw("cat", "technical")])
    assert vectors.dtype == np.float64
    assert vectors.shape == (2, sum(len(part) for part in parts.values()))
    np.testing.assert_array_equal(vectors[0], expected)


def test_the_parts_of_taps_are_proportions():
    for name, part in style_parts(draw("cat", "brush")).items():
        if name != "ink":
            assert part.mean() == pytest.approx(0, abs=1e-9)


def test_ink_is_the_logarithm_of_the_mean_darkness():
    sketch = np.full((SIDE, SIDE), 255, np.uint8)
    sketch[:64] = 0
    assert style_parts(sketch)["ink"] == pytest.approx(np.log(0.25 + 0.001))


def test_blank_and_black_sketches_have_vectors():
    vectors = sketch_style_vectors([np.full((40, 60), 255, np.uint8), np.zeros((40, 60), np.uint8)])
    assert np.isfinite(vectors).all()
    assert np.abs(style_parts(np.full((40, 60), 255, np.uint8))["relu3_1"]).max() < 1e-4  # nothing is on it


def test_vectors_do_not_depend_on_company():
    a, b = draw("cat", "brush"), draw("dog", "pencil")
    np.testing.assert_array_equal(sketch_style_vectors([a, b])[1], sketch_style_vectors([b])[0])


def test_any_shape_is_described_and_size_hardly_matters():
    large, small = (sketch_style_vectors([draw("cat", "marker", size)]) for size in (512, 256))
    assert np.linalg.norm(large - small) < 0.5 * WIDTH
    for shape in ((8, 8), (8, 300), (300, 8), (57, 91)):
        assert np.isfinite(sketch_style_vectors([np.full(shape, 200, np.uint8)])).all()


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)], ids=str
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ValueError, match="expected uint8 HxW"):
        sketch_style_vectors([array])


def test_noise_and_shifts_are_no_variety_and_pens_are():
    drawing = two_tone(draw("cat", "pencil"))
    shifts = [np.roll(drawing, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    assert variety(shifts) < 1.1
    assert variety([noisy(drawing, seed) for seed in range(10)]) < 1.1
    assert variety([noisy(drawing, 0), drawing]) < 1.3
    pens = ("technical", "brush", "marker", "calligraphic", "scratchy", "broken")
    assert variety([two_tone(draw("cat", pen)) for pen in pens]) > 2.5


def test_broader_lines_are_another_manner_and_another_hand_with_the_same_pen_is_not():
    drawing = two_tone(draw("camera", "technical"))
    broad = cv2.erode(drawing, np.ones((3, 3), np.uint8))
    near = two_tone(draw("camera", "technical", seed=1))
    distances = style_distances(sketch_style_vectors([drawing, near, broad])) / WIDTH
    assert distances[0, 1] < 0.3
    assert distances[0, 2] > 1.2


@needs_data
def test_two_people_are_a_width_apart():
    """Thirty of the pairs that the width was measured on."""
    data = Path(os.environ["SKETCHFORGE_TEST_DATA"])
    drawings = defaultdict(list)
    for row in (data / "photo_sketch_pairs.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        sketch, photo = row.split("\t")
        drawings[photo].append(sketch)
    found = []
    for first, second in list(drawings.values())[::9]:
        pair = [two_tone(cv2.imread(str(data / name), cv2.IMREAD_GRAYSCALE)) for name in (first, second)]
        found.append(style_distances(sketch_style_vectors(pair))[0, 1])
    assert np.median(found) == pytest.approx(WIDTH, rel=0.35)
