"""The random augmentation parameters of a training pair (section 4.1).

Both implementations use the same parameters: `augment.py` for one sample at a time on a CPU, `augment_gpu.py`
for whole batches on the training device. They are a pure function of (seed, key), whatever batch a sample is
in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketchforge.utils.seeding import uniforms

LINE_WIDTHS = 4  # a variant's lines: unchanged, bolder by a square, bolder by a cross, thinner


@dataclass(frozen=True)
class PairAugmentation:
    """The ranges of the random parameters; the paper names the kinds, its authors' code the numbers."""

    zoom: float = 1.1  # image and sketches are resized to zoom·S before all get the same S×S crop
    style_zoom: float = 1.5  # the style view shows a square of 1/style_zoom to 1 times the image's side
    rotation: float = 30.0  # of the style view, degrees in either direction; below 45
    erased: int = 2  # tries at erasing a region of the variant
    erase_probability: float = 0.8  # of each try
    erase_area: tuple[float, float] = (0.02, 0.10)  # fraction of the sketch's area that a region covers

    def zoomed(self, size: int) -> int:
        """Side in pixels of the square that S×S crops are cut from."""
        return max(size, round(size * self.zoom))


@dataclass(frozen=True)
class PairParams:
    """The parameters of B samples; integers unless noted otherwise."""

    corner: np.ndarray  # (B,2): top and left of the crop in the zoomed square
    flip: np.ndarray  # bool (B,): whether the crop is mirrored
    line_width: np.ndarray  # (B,): of the variant, below LINE_WIDTHS
    erased: np.ndarray  # (B,E,4): top, left, height, width of regions of the variant; height 0 for none
    # (B,2): height and width that the image is averaged to before its style view is warped
    shrunk: np.ndarray
    # float64 (B,2,3): maps (x, y, 1) in the style view to (x, y) in the shrunk image; pixel centres are
    # integers
    view: np.ndarray


def sample_pairs(
    seed: int, keys: Sequence[object], height: int, width: int, size: int, augment: PairAugmentation
) -> PairParams:
    """Sample the parameters for these keys; the images have height×width pixels, the pairs size×size."""
    uniform = np.array([uniforms(9 + 5 * augment.erased, seed, "pair", key) for key in keys])
    shrunk, view = _sample_style_views(uniform[:, 4:9], height, width, size, augment)
    return PairParams(
        corner=_scale_to_integers(augment.zoomed(size) - size + 1, uniform[:, 0:2]),
        flip=uniform[:, 2] < 0.5,
        line_width=_scale_to_integers(LINE_WIDTHS, uniform[:, 3]),
        erased=_sample_erasing(uniform[:, 9:].reshape(len(keys), augment.erased, 5), size, augment),
        shrunk=shrunk,
        view=view,
    )


def _scale_to_integers(number: int | np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Scale uniform numbers in [0, 1) to integers from 0 to number - 1, all equally likely."""
    integers: np.ndarray = np.floor(uniform * number).astype(np.int64)
    return integers


def _sample_erasing(uniform: np.ndarray, size: int, augment: PairAugmentation) -> np.ndarray:
    """Uniform numbers (B,E,5) -> `erased` of PairParams, (B,E,4)."""
    low, high = augment.erase_area
    area = (low + (high - low) * uniform[..., 0]) * size * size
    stretch = 2.0 ** (2 * uniform[..., 1] - 1)  # ratio of the sides, a half to two: regions, not stripes
    sides = np.empty((*area.shape, 2))
    sides[..., 0] = np.minimum(np.maximum(np.rint(np.sqrt(area * stretch)), 1), size)
    sides[..., 1] = np.minimum(np.maximum(np.rint(area / sides[..., 0]), 1), size)
    erased = np.empty((*area.shape, 4), np.int64)
    erased[..., :2] = _scale_to_integers(size - sides + 1, uniform[..., 2:4])
    erased[..., 2:] = sides
    erased[..., 2][uniform[..., 4] >= augment.erase_probability] = 0
    return erased


def _sample_style_views(
    uniform: np.ndarray, height: int, width: int, size: int, augment: PairAugmentation
) -> tuple[np.ndarray, np.ndarray]:
    """Uniform numbers (B,5) -> `shrunk` and `view` of PairParams: crop, flip, rotation and scale.

    The view's square lies within the image: a rotated square is made smaller until it fits.
    """
    angle = np.deg2rad(augment.rotation * (2 * uniform[:, 0] - 1))
    fraction = 1 / augment.style_zoom + (1 - 1 / augment.style_zoom) * uniform[:, 1]
    # A warp reads few pixels only, so much larger images are averaged first, or their texture would alias.
    scale = np.minimum(1, 2 * size / (fraction * min(height, width)))
    shrunk = np.maximum(1, np.rint(np.array([height, width]) * scale[:, None]))
    extent = shrunk[:, ::-1]
    cos, sin = np.cos(angle), np.sin(angle)
    reach = abs(cos) + abs(sin)  # a rotated square's bounding box, in sides of the square
    side = np.minimum(fraction, 1 / reach) * extent.min(axis=1)
    step = side / size
    across = np.where(uniform[:, 2] < 0.5, -step, step)  # mirrored or not
    view = np.empty((len(uniform), 2, 3))
    view[:, 0, 0], view[:, 1, 0] = cos * across, sin * across
    view[:, 0, 1], view[:, 1, 1] = -sin * step, cos * step
    box = (side * reach)[:, None]
    centre = box / 2 + uniform[:, 3:5] * (extent - box) - 0.5
    # The position of the view's first pixel; the view's middle is at `centre`.
    view[:, :, 2] = centre - (view[:, :, 0] + view[:, :, 1]) * ((size - 1) / 2)
    return shrunk.astype(np.int64), view
