"""Canny draws the border of what stands out, and nothing else."""

import numpy as np
import pytest

from sketchforge.errors import UsageError
from sketchforge.sketchers.canny import CannySketcher


def square(ink: int = 40, paper: int = 220) -> np.ndarray:
    image = np.full((64, 64, 3), paper, np.uint8)
    image[16:48, 16:48] = ink
    return image


@pytest.mark.parametrize(
    "sketcher", [CannySketcher(), CannySketcher(50, 100, 1.0), CannySketcher(50, 100, 0.0)]
)
def test_a_square_is_drawn_by_its_border(sketcher):
    sketch = sketcher.draw(square()[None]).result()
    assert sketch.shape == (1, 1, 64, 64)
    ink = sketch[0, 0] == 0
    rows, columns = np.nonzero(ink)
    from_border = np.maximum(np.abs(rows - 31.5), np.abs(columns - 31.5)) - 16
    assert np.abs(from_border).max() <= 2
    # The line is closed: every row and column that the square crosses has ink on either side.
    assert ink[20:44, :32].any(1).all()
    assert ink[20:44, 32:].any(1).all()
    assert ink[:32, 20:44].any(0).all()
    assert ink[32:, 20:44].any(0).all()


def test_values_are_ink_or_paper():
    drawn = CannySketcher().draw(square()[None]).result()
    assert drawn.dtype == np.uint8
    assert set(np.unique(drawn)) == {0, 255}


def test_flat_and_nearly_flat_images_stay_white():
    rng = np.random.default_rng(0)
    flat = np.full((64, 64, 3), 128, np.uint8)
    noisy = flat + rng.integers(0, 2, flat.shape, np.uint8)
    assert CannySketcher().draw(np.stack([flat, noisy])).result().min() == 255


def test_an_image_is_drawn_the_same_in_any_batch():
    images = [square(), square(0, 255), square(100, 130)]
    together = CannySketcher().draw(np.stack(images)).result()
    alone = [CannySketcher().draw(image[None]).result()[0] for image in images]
    assert all((one == other).all() for one, other in zip(together, alone, strict=True))


def test_higher_thresholds_draw_less():
    faint = square(120, 136)
    assert CannySketcher(10, 20).draw(faint[None]).result().min() == 0
    assert CannySketcher(200, 400).draw(faint[None]).result().min() == 255


def test_thresholds_that_make_no_pair_are_refused():
    with pytest.raises(UsageError, match="--canny-low and --canny-high go together"):
        CannySketcher(low=3)
    with pytest.raises(UsageError, match="--canny-low 9 lies above --canny-high 3"):
        CannySketcher(9, 3)
