"""The built-in drawings and photographs."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest
from skimage.morphology import skeletonize

from sketchforge.images.builtin import photos
from sketchforge.images.builtin.drawings import PENS, SUBJECTS, draw, load_drawings
from sketchforge.images.builtin.pens import PEN_TABLE, draw_strokes
from sketchforge.images.builtin.photos import edge_coverage, load_photos
from sketchforge.images.builtin.strokes import Stroke

INK_SHARE = (0.05, 0.18)  # of the pixels darker than mid-grey


@pytest.fixture(scope="module")
def drawings() -> list[tuple[str, np.ndarray]]:
    return load_drawings()


@pytest.fixture(scope="module")
def crops() -> list[tuple[str, np.ndarray]]:
    return load_photos()


def digest(images: list[tuple[str, np.ndarray]]) -> str:
    sha = hashlib.sha256()
    for key, image in images:
        sha.update(key.encode() + image.tobytes())
    return sha.hexdigest()


def stroke_width(drawing: np.ndarray) -> float:
    """Mean width of the lines in pixels: twice the distance from the skeleton to the paper."""
    ink = drawing < 128
    distance = cv2.distanceTransform(ink.astype(np.uint8), cv2.DIST_L2, 5)
    return 2 * float(distance[skeletonize(ink)].mean())


def pieces(drawing: np.ndarray) -> int:
    """Number of connected patches of ink."""
    return cv2.connectedComponents((drawing < 128).astype(np.uint8), connectivity=8)[0] - 1


def test_there_are_many_subjects_and_pens():
    assert len(set(SUBJECTS)) == len(SUBJECTS) >= 32
    assert len(set(PENS)) == len(PENS) >= 10


def test_default_set_uses_every_subject_and_every_pen_on_several_subjects(drawings):
    keys = [key for key, _ in drawings]
    assert 48 <= len(keys) <= 64
    assert len(set(keys)) == len(keys)
    assert not any("." in key or "/" in key for key in keys)
    for subject in SUBJECTS:
        assert 1 <= sum(key.rsplit("-", 1)[0] == subject for key in keys) <= 2
    for pen in PENS:
        assert sum(key.rsplit("-", 1)[1] == pen for key in keys) >= 3


def test_drawings_are_dark_lines_on_white_paper(drawings):
    for key, image in drawings:
        assert image.dtype == np.uint8, key
        assert image.shape == (256, 256), key
        assert np.median(image) == 255, key
        assert image.min() < 60, key
        share = float(np.mean(image < 128))
        assert INK_SHARE[0] <= share <= INK_SHARE[1], (key, share)
        corners = [
            image[rows, columns]
            for rows in (slice(0, 12), slice(-12, None))
            for columns in (slice(0, 12), slice(-12, None))
        ]
        assert np.median([corner.mean() for corner in corners]) > 200, key


def test_subjects_fill_the_image():
    for subject in SUBJECTS:
        rows, columns = np.nonzero(draw(subject, "technical") < 128)
        assert max(np.ptp(rows), np.ptp(columns)) > 210, subject
        assert min(np.ptp(rows), np.ptp(columns)) > 150, subject


def test_same_arguments_give_the_same_bytes(drawings):
    """Every sixth drawing, by itself: what was drawn before it does not matter, either."""
    some = drawings[::6]
    assert digest([(key, draw(*key.rsplit("-", 1))) for key, _ in some]) == digest(some)


def test_global_random_state_does_not_matter():
    np.random.seed(1)
    first = draw("cat", "pencil")
    np.random.seed(2)
    assert np.array_equal(first, draw("cat", "pencil"))


@pytest.mark.parametrize("pen", PENS)
def test_another_seed_gives_another_drawing(pen):
    assert not np.array_equal(draw("teapot", pen, seed=0), draw("teapot", pen, seed=1))


def test_other_sizes_show_the_same_drawing():
    small, large = draw("owl", "technical", 128), draw("owl", "technical", 512)
    shrunk = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 4


def test_marker_is_broad_and_technical_pen_is_fine():
    for subject in ("cat", "car", "woman"):
        assert stroke_width(draw(subject, "marker")) > 1.6 * stroke_width(draw(subject, "technical"))


def test_broken_lines_fall_into_more_pieces():
    for subject in ("teapot", "elephant", "profile"):
        assert pieces(draw(subject, "broken")) > 1.3 * pieces(draw(subject, "technical"))


def test_nib_makes_width_depend_on_direction():
    def ink(pen: str, points: list[list[float]]) -> float:
        image = draw_strokes([Stroke(np.array(points))], PEN_TABLE[pen], 256, np.random.default_rng(0))
        return float(np.sum(255 - image.astype(int)))

    rising, falling = [[0.2, 0.7], [0.8, 0.2]], [[0.2, 0.2], [0.8, 0.7]]  # the nib's edge rises at 40 degrees
    assert ink("calligraphic", falling) > 2 * ink("calligraphic", rising)
    assert ink("marker", falling) == pytest.approx(ink("marker", rising), rel=0.1)


def test_every_two_pens_draw_visibly_different_images():
    angle = np.linspace(0, 6 * np.pi, 200)
    spiral = np.stack([0.5 + angle / 50 * np.cos(angle), 0.5 + angle / 50 * np.sin(angle)], axis=1)
    rays = [
        Stroke(np.array([[0.5, 0.5], [0.5 + 0.45 * np.cos(a), 0.5 + 0.45 * np.sin(a)]]), weight)
        for a, weight in ((0.3, 0.5), (1.4, 1.0), (2.6, 1.4), (4.0, 0.6), (5.2, 0.9))
    ]
    strokes = [Stroke(spiral), *rays]
    images = {
        pen: 255 - draw_strokes(strokes, PEN_TABLE[pen], 256, np.random.default_rng(0)).astype(int)
        for pen in PENS
    }
    for i, a in enumerate(PENS):
        for b in PENS[i + 1 :]:
            difference = np.abs(images[a] - images[b]).sum() / (images[a].sum() + images[b].sum())
            assert difference > 0.1, (a, b, difference)


def test_photos_are_colour_squares_with_content(crops):
    assert 40 <= len(crops) <= 64
    keys = [key for key, _ in crops]
    assert len(set(keys)) == len(keys)
    assert not any("." in key or "/" in key for key in keys)
    for key, image in crops:
        assert image.dtype == np.uint8, key
        assert image.shape == (256, 256, 3), key
        assert edge_coverage(image) >= photos.MIN_COVERAGE, key
        assert image.std() > 15, key


def test_photos_are_rgb(crops):
    crop = dict(crops)["astronaut-s0-00"].astype(int)
    suit = crop[150:200, 70:100]
    assert suit[..., 0].mean() > suit[..., 2].mean() + 60  # an orange suit


def test_crops_without_content_are_left_out(crops):
    assert "dahlia-s1-00" not in dict(crops)
    assert edge_coverage(np.full((256, 256, 3), 128, np.uint8)) == 0


def test_photos_are_the_same_each_time(crops):
    assert digest(load_photos()) == digest(crops)


def test_every_photo_is_named_in_the_notice_and_small():
    notice = (photos.FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    files = sorted(photos.FOLDER.glob("*.jpg"))
    assert len(files) >= 5
    for path in files:
        assert f"`{path.name}`" in notice, path.name
        height, width = cv2.imread(str(path)).shape[:2]
        assert max(height, width) <= 640
    assert sum(path.stat().st_size for path in files) <= 900_000
