"""Two thresholds: what grows faint along the way stays, what is dark nowhere goes."""

import numpy as np
import pytest
from scipy import ndimage

from sketchforge.images.line_art import binarize
from sketchforge.options import TOM_LOW_THRESHOLD, RenderOptions


def image(*rows: str) -> np.ndarray:
    """ "#" for ink, "+" for a faint line, "." for paper."""
    tones = {"#": 10, "+": 180, ".": 250}
    return np.array([[tones[mark] for mark in row] for row in rows], np.uint8)


def ink(*rows: str) -> np.ndarray:
    return np.array([[mark == "#" for mark in row] for row in rows])


def test_a_line_may_grow_faint_but_not_be_faint():
    found = binarize(
        image("##++++##..", "..........", "++++++++++", "..........", "+.........", ".+#......."), 0.8, 0.2
    )
    expected = ink("########..", "..........", "..........", "..........", "#.........", ".##.......")
    assert np.array_equal(found == 0, expected)
    assert set(np.unique(found)) == {0, 255}


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_a_plain_flood(seed):
    sketch = np.random.default_rng(seed).integers(0, 256, (40, 31), np.uint8)
    for threshold, low_threshold in ((0.3, 0.02), (0.5, 0.0), (0.2, 0.1)):
        faint, dark = sketch <= threshold * 255, sketch <= low_threshold * 255
        grown = ndimage.binary_propagation(dark, np.ones((3, 3)), faint)
        assert np.array_equal(binarize(sketch, threshold, low_threshold) == 0, grown)


@pytest.mark.parametrize("low_threshold", [0.6, 0.9])
def test_a_core_at_the_threshold_or_above_is_one_threshold(low_threshold):
    sketch = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(binarize(sketch, 0.6, low_threshold) == 0, sketch <= 153)


def test_blank_paper_stays_white_and_solid_ink_black():
    for tone, expected in ((255, 255), (0, 0)):
        assert (binarize(np.full((9, 7), tone, np.uint8), 0.85, 0.15) == expected).all()


def test_black_and_white_stays_as_it_is():
    sketch = (np.random.default_rng(1).random((20, 20)) > 0.3).astype(np.uint8) * 255
    assert np.array_equal(binarize(sketch, 0.85, 0.15), sketch)


def test_probabilities_of_edge_detectors_are_cut_once_unless_asked(tmp_path):
    def of(**options):
        return RenderOptions(tmp_path, **options).thresholds

    assert of(method="tom") == (RenderOptions.threshold, TOM_LOW_THRESHOLD)
    assert TOM_LOW_THRESHOLD < RenderOptions.threshold
    assert of(method="pidinet", threshold=0.4) == (0.4, 0.4)
    assert of(method="teed", threshold=0.7, low_threshold=0.3) == (0.7, 0.3)
    assert of(sketch_format="png") is None
