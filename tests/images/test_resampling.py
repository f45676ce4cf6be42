"""Resizing by a matrix is what cv2 does."""

import numpy as np
import pytest

from sketchforge.images.resize import fit_square, resize_weights


@pytest.mark.parametrize(
    ("length", "target"),
    [(64, 64), (64, 70), (64, 128), (64, 32), (64, 33), (64, 1), (7, 50), (2, 9), (1, 5), (1, 1)],
)
def test_it_is_what_cv2_does(length, target):
    image = np.random.default_rng(length).integers(0, 256, (length, length, 3), np.uint8)
    weights = resize_weights(length, target)
    assert weights.shape == (target, length)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    found = np.einsum("ih,hwc,jw->ijc", weights, image, weights)
    expected = fit_square(image, target, "crop")
    assert abs(np.clip(found, 0, 255) - expected).max() < 1, "but for rounding"


def test_of_one_size_nothing_is_computed():
    np.testing.assert_array_equal(resize_weights(5, 5), np.eye(5))


def test_by_hand():
    np.testing.assert_allclose(resize_weights(3, 2), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    # Of twice the length, pixel 5 lies at 2.25. With a = -0.75 a distance x weighs 1.25 x³ - 2.25 x² + 1 up to
    # one and -0.75 (x³ - 5 x² + 8 x - 4) from there to two.
    np.testing.assert_allclose(
        resize_weights(8, 16)[5], [0, -0.10546875, 0.87890625, 0.26171875, -0.03515625, 0, 0, 0]
    )
