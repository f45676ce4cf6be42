"""One stored sample -> the auto-encoder's training pair (section 4.1): image, two sketches, a style view.

The image and its sketch stay aligned. The self-supervised losses compare them with the variant of the sketch
and with the style view (Eqs. 7-10). Everything random derives from (seed, purpose, key).

Shape letters: B batch, S side of the square training image, H, W of the stored one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from sketchforge.data.augment_params import PairAugmentation, sample_pairs
from sketchforge.images.resize import fit_square
from sketchforge.images.tensors import normalize_pixels, to_unit

PAPER = 255
MASK = "mask"  # the one entry of a pair that is in [0, 1]

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


def training_pair(
    image: np.ndarray,
    sketches: Sequence[np.ndarray],
    size: int,
    seed: int,
    key: object,
    augment: PairAugmentation | None = PairAugmentation(),
    mask: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """The tensors of one sample, float32 in [-1, 1], S = size, 1 = paper in sketches.

    image: uint8 H×W×3 RGB.
    sketches: uint8 H×W, the sketch and a second one to make the variant from; a single one serves for both.
    mask: uint8 H×W, 255 = subject; None: there is none.
    Raises ValueError for other dtypes and shapes.

    "image" (3,S,S) and "sketch" (1,S,S): the same random crop and flip of both.
    "variant" (1,S,S): the second sketch, same crop and flip, with random line width and random regions erased
    (Eqs. 9-10).
    "style_view" (3,S,S): another square of the image, flipped, rotated and scaled at random (Eqs. 7-8).
    "mask" (1,S,S), in [0, 1], where one is passed: the same crop and flip as the image's.

    With augment None nothing is random: all tensors show the centred square, the variant is the second
    sketch.
    """
    pixels = pair_pixels(image, sketches, size, seed, key, augment, mask)
    return {name: normalize_entry(name, source_pixels) for name, source_pixels in pixels.items()}


def normalize_entry(name: str, pixels: Tensor) -> Tensor:
    """An entry of a pair, levels in 0..255 -> float32 in the range that entries of this name have."""
    return to_unit(pixels) if name == MASK else normalize_pixels(pixels)


def pair_pixels(
    image: np.ndarray,
    sketches: Sequence[np.ndarray],
    size: int,
    seed: int,
    key: object,
    augment: PairAugmentation | None = PairAugmentation(),
    mask: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """`training_pair` before normalisation, uint8 (C,S,S): a quarter of the bytes to move to a device."""
    _check_pair(image, sketches, mask)
    if augment is None:
        square, sketch_crops = fit_square(image, size, "crop"), _fit_squares(sketches, size)
        mask_crop = None if mask is None else fit_square(mask, size, "crop")
        return _to_tensors(square, sketch_crops[0], sketch_crops[-1], square, mask_crop)
    height, width = image.shape[:2]
    params = sample_pairs(seed, [key], height, width, size, augment)
    zoomed_side = augment.zoomed(size)
    top, left = (int(offset) for offset in params.corner[0])

    def crop(square: np.ndarray) -> np.ndarray:
        window = square[top : top + size, left : left + size]
        return cv2.flip(window, 1) if params.flip[0] else window

    sketch_crops = [crop(square) for square in _fit_squares(sketches, zoomed_side)]
    variant = sketch_variant(sketch_crops[-1], int(params.line_width[0]), params.erased[0])
    view = style_view(image, size, params.shrunk[0], params.view[0])
    mask_crop = None if mask is None else crop(fit_square(mask, zoomed_side, "crop"))
    return _to_tensors(
        crop(fit_square(image, zoomed_side, "crop")), sketch_crops[0], variant, view, mask_crop
    )


def stored_pair(
    image: np.ndarray, sketches: Sequence[np.ndarray], key: object, mask: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The sample as stored, from which `augment_gpu.PairBatches` makes the pair: nothing is computed here.

    uint8 "image" (H,W,3), "sketch", "variant" and, where there is one, "mask" (H,W); arguments as for
    `training_pair`, not checked.
    """
    masks = {} if mask is None else {MASK: mask}
    return {"image": image, "sketch": sketches[0], "variant": sketches[-1], **masks}


def sketch_variant(sketch: np.ndarray, line_width: int, erased: np.ndarray) -> np.ndarray:
    """uint8 H×W -> the same drawing with lines thinner or bolder, and small regions erased to paper.

    line_width, erased (E,4): one sample's values from `PairParams`.
    """
    variant = _LINE_WIDTH_FILTERS[line_width](np.ascontiguousarray(sketch)).copy()
    for top, left, height, width in erased:
        variant[top : top + height, left : left + width] = PAPER
    return variant


# Lines are dark, so a minimum widens them. A maximum would lose lines of one pixel, so "thinner" averages
# with it.
_LINE_WIDTH_FILTERS = (
    lambda sketch: sketch,
    lambda sketch: cv2.erode(sketch, _SQUARE),  # the authors' minimum filter of 3
    lambda sketch: cv2.erode(sketch, _CROSS),
    lambda sketch: cv2.addWeighted(sketch, 0.5, cv2.dilate(sketch, _CROSS), 0.5, 0),
)


def style_view(image: np.ndarray, size: int, shrunk: np.ndarray, view: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 -> S×S×3: crop, flip, rotation and scale in one warp with one interpolation.

    shrunk (2,), view (2,3): one sample's values from `PairParams`.
    """
    height, width = (int(side) for side in shrunk)
    if (height, width) != image.shape[:2]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    # Only the interpolation's margin can fall outside the image: it is reflected, never black. The warp is of
    # floats, because cv2 takes nearly twice as long to warp bytes.
    warp_flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(
        image.astype(np.float32), view, (size, size), flags=warp_flags, borderMode=cv2.BORDER_REFLECT_101
    )
    return cv2.convertScaleAbs(np.maximum(values, 0))  # rounded, and 255 at most


def _check_pair(image: np.ndarray, sketches: Sequence[np.ndarray], mask: np.ndarray | None) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: expected uint8 H×W×3, found {image.dtype} of shape {image.shape}")
    if len(sketches) not in (1, 2):
        raise ValueError(f"{len(sketches)} sketches: expected two, or one that serves for both")
    planes = [("sketch", sketch) for sketch in sketches] + ([] if mask is None else [(MASK, mask)])
    for name, plane in planes:
        if plane.dtype != np.uint8 or plane.shape != image.shape[:2]:
            actual = f"{plane.dtype} of shape {plane.shape}"
            raise ValueError(f"{name}: expected uint8 of the image's {image.shape[:2]}, found {actual}")


def _fit_squares(sketches: Sequence[np.ndarray], side: int) -> list[np.ndarray]:
    """`fit_square` of one sketch or two; averaging over areas is faster for two channels at once."""
    if len(sketches) == 2 and side < min(sketches[0].shape):
        return list(cv2.split(fit_square(cv2.merge(sketches), side, "crop")))
    return [fit_square(sketch, side, "crop") for sketch in sketches]


def _to_tensors(
    image: np.ndarray,
    sketch: np.ndarray,
    variant: np.ndarray,
    style_view: np.ndarray,
    mask: np.ndarray | None,
) -> dict[str, Tensor]:
    def to_planes(pixels: np.ndarray) -> Tensor:
        planes = torch.empty((3, *pixels.shape[:2]), dtype=torch.uint8)
        cv2.split(pixels, list(planes.numpy()))  # into `planes`: faster than a transposing copy
        return planes

    def to_plane(pixels: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(pixels[None], order="C"))  # a copy: crops are views

    return {
        "image": to_planes(image),
        "sketch": to_plane(sketch),
        "variant": to_plane(variant),
        "style_view": to_planes(style_view),
        **({} if mask is None else {MASK: to_plane(mask)}),
    }
