"""Stitched styles: which part comes from which image."""

import numpy as np
import pytest

from sketchforge.images.resize import fit_square
from sketchforge.synthesis.fitting import stitch


def images(count, *shape):
    return list(np.random.default_rng(count).integers(0, 256, (count, *shape, 3), np.uint8))


@pytest.mark.parametrize("size", [8, 9])
def test_two_give_a_half_each(size):
    one, other = images(2, size, size)
    made = stitch([one, other], size)
    assert made.shape == (size, size, 3)
    assert made.dtype == np.uint8
    assert np.array_equal(made[:, :4], one[:, :4])
    assert np.array_equal(made[:, 4:], other[:, 4:])


@pytest.mark.parametrize("size", [8, 9])
def test_four_give_a_quarter_each_in_reading_order(size):
    a, b, c, d = images(4, size, size)
    made = stitch([a, b, c, d], size)
    assert np.array_equal(made[:4, :4], a[:4, :4])
    assert np.array_equal(made[:4, 4:], b[:4, 4:])
    assert np.array_equal(made[4:, :4], c[4:, :4])
    assert np.array_equal(made[4:, 4:], d[4:, 4:])


def test_one_image_stitched_with_itself_is_itself_cropped():
    (image,) = images(1, 30, 21)
    for count in (2, 4):
        assert np.array_equal(stitch([image] * count, 12), fit_square(image, 12, "crop"))


def test_sizes_may_differ_and_nothing_given_is_changed():
    wide, high = images(1, 10, 40)[0], images(1, 50, 20)[0]
    before = wide.copy()
    made = stitch([wide, high], 16)
    assert np.array_equal(made[:, :8], fit_square(wide, 16, "crop")[:, :8])
    assert np.array_equal(made[:, 8:], fit_square(high, 16, "crop")[:, 8:])
    assert np.array_equal(wide, before)
    assert not np.shares_memory(made, wide)


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_other_numbers_are_refused(count):
    with pytest.raises(ValueError, match=f"{count} style images: expected 2"):
        stitch(images(count, 8, 8), 8)


def test_other_arrays_are_refused():
    good = images(1, 8, 8)[0]
    for bad in (good[..., 0], good.astype(np.float32), good[:0]):
        with pytest.raises(ValueError, match="expected uint8 H×W×3, found"):
            stitch([good, bad], 8)
    with pytest.raises(ValueError, match="size=1"):
        stitch([good, good], 1)
