"""The images that the shipped snapshots learn from: composites as rich as photos, drawings that are of lines."""

import sys

import cv2
import numpy as np
import pytest

from tests.helpers.commands import ROOT

sys.path.insert(0, str(ROOT / "benchmarks" / "studies"))

import free_tom_images as images  # noqa: E402

from sketchforge.utils.seeding import numpy_generator  # noqa: E402

SIDE = images.SIDE


def square(colour: tuple[int, int, int], alpha: int = 255) -> np.ndarray:
    """uint8 120x120x4: a square of 80 pixels in the middle of nothing, which is red."""
    cutout = np.full((120, 120, 4), (255, 0, 0, 0), np.uint8)
    cutout[20:100, 20:100] = (*colour, alpha)
    return cutout


def noise(side: int = 200) -> np.ndarray:
    return numpy_generator(0, "noise").integers(0, 256, (side, side, 3), dtype=np.uint8)


def compose(number: int) -> np.ndarray:
    cutouts = [square((40, 90, 200)), square((20, 160, 60))]
    return images.compose(cutouts[0], cutouts, [noise()], numpy_generator(0, "test", number))


def test_a_composite_is_a_function_of_its_number():
    assert np.array_equal(compose(1), compose(1))
    assert not np.array_equal(compose(1), compose(2))


def test_a_composite_has_the_contrast_of_a_photo():
    stds = [compose(number).astype(np.float32).mean(2).std() for number in range(12)]
    assert 25 < np.median(stds)
    assert max(stds) < 80


def test_what_transparent_pixels_are_coloured_does_not_show():
    grey = np.full((SIDE, SIDE, 3), 128, np.float32)
    for number in range(12):
        pasted = images.paste(square((128, 128, 128)), grey, 0.7, numpy_generator(0, "paste", number))
        assert np.abs(pasted - 128).max() < 40


def test_pasting_changes_no_more_than_the_cutout_covers():
    image = noise(SIDE).astype(np.float32)
    before = image.copy()
    pasted = images.paste(square((0, 0, 255)), image, 0.6, numpy_generator(0, "paste"))
    changed = (pasted != image).any(2).mean()
    assert np.array_equal(image, before)
    assert 0 < changed < 1.3 * 0.6**2 * (80 / 120) ** 2


@pytest.mark.parametrize("alpha, is_filled", [(255, True), (200, False)])
def test_a_surface_is_taken_from_within_a_cutout_alone(alpha, is_filled):
    rng = numpy_generator(0, "inside")
    taken = [images.take_inside(square((10, 20, 30), alpha), rng) for _ in range(20)]
    surfaces = [surface for surface in taken if surface is not None]
    assert bool(surfaces) == is_filled
    assert all((surface == (10, 20, 30)).all() and surface.shape == (SIDE, SIDE, 3) for surface in surfaces)


def test_two_surfaces_meet_above_and_below():
    upper, lower = (np.full((SIDE, SIDE, 3), level, np.float32) for level in (0, 200))
    for number in range(8):
        both = images.meet(upper, lower, numpy_generator(0, "meet", number))
        assert both[0].mean() < 20
        assert both[-1].mean() > 180


@pytest.mark.parametrize(
    "width, is_filled, expected", [(2, False, True), (6, False, False), (2, True, False)]
)
def test_drawings_are_of_lines_not_of_broad_pens_or_filled(width, is_filled, expected):
    drawing = np.full((256, 256), 255, np.uint8)
    cv2.circle(drawing, (128, 128), 90, 0, width)
    if is_filled:
        cv2.circle(drawing, (128, 128), 20, 0, -1)
    assert images.is_of_lines(drawing) == expected
