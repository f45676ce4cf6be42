"""What is left to chance in a training pair (section 4.1), as numbers.

The same numbers serve whoever changes the images: `augment.py` one sample at a time on a CPU, `augment_gpu.py`
whole batches on the device that trains. They are a pure function of (seed, key), whatever batch a sample is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketchforge.utils.seeding import uniforms

LINE_WIDTHS = 4  # a variant's lines: as they are, bolder by a square, by a cross, thinner


@dataclass(frozen=True)
class PairAugmentation:
    """How much is left to chance; the paper names the kinds, the numbers are those of its authors' code."""

    zoom: float = 1.1  # image and sketches are resized to so many times S before one S×S crop of all
    style_zoom: float = 1.5  # the style view shows a square of 1/style_zoom to 1 times the image's side
    rotation: float = 30.0  # degrees, of the style view, either way; below 45
    erased: int = 2  # tries at erasing a region of the variant
    erase_probability: float = 0.8  # of each try
    erase_area: tuple[float, float] = (0.02, 0.10)  # share of the sketch that a region takes

    def zoomed(self, size: int) -> int:
        """Side in pixels of the square that S×S crops are cut from."""
        return max(size, round(size * self.zoom))


@dataclass(frozen=True)
class PairParams:
    """Of B samples; integers unless said otherwise."""

    corner: np.ndarray  # (B,2): top and left of the crop in the zoomed square
    flip: np.ndarray  # bool (B,): whether the crop is mirrored
    line_width: np.ndarray  # (B,): of the variant, below BOLDNESSES
    erased: np.ndarray  # (B,E,4): top, left, height, width of regions of the variant; height 0 for none
    shrunk: (
        np.ndarray
    )  # (B,2): height and width that the image is averaged to before its style view is warped
    # float64 (B,2,3): (x, y) there from (x, y, 1) in the style view; pixel centres are whole numbers
    view: np.ndarray


def sample_pairs(
    seed: int, keys: Sequence[object], height: int, width: int, size: int, augment: PairAugmentation
) -> PairParams:
    """The numbers of the samples with these keys; their images have height×width pixels, pairs size×size."""
    drawn = np.array([uniforms(9 + 5 * augment.erased, seed, "pair", key) for key in keys])
    shrunk, view = _style_views(drawn[:, 4:9], height, width, size, augment)
    return PairParams(
        corner=_below(augment.zoomed(size) - size + 1, drawn[:, 0:2]),
        flip=drawn[:, 2] < 0.5,
        line_width=_below(LINE_WIDTHS, drawn[:, 3]),
        erased=_sample_erasing(drawn[:, 9:].reshape(len(keys), augment.erased, 5), size, augment),
        shrunk=shrunk,
        view=view,
    )


def _below(number: int | np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Integers from 0 to number - 1, each as likely."""
    return np.floor(drawn * number).astype(np.int64)


def _sample_erasing(drawn: np.ndarray, size: int, augment: PairAugmentation) -> np.ndarray:
    """Uniform numbers (B,E,5) -> (B,E,4)."""
    low, high = augment.erase_area
    area = (low + (high - low) * drawn[..., 0]) * size * size
    stretch = 2.0 ** (2 * drawn[..., 1] - 1)  # of the sides, a half to two: regions, not stripes
    sides = np.empty((*area.shape, 2))
    sides[..., 0] = np.minimum(np.maximum(np.rint(np.sqrt(area * stretch)), 1), size)
    sides[..., 1] = np.minimum(np.maximum(np.rint(area / sides[..., 0]), 1), size)
    erased = np.empty((*area.shape, 4), np.int64)
    erased[..., :2] = _below(size - sides + 1, drawn[..., 2:4])
    erased[..., 2:] = sides
    erased[..., 2][drawn[..., 4] >= augment.erase_probability] = 0
    return erased


def _style_views(
    drawn: np.ndarray, height: int, width: int, size: int, augment: PairAugmentation
) -> tuple[np.ndarray, np.ndarray]:
    """Uniform numbers (B,5) -> `shrunk` and `view` of PairDraws: crop, flip, rotation and scale.

    The square shown lies within the image: of a rotated one only as much is taken as fits.
    """
    angle = np.deg2rad(augment.rotation * (2 * drawn[:, 0] - 1))
    share = 1 / augment.style_zoom + (1 - 1 / augment.style_zoom) * drawn[:, 1]
    # A warp looks at a few pixels only: of much larger images averages are taken first, or texture aliases.
    scale = np.minimum(1, 2 * size / (share * min(height, width)))
    shrunk = np.maximum(1, np.rint(np.array([height, width]) * scale[:, None]))
    extent = shrunk[:, ::-1]
    cos, sin = np.cos(angle), np.sin(angle)
    reach = abs(cos) + abs(sin)  # a rotated square's bounding box, in sides of the square
    side = np.minimum(share, 1 / reach) * extent.min(axis=1)
    step = side / size
    across = np.where(drawn[:, 2] < 0.5, -step, step)  # mirrored or not
    view = np.empty((len(drawn), 2, 3))
    view[:, 0, 0], view[:, 1, 0] = cos * across, sin * across
    view[:, 0, 1], view[:, 1, 1] = -sin * step, cos * step
    box = (side * reach)[:, None]
    centre = box / 2 + drawn[:, 3:5] * (extent - box) - 0.5
    # Where the view's first pixel lies, its middle being at `centre`.
    view[:, :, 2] = centre - (view[:, :, 0] + view[:, :, 1]) * ((size - 1) / 2)
    return shrunk.astype(np.int64), view
