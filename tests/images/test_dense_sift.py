"""Dense SIFT: one upright descriptor for each cell, of what lies around it."""

import numpy as np
import pytest

from sketchforge.images.dense_sift import CHANNELS, dense_sift
from tests.helpers.photos import scene


def lines():
    image = np.full((64, 64), 255, np.uint8)
    image[20:44, 30:32] = 0
    return image


@pytest.mark.parametrize("cell", [4, 8])
def test_there_is_a_descriptor_for_every_cell(cell):
    found = dense_sift(scene(1, 64, 96)[..., 0].copy(), cell)
    assert found.shape == (CHANNELS, 64 // cell, 96 // cell)
    assert found.dtype == np.float32


def test_descriptors_have_length_1_beside_a_line_and_0_on_paper():
    lengths = np.linalg.norm(dense_sift(lines(), 4), axis=0)
    near = np.zeros((16, 16), bool)
    near[5:11, 6:9] = True
    np.testing.assert_allclose(lengths[near], 1, atol=1e-5)
    assert not lengths[:, :3].any()
    assert not lengths[:, 13:].any()


@pytest.mark.parametrize(("cell", "reach"), [(4, 4), (8, 3)])
def test_a_descriptor_looks_at_the_cells_around_it_alike_on_both_sides(cell, reach):
    """At a line in the middle, between two cells; 2 cells from a descriptor's own middle its bins end."""
    image = np.full((16 * cell, 16 * cell), 255, np.uint8)
    image[:, 8 * cell - 1 : 8 * cell + 1] = 0
    sees = np.linalg.norm(dense_sift(image, cell)[:, 8], axis=0) > 0
    assert np.flatnonzero(sees).tolist() == list(range(8 - reach, 8 + reach))


def test_a_descriptor_moves_with_what_it_looks_at():
    found, moved = dense_sift(lines(), 4), dense_sift(np.roll(lines(), 8, axis=1), 4)
    np.testing.assert_allclose(moved[:, :, 4:-4], found[:, :, 2:-6], atol=0.05)


def test_a_descriptor_knows_the_direction_of_a_line():
    upright, lying = (dense_sift(image, 4)[:, 7, 7] for image in (lines(), lines().T.copy()))
    assert upright @ lying < 0.5


@pytest.mark.parametrize(
    ("image", "cell"), [(np.zeros((64, 62), np.uint8), 4), (np.zeros((64, 64), np.float32), 4)]
)
def test_other_images_are_refused(image, cell):
    with pytest.raises(ValueError, match="expected uint8 of sides that 4 divides"):
        dense_sift(image, cell)
