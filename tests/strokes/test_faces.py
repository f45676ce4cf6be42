"""Faces: found in photos, and their faint lines drawn by every hand."""

import cv2
import numpy as np
import pytest

from sketchforge.images.builtin.photos import load_photos
from sketchforge.strokes.choosing import MOST_OF_FACES, StrokeFeatures, find_features
from sketchforge.strokes.draw import draw_hands, trace_picture
from sketchforge.strokes.faces import CLEAR, MOST_LIFT, cover_faces, find_faces, lift_faces, mark_faces
from sketchforge.strokes.foreground import find_foreground
from sketchforge.strokes.hands import read_hands

SIDE = 256
FACE = np.array([[0.25, 0.125, 0.5]])


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    return dict(load_photos())


@pytest.mark.parametrize("side", [128, 176, 512])
def test_the_astronauts_small_face_is_found_at_any_size(photos, side):
    resized = cv2.resize(photos["astronaut-s0-00"], (side, side), interpolation=cv2.INTER_AREA)
    ((left, top, width),) = find_faces(resized)
    assert left + width / 2 == pytest.approx(0.43, abs=0.03)
    assert top + width / 2 == pytest.approx(0.22, abs=0.03)
    assert 0.14 < width < 0.28


@pytest.mark.parametrize("key", ["rocket-s0-00", "coffee-s0-00", "pagoda-s0-00"])
def test_things_have_no_face(photos, key):
    assert find_faces(photos[key]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(12, 300, 3), (1, 1, 3)])
def test_a_picture_without_room_for_a_face_has_none(shape):
    assert find_faces(np.zeros(shape, np.uint8)).shape == (0, 3)


def test_an_ellipse_covers_the_features_of_a_face():
    """Of a picture of 100 x 80 a face from (25, 12.5), 50 wide: its middle is at (50, 38.5), its half axes 20 and 23."""
    (cover,) = cover_faces(FACE, (80, 100))
    rows, columns = np.nonzero(cover)
    assert (columns.min(), columns.max()) == (30, 69)
    assert (rows.min(), rows.max()) == (16, 60)
    assert cover.sum() == pytest.approx(np.pi * 20 * 23, rel=0.01)


def test_a_faint_face_is_lifted_until_its_clearest_lines_are_clear():
    darkness = np.full((100, 100), 0.01, np.float32)
    (cover,) = covers = cover_faces(FACE, darkness.shape)
    darkness[30:40, 40:60] = 0.4  # 200 pixels of 1,445: beyond the quantile
    darkness[90:, :] = 0.4  # outside
    lifted = lift_faces(darkness, covers)
    assert lifted[35, 50] == pytest.approx(CLEAR)
    assert lifted[45, 50] == pytest.approx(0.01 * CLEAR / 0.4), "all of a face alike"
    assert np.array_equal(lifted[~cover], darkness[~cover])


def test_what_is_hardly_there_is_not_made_a_line():
    darkness = np.full((100, 100), 0.05, np.float32)
    covers = cover_faces(FACE, darkness.shape)
    assert lift_faces(darkness, covers).max() == pytest.approx(0.05 * MOST_LIFT)


def test_a_clear_face_and_a_picture_without_one_stay_as_they_are():
    darkness = np.full((100, 100), 0.9, np.float32)
    assert np.array_equal(lift_faces(darkness, cover_faces(FACE, darkness.shape)), darkness)
    assert lift_faces(darkness, []) is darkness
    assert not mark_faces([], (5, 7)).any()


def test_the_largest_strokes_within_faces_are_features_whatever_else_is_known_of_them():
    count = MOST_OF_FACES + 3
    zeros = np.zeros(count)
    length = np.arange(1, count + 1) / 100
    face = np.ones(count)
    face[-1] = 0.5  # half of the longest stroke lies outside
    features = StrokeFeatures(
        length, np.ones(count), np.zeros((count, 2)), zeros, zeros, zeros, zeros, zeros, zeros, face
    )
    assert find_features(features).tolist() == list(range(2, count - 1))


def test_every_hand_draws_the_face_of_the_astronaut(photos):
    """Lines so faint that none of them would be traced: nothing of a small face was left."""
    pixels = photos["astronaut-s0-00"]
    ((left, top, width),) = find_faces(pixels) * SIDE
    faint = {"eyes": 0.40, "mouth": 0.72}  # their height in the square
    grey = np.full((SIDE, SIDE), 255, np.uint8)
    cv2.ellipse(grey, (110, 60), (40, 45), 0, 0, 360, 0, 2)
    for height in faint.values():
        y = round(top + height * width)
        cv2.line(grey, (round(left + 0.3 * width), y), (round(left + 0.7 * width), y), 200, 2)
    traced = trace_picture(np.stack([grey] * 2), find_foreground(pixels).astype(np.float32), pixels)
    for drawing in draw_hands(traced, read_hands(), 0, "astronaut", (SIDE, SIDE)):
        points = traced.strokes.select(drawing.taken).points
        for name, height in faint.items():
            away = np.abs(points - [left + width / 2, top + height * width])
            assert (away < [width / 4, 3]).all(1).any(), f"{drawing.hand.name} leaves out the {name}"
