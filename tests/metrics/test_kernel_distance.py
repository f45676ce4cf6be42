"""KID in an encoder's features: the estimator against its definition, and what resampling does to it."""

import cv2
import numpy as np
import pytest
import torch

from sketchforge.checkpoints.encoder import load_encoder
from sketchforge.errors import UsageError
from sketchforge.images.tensors import to_tensor
from sketchforge.metrics.kid import kernel_matrices
from sketchforge.metrics.sketches.features import BATCH, TAPS, kernel_distance_name, sketch_features
from sketchforge.metrics.sketches.patches import normalize_lines


def points(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 5)) + shift


def brute_force(a: np.ndarray, b: np.ndarray) -> float:
    """The definition, pair by pair."""

    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y)) / len(x) + 1) ** 3

    def within(rows):
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return sum(kernel(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    between = sum(kernel(x, y) for x in a for y in b) / (len(a) * len(b))
    return within(a) + within(b) - 2 * between


def test_equals_its_definition():
    a, b = points(7, 0), points(9, 1, 0.5)
    assert kernel_matrices(a, b).mmd2() == pytest.approx(brute_force(a, b), abs=1e-12)


def test_by_hand():
    """1-dimensional 0, 1 against 2, 2: within 1 and (4 + 1)^3 = 125; between 1, 1, 27, 27."""
    a, b = np.array([[0.0], [1.0]]), np.array([[2.0], [2.0]])
    assert kernel_matrices(a, b).mmd2() == pytest.approx(1 + 125 - 2 * 14)


def test_zero_in_expectation_for_one_distribution():
    pairs = [(points(15, seed), points(20, 10_000 + seed)) for seed in range(400)]
    found = np.array([kernel_matrices(*pair).mmd2() for pair in pairs])
    assert abs(found.mean()) < 3 * found.std() / 20
    assert (found < 0).mean() > 0.3


def test_grows_with_the_difference():
    near, far = (kernel_matrices(points(60, 0), points(60, 1, shift)).mmd2() for shift in (0.3, 1.0))
    assert 0 < near < far


def test_sides_are_alike():
    a, b = points(6, 0), points(8, 1)
    assert kernel_matrices(a, b).mmd2() == pytest.approx(kernel_matrices(b, a).mmd2())


def test_weights_leave_sketches_out():
    a, b = points(8, 0), points(9, 1, 0.4)
    weights_a, weights_b = np.arange(8) % 2, (np.arange(9) % 3 > 0).astype(int)
    expected = brute_force(a[weights_a == 1], b[weights_b == 1])
    assert kernel_matrices(a, b).mmd2(weights_a, weights_b) == pytest.approx(expected)


def test_weights_repeat_sketches_without_pairing_them_with_themselves():
    a, b = points(4, 0), points(5, 1, 0.4)
    weights = np.array([3, 0, 1, 2])
    rows = np.repeat(np.arange(4), weights)
    kernel = (a @ a.T / 5 + 1) ** 3
    pairs = [kernel[i, j] for i in rows for j in rows if i != j]
    matrices = kernel_matrices(a, b)
    within_b = matrices.bb[~np.eye(5, dtype=bool)].mean()
    expected = np.mean(pairs) + within_b - 2 * matrices.ab[rows].mean()
    assert matrices.mmd2(weights, None) == pytest.approx(expected)


def test_replicates_stay_about_the_estimate():
    """Were repeated sketches paired with themselves, replicates of equal sets would all lie above zero."""
    rng = np.random.default_rng(0)
    matrices = kernel_matrices(points(40, 0), points(40, 1))
    draws = [
        matrices.mmd2(*(np.bincount(rng.integers(0, 40, 40), minlength=40) for _ in "ab")) for _ in range(300)
    ]
    assert abs(np.mean(draws) - matrices.mmd2()) < np.std(draws) / 3


def test_too_few_sketches_are_told():
    with pytest.raises(UsageError, match="found 1 and 3 sketches"):
        kernel_matrices(points(1, 0), points(3, 0))
    matrices = kernel_matrices(points(3, 0), points(3, 1))
    assert np.isnan(matrices.mmd2(np.array([3, 0, 0]), None))
    with pytest.raises(ValueError, match="expected features"):
        kernel_matrices(points(3, 0), points(3, 0)[:, :2])


@pytest.fixture(scope="module")
def encoder():
    torch.set_num_threads(1)
    return load_encoder("builtin")


def rings(seed: int, side: int = 227, pen: int = 3) -> np.ndarray:
    """A sketch of five rings, the same for one seed whatever its size and pen."""
    rng = np.random.default_rng(seed)
    sketch = np.full((side, side), 255, np.uint8)
    for centre, radius in zip(rng.uniform(0.3, 0.7, (5, 2)), rng.uniform(0.08, 0.28, 5)):
        at = (centre * side).round().astype(int).tolist()
        cv2.circle(sketch, at, round(radius * side), 0, pen, cv2.LINE_AA)
    return sketch


def test_features_are_channel_means_of_the_taps_at_one_length(encoder):
    sketch = np.full((160, 160), 255, np.uint8)
    sketch[50, 20:140] = 0  # the lines that thinning leaves alone
    redrawn = np.full((160, 160), 255, np.uint8)
    redrawn[normalize_lines(sketch)] = 0
    redrawn = cv2.erode(redrawn, np.ones((2, 2), np.uint8))
    maps = encoder(to_tensor(np.repeat(redrawn[..., None], 3, axis=2)), TAPS)
    means = np.concatenate([maps[tap][0].mean(dim=(1, 2)).numpy() for tap in TAPS])
    row = sketch_features([sketch], encoder)[0]
    assert row.dtype == np.float64
    assert row.shape == (sum(map(encoder.tap_channels, TAPS)),)
    assert row @ row == pytest.approx(len(row))
    np.testing.assert_allclose(row, means * np.sqrt(len(row)) / np.linalg.norm(means), rtol=1e-3, atol=1e-4)


def test_features_do_not_depend_on_batches(encoder):
    many = sketch_features([rings(0)] * (BATCH + 1), encoder)
    assert np.allclose(many, many[0], rtol=1e-4, atol=1e-5)


def test_pen_and_size_are_as_nothing_beside_other_lines(encoder):
    plain = sketch_features([rings(seed) for seed in range(16)], encoder)
    distances = [
        kernel_matrices(sketch_features([rings(seed, **other) for seed in range(16)], encoder), plain).mmd2()
        for other in ({"pen": 6}, {"side": 454, "pen": 5})
    ]
    scribbles = [np.where(np.random.default_rng(i).random((227, 227)) < 0.01, 0, 255) for i in range(16)]
    noise = kernel_matrices(sketch_features([s.astype(np.uint8) for s in scribbles], encoder), plain).mmd2()
    assert max(map(abs, distances)) < noise / 20


def test_no_sketches_are_no_rows_and_other_arrays_are_refused(encoder):
    assert sketch_features([], encoder).shape == (0, sum(map(encoder.tap_channels, TAPS)))
    with pytest.raises(ValueError, match="uint8 HxW"):
        sketch_features([np.zeros((8, 8, 3), np.uint8)], encoder)


def test_the_name_names_the_encoder():
    assert kernel_distance_name("builtin") == "KID (builtin relu3_1+relu4_1)"
