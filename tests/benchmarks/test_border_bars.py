"""The measure of frames and bars."""

import numpy as np
import pytest

from benchmarks.studies.border_bars import measure_bars


def even_images(count=3, side=48):
    return np.full((count, side, side, 3), 100, np.uint8)


def test_an_even_image_has_neither_frame_nor_bars_and_a_slope_none():
    assert set(measure_bars(even_images()).values()) == {0}
    slope = np.broadcast_to(np.arange(48, dtype=np.uint8)[:, None, None], (1, 48, 48, 3))
    assert max(measure_bars(slope).values()) == pytest.approx(0, abs=1e-9)


def test_a_frame_of_a_pixel_by_hand():
    """8 levels darker all round: each border's difference is 8, but in the corners, where it is along the frame itself."""
    framed = even_images()
    framed[:, [0, -1]] = framed[:, :, [0, -1]] = 92
    figures = measure_bars(framed)
    # of 8 parts of 6 rows two have a row of the frame, along which there is no difference: 8 · (6·1 + 2·5/6) / 8
    assert figures["frame"] == pytest.approx(8 - 2 / 6)
    assert figures["fine"] == figures["bars"] == 0


def test_bars_are_what_images_have_in_the_same_place():
    """A line eight pixels from each border, in all images alike or in every second one the other way round."""
    alike = even_images(4).astype(int)
    alike[:, :, 8] += 10
    other = alike.copy()
    other[1::2, :, 8] -= 20
    figures = [measure_bars(images.astype(np.uint8)) for images in (alike, other)]
    assert figures[0]["fine"] == pytest.approx(figures[1]["fine"])
    assert figures[0]["bars"] == pytest.approx(figures[0]["fine"])  # of one sign in every part
    assert figures[1]["bars"] == pytest.approx(0, abs=1e-9)
