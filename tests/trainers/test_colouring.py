"""Coloured-in drawings: what is inside a line belongs together, and the lines are where they were."""

import cv2
import numpy as np
import pytest

from trainers.tom import synthetic_photos as colouring
from trainers.tom.synthetic_photos import denoise, stretch_contrast, synthesize_photo

SIZE = 96


def ring() -> np.ndarray:
    """A circle around the middle, drawn on white."""
    drawing = np.full((SIZE, SIZE), 255, np.uint8)
    cv2.circle(drawing, (48, 48), 28, 0, 3)
    return drawing


def flat_photos(*levels: int) -> np.ndarray:
    return np.stack([np.full((SIZE, SIZE, 3), level, np.uint8) for level in levels])


def noisy_photos(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


CONTRAST = 70.0


def test_the_inside_and_the_outside_of_a_line_get_one_tone_each():
    """Flat photos have neither texture nor shading, so all that can vary is along the line."""
    for seed in range(8):
        image = synthesize_photo(ring(), flat_photos(40, 200), 0, np.random.default_rng(seed)).astype(int)
        assert np.ptp(image[38:59, 38:59], axis=(0, 1)).max() == 0
        assert np.ptp(image[:10, :10], axis=(0, 1)).max() == 0
        assert np.array_equal(image[2, 2], image[-3, -3]), "one region outside"


def test_regions_differ_and_their_edge_lies_on_the_line():
    steps = []
    for seed in range(30):
        image = synthesize_photo(ring(), flat_photos(40, 200), 0, np.random.default_rng(seed)).astype(float)
        steps.append(np.abs(image[48, 48] - image[2, 2]).max())
        row = np.abs(np.diff(image[48].mean(-1)))
        changed = np.flatnonzero(row > 1)
        assert all(min(abs(place - 20), abs(place - 76)) <= 6 for place in changed)
    assert np.mean(np.array(steps) > 5) > 0.3, "colours are drawn per region"


def test_every_line_leaves_a_trace():
    """A stroke that parts nothing would be gone if lines could be left out: nobody could draw it again."""
    drawing = np.full((SIZE, SIZE), 255, np.uint8)
    cv2.line(drawing, (20, 48), (76, 48), 0, 3)
    for seed in range(30):
        image = synthesize_photo(drawing, flat_photos(120), 0, np.random.default_rng(seed)).astype(float)
        assert np.abs(image[48, 30:66] - image[10, 30:66]).max() > 2


def test_half_of_the_regions_have_a_pattern_of_two_tones():
    """Most pixels of the inside have one of two tones, far apart; the line is no part of it."""
    patterned = 0
    for seed in range(40):
        image = (
            synthesize_photo(ring(), flat_photos(90, 90), CONTRAST, np.random.default_rng(seed))
            .astype(float)
            .mean(-1)
        )
        inside = image[32:65, 32:65]
        low, high = np.quantile(inside, (0.02, 0.98))
        if high - low > 8:
            patterned += 1
            near = np.minimum(inside - low, high - inside) < 0.2 * (high - low)
            assert near.mean() > 0.5
    assert 8 <= patterned <= 32


@pytest.mark.parametrize("seed", range(6))
def test_patterns_are_coarser_than_texture(seed):
    """Neighbours two pixels apart are alike, and both tones take a fair share."""
    pattern = colouring._make_pattern(SIZE, SIZE, np.random.default_rng(seed))
    assert pattern.shape == (SIZE, SIZE)
    assert pattern.dtype == np.float32
    assert 0.25 < pattern.mean() < 0.75
    assert np.abs(pattern[2:] - pattern[:-2]).mean() < 0.6 * pattern.std()
    assert np.abs(pattern[:, 2:] - pattern[:, :-2]).mean() < 0.6 * pattern.std()


def test_texture_comes_from_the_photos():
    flat = synthesize_photo(ring(), flat_photos(90, 90, 90), 0, np.random.default_rng(3))
    rough = [synthesize_photo(ring(), noisy_photos(3), 0, np.random.default_rng(seed)) for seed in range(10)]
    assert flat[40:56, 40:56].std() == 0
    assert max(image[40:56, 40:56].astype(float).std(axis=(0, 1)).max() for image in rough) > 3


def pasted(drawing: np.ndarray, photos: np.ndarray, seed: int) -> np.ndarray:
    return synthesize_photo(drawing, photos, 0, np.random.default_rng(seed), 1.0).astype(float)


def stripes() -> np.ndarray:
    """Photos of broad stripes, which no region is filled with and shading cannot show."""
    photo = np.full((SIZE, SIZE, 3), 20, np.uint8)
    photo[:, (np.arange(SIZE) // 8) % 2 == 1] = 220
    return np.stack([photo, photo])


def test_a_pasted_figure_has_a_photo_around_it_and_its_own_inside():
    for seed in range(8):
        image = pasted(ring(), stripes(), seed)
        plain = synthesize_photo(ring(), stripes(), 0, np.random.default_rng(seed)).astype(float)
        assert np.corrcoef(image[2:10].mean((0, 2)), stripes()[0, 0, :, 0])[0, 1] > 0.8
        inside = (slice(40, 57), slice(40, 57))
        assert np.abs(image[inside] - plain[inside]).mean() < 25, "but for the last blur"


def test_half_of_the_photos_are_pasted_where_the_share_is_a_half():
    striped = 0
    for seed in range(40):
        image = synthesize_photo(ring(), stripes(), 0, np.random.default_rng(seed), 0.5).astype(float)
        striped += np.ptp(image[2:10].mean((0, 2))) > 60
    assert 10 <= striped <= 30


def test_the_lines_of_a_pasted_figure_are_there():
    for seed in range(8):
        with_figure = pasted(ring(), flat_photos(120, 120), seed)
        row = with_figure[48].mean(-1)
        assert np.abs(row[18:24] - row[48]).max() > 5, "the ring crosses the middle row at 20"


@pytest.mark.parametrize("what", ["no figure", "no surroundings", "a landscape"])
def test_only_a_figure_before_surroundings_is_pasted(what):
    drawing = np.full((SIZE, SIZE), 255, np.uint8)
    if what == "no surroundings":
        cv2.rectangle(drawing, (3, 3), (SIZE - 4, SIZE - 4), 0, 2)
    if what == "a landscape":  # sky and two fields share the border
        for row in (32, 64):
            cv2.line(drawing, (0, row), (SIZE - 1, row), 0, 3)
    for seed in range(6):
        plain = synthesize_photo(drawing, stripes(), 0, np.random.default_rng(seed))
        assert np.array_equal(pasted(drawing, stripes(), seed), plain)


def test_the_same_draw_gives_the_same_image():
    first, again = (
        synthesize_photo(ring(), noisy_photos(2), CONTRAST, np.random.default_rng(9)) for _ in range(2)
    )
    other = synthesize_photo(ring(), noisy_photos(2), CONTRAST, np.random.default_rng(10))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_sheet_without_lines_is_one_region(level):
    sheet = np.full((SIZE, SIZE), level, np.uint8)
    image = synthesize_photo(sheet, flat_photos(10, 250), 0, np.random.default_rng(0))
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.uint8
    assert image.std(axis=(0, 1)).max() == 0


def test_a_grey_scan_is_stretched_to_paper_and_ink():
    scan = (ring() // 4 + 120).astype(np.uint8)
    assert np.allclose(stretch_contrast(scan), stretch_contrast(ring()), atol=0.02)


def test_smoothing_takes_texture_and_leaves_edges():
    rng = np.random.default_rng(4)
    photo = np.full((SIZE, SIZE, 3), 60, np.uint8)
    photo[:, SIZE // 2 :] = 180
    specks = rng.random((SIZE, SIZE)) < 0.15
    rough = np.where(specks[..., None], np.uint8(255) - photo, photo)
    calm = denoise(rough, 7).astype(int)
    strayed = np.abs(rough.astype(int) - photo).mean()
    assert np.abs(calm - photo).mean() < 0.1 * strayed
    assert calm[48, SIZE // 2 - 4, 0] == 60, "no blur over the edge"
    assert calm[48, SIZE // 2 + 3, 0] == 180, "no blur over the edge"
