"""The training pictures of the foreground head: what is subject, what is ground, and colours that stay colours."""

import sys

import cv2
import numpy as np
import pytest

from tests.helpers.commands import ROOT

sys.path.insert(0, str(ROOT / "benchmarks" / "studies"))

import foreground_composites as composites  # noqa: E402
from foreground_material import Layer, Material, held_out_kinds, mark_subject  # noqa: E402

from sketchforge.models.foreground_head import INPUT_SIDE, MASK_SIDE  # noqa: E402
from sketchforge.utils.seeding import numpy_generator  # noqa: E402


def disc(colour: tuple[int, int, int], side: int = 96) -> Layer:
    alpha = np.zeros((side, side), np.float32)
    cv2.circle(alpha, (side // 2, side // 2), side // 2 - 2, 1.0, -1)
    noise = numpy_generator(0, "disc").normal(0, 8, (side, side, 3))
    return Layer((np.array(colour) + noise).clip(0, 255).astype(np.float32), alpha, alpha > 2)


@pytest.fixture(scope="module")
def material() -> Material:
    empty = np.zeros((200, 240), np.float32)
    texture = numpy_generator(0, "ground").uniform(0, 255, (200, 240, 3)).astype(np.float32)
    ground = Layer(cv2.GaussianBlur(texture, (0, 0), 3), empty, empty > 0)
    return Material([disc((200, 60, 40)), disc((40, 90, 200))], [disc((90, 160, 60))], [ground])


def test_a_picture_is_a_function_of_seed_and_number(material):
    first, again, other = (composites.compose(material, 0, number) for number in (3, 3, 4))
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.pixels, other.pixels)


def test_pictures_have_the_sizes_and_ranges_of_the_head(material):
    for number in range(12):
        composite = composites.compose(material, 0, number)
        assert composite.pixels.shape == (INPUT_SIDE, INPUT_SIDE, 3)
        assert composite.pixels.dtype == np.uint8
        assert composite.mask.shape == composite.weight.shape == (MASK_SIDE, MASK_SIDE)
        assert 0 <= composite.mask.min()
        assert composite.mask.max() <= 1
        assert set(np.unique(composite.weight)) <= {0.0, 1.0}


def test_pictures_have_three_channels_of_their_own(material):
    pixels = np.stack([composites.compose(material, 0, number).pixels for number in range(12)])
    assert (pixels.reshape(-1, 3).std(0) > 10).all()


def test_no_shift_leaves_colours_and_levels_are_kept_in_range():
    pixels = numpy_generator(0, "pixels").uniform(0, 255, (8, 8, 3)).astype(np.float32)
    assert np.allclose(composites.shift_colours(pixels, numpy_generator(0, "shift"), 0.0), pixels, atol=1e-3)
    brighter = composites.transform(pixels, np.eye(3), np.full(3, 100.0))
    assert np.allclose(brighter, np.minimum(pixels + 100, 255), atol=1e-3)


def test_clutter_lies_around_the_middle(material):
    """Its centre, that is: the middle of what it changes."""
    ground = np.full((composites.SIDE, composites.SIDE, 3), 128, np.float32)
    distances = []
    for number in range(40):
        changed = composites.put_clutter(ground, material, numpy_generator(number, "clutter"))
        rows, columns = np.nonzero(np.abs(changed - ground).sum(2) > 5)
        if len(rows):
            distances.append(max(abs(rows.mean() - 79.5), abs(columns.mean() - 79.5)) / composites.SIDE)
    assert len(distances) > 20
    assert min(distances) > 0.15


def test_harmonising_moves_an_object_towards_its_ground(material):
    ground = np.full((composites.SIDE, composites.SIDE, 3), 50, np.float32)
    pixels = np.full_like(ground, 200)
    alpha = np.zeros(ground.shape[:2], np.float32)
    alpha[60:100, 60:100] = 1
    means = [
        composites.harmonise(pixels, alpha, ground, numpy_generator(number, "harmonise")).mean()
        for number in range(20)
    ]
    assert min(means) > 50
    assert max(means) <= 200.01
    assert min(means) < 140


def test_kinds_are_held_out_whole():
    names = [f"animals_birds_{name}" for name in "abc"] + [f"food_fruit_{name}" for name in "abcd"]
    names += [f"town_{number}_x" for number in range(10)]
    held = held_out_kinds(names)
    assert held
    assert held < {"animals_birds", "food_fruit", *(f"town_{number}" for number in range(10))}


def test_a_marked_subject_ends_at_the_edge_nearby():
    """The polygon is 6 pixels too small all around; GrabCut finds the square."""
    pixels = np.full((120, 120, 3), 220, np.uint8)
    pixels[30:90, 30:90] = (160, 30, 30)
    mask = mark_subject(pixels, [[(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7)]])
    truth = np.zeros((120, 120), bool)
    truth[30:90, 30:90] = True
    assert ((mask > 0.5) & truth).sum() / ((mask > 0.5) | truth).sum() > 0.95
