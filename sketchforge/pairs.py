"""One stored sample -> what the auto-encoder trains on (section 4.1): image, two sketches, a view for style.

The image and its sketch stay aligned; the variant of the sketch and the style view are what the
self-supervised losses compare them with (Eqs. 7-10). Everything random derives from (seed, purpose, key).

Shape letters: B batch, S side of the square training picture, H, W of the stored one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from sketchforge.images import fit_square
from sketchforge.seeding import numpy_generator

PAPER = 255

_LEVELS = torch.arange(256).float().div_(127.5).sub_(1).numpy()  # float32 in [-1, 1] of each level
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


@dataclass(frozen=True)
class PairAugmentation:
    """How much is left to chance; the paper names the kinds, the numbers are those of its authors' code."""

    zoom: float = 1.1  # image and sketches are resized to so many times S before one S×S crop of all
    style_zoom: float = 1.5  # the style view shows a square of 1/style_zoom to 1 times the image's side
    rotation: float = 30.0  # degrees, of the style view, either way; below 45
    erasures: int = 2  # tries at erasing a region of the variant
    erase_probability: float = 0.8  # of each try
    erase_area: tuple[float, float] = (0.02, 0.10)  # share of the sketch that a region takes


def training_pair(
    image: np.ndarray,
    sketches: Sequence[np.ndarray],
    size: int,
    seed: int,
    key: object,
    augment: PairAugmentation | None = PairAugmentation(),
) -> dict[str, Tensor]:
    """The tensors of one sample, float32 in [-1, 1], S = size, 1 = paper in sketches.

    image: uint8 H×W×3 RGB; sketches: uint8 H×W, the sketch and another one to make the variant of; where
    there is one only, it serves for both. Raises ValueError for other dtypes and shapes.

    "image" (3,S,S) and "sketch" (1,S,S): the same random crop and flip of both.
    "variant" (1,S,S): the other sketch, same crop and flip, in random boldness and with regions erased
    (Eqs. 9-10).
    "style_view" (3,S,S): another square of the image, flipped, rotated and scaled at random (Eqs. 7-8).

    With augment None nothing is left to chance: all show the centred square, the variant is the other sketch.
    """
    pixels = pair_pixels(image, sketches, size, seed, key, augment)
    return {name: normalized(picture) for name, picture in pixels.items()}


def pair_pixels(
    image: np.ndarray,
    sketches: Sequence[np.ndarray],
    size: int,
    seed: int,
    key: object,
    augment: PairAugmentation | None = PairAugmentation(),
) -> dict[str, Tensor]:
    """`training_pair` before normalisation, uint8 (C,S,S): a quarter of the bytes on the way to a device."""
    _check(image, sketches)
    if augment is None:
        square, drawn = fit_square(image, size, "crop"), _squares(sketches, size)
        return _as_tensors(square, drawn[0], drawn[-1], style_view=square)
    draw = numpy_generator(seed, "pair crop", key)
    zoomed = max(size, round(size * augment.zoom))
    top, left = (int(offset) for offset in draw.integers(zoomed - size + 1, size=2))
    flip = draw.random() < 0.5

    def crop(square: np.ndarray) -> np.ndarray:
        cut = square[top : top + size, left : left + size]
        return cv2.flip(cut, 1) if flip else cut

    drawn = [crop(square) for square in _squares(sketches, zoomed)]
    variant = sketch_variant(drawn[-1], numpy_generator(seed, "sketch variant", key), augment)
    view = style_view(image, size, numpy_generator(seed, "style view", key), augment)
    return _as_tensors(crop(fit_square(image, zoomed, "crop")), drawn[0], variant, view)


def normalized(pixels: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1], of any shape, on any device."""
    if pixels.device.type == "cpu" and pixels.is_contiguous() and pixels.numel():
        # The same numbers from a table: memory is gone through once, not three times.
        levels = torch.empty_like(pixels, dtype=torch.float32)
        cv2.LUT(pixels.view(1, -1).numpy(), _LEVELS, levels.view(1, -1).numpy())
        return levels
    return pixels.float().div_(127.5).sub_(1)


def sketch_variant(
    sketch: np.ndarray, draw: np.random.Generator, augment: PairAugmentation = PairAugmentation()
) -> np.ndarray:
    """uint8 H×W -> the same drawing with lines thinner or bolder, and small regions erased to paper."""
    variant = _BOLDNESS[int(draw.integers(len(_BOLDNESS)))](np.ascontiguousarray(sketch)).copy()
    height, width = variant.shape
    for _ in range(augment.erasures):
        if draw.random() < augment.erase_probability:
            area = draw.uniform(*augment.erase_area) * height * width
            stretch = np.exp(draw.uniform(np.log(1 / 2), np.log(2)))  # of the sides: regions, not stripes
            tall = min(height, max(1, round(np.sqrt(area * stretch))))
            wide = min(width, max(1, round(area / tall)))
            top, left = draw.integers(height - tall + 1), draw.integers(width - wide + 1)
            variant[top : top + tall, left : left + wide] = PAPER
    return variant


# Lines are dark, so a minimum widens them. A maximum would lose those of one pixel: thinner is half-way.
_BOLDNESS = (
    lambda sketch: sketch,
    lambda sketch: cv2.erode(sketch, _SQUARE),  # the authors' minimum filter of 3
    lambda sketch: cv2.erode(sketch, _CROSS),
    lambda sketch: cv2.addWeighted(sketch, 0.5, cv2.dilate(sketch, _CROSS), 0.5, 0),
)


def style_view(
    image: np.ndarray, size: int, draw: np.random.Generator, augment: PairAugmentation = PairAugmentation()
) -> np.ndarray:
    """uint8 H×W×3 -> S×S×3: crop, flip, rotation and scale at random, in one warp with one interpolation.

    The square shown lies within the image: of a rotated one only as much is taken as fits.
    """
    shortest = min(image.shape[:2])
    angle = np.deg2rad(draw.uniform(-augment.rotation, augment.rotation))
    share = draw.uniform(1 / augment.style_zoom, 1.0)
    where, flip = draw.random(2), draw.random() < 0.5
    if share * shortest > 2 * size:  # a warp looks at a few pixels only: average first, or texture aliases
        shrunk = 2 * size / (share * shortest)
        target = tuple(max(1, round(side * shrunk)) for side in image.shape[1::-1])
        image = cv2.resize(image, target, interpolation=cv2.INTER_AREA)
        shortest = min(image.shape[:2])
    reach = abs(np.cos(angle)) + abs(np.sin(angle))  # a rotated square's bounding box, in sides of the square
    side = min(share, 1 / reach) * shortest
    extent = np.array(image.shape[1::-1])
    centre = side * reach / 2 + where * (extent - side * reach) - 0.5  # x, y: pixel centres are whole numbers
    step = side / size
    turn = step * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flip:
        turn[:, 0] *= -1
    middle = (size - 1) / 2
    from_view = np.hstack([turn, (centre - turn @ [middle, middle])[:, None]])
    # The interpolation's own margin is all that can fall outside: a reflection, never black.
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, from_view, (size, size), flags=how, borderMode=cv2.BORDER_REFLECT_101)


def mismatched(indices: Tensor, generator: torch.Generator) -> Tensor:
    """A random permutation p, int64 (B,), with indices[p[i]] != indices[i] for every i: true negatives for
    Eqs. 7 and 10.

    indices: the images' numbers, int64 (B,), repetitions allowed; generator: of the CPU. Of distinct images
    each is as likely as any other. Raises ValueError when there is no such permutation: one image fills more
    than half.
    """
    here = indices.cpu()
    if not len(here):
        return indices.new_empty(0, dtype=torch.int64)
    _, number, counts = here.unique(return_inverse=True, return_counts=True)
    most = int(counts.max())
    if 2 * most > len(here):
        raise ValueError(
            f"image {int(here[number == counts.argmax()][0])} is {most} of the {len(here)} in the batch: no "
            "mismatch for each of them; use larger batches or more images"
        )
    # Equal ones side by side, all else at random; then a step so wide that none meets its equal.
    shuffled = torch.randperm(len(here), generator=generator)
    rank = torch.randperm(len(counts), generator=generator)[number]
    ordered = shuffled[rank[shuffled].argsort(stable=True)]
    partner = torch.empty_like(ordered)
    partner[ordered] = ordered.roll(-most)
    return partner.to(indices.device)


def _check(image: np.ndarray, sketches: Sequence[np.ndarray]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: expected uint8 H×W×3, found {image.dtype} of shape {image.shape}")
    if len(sketches) not in (1, 2):
        raise ValueError(f"{len(sketches)} sketches: expected two, or one that serves for both")
    for sketch in sketches:
        if sketch.dtype != np.uint8 or sketch.shape != image.shape[:2]:
            found = f"{sketch.dtype} of shape {sketch.shape}"
            raise ValueError(f"sketch: expected uint8 of the image's {image.shape[:2]}, found {found}")


def _squares(sketches: Sequence[np.ndarray], side: int) -> list[np.ndarray]:
    """`fit_square` of one sketch or two; averaging over areas is quicker of two channels than twice."""
    if len(sketches) == 2 and side < min(sketches[0].shape):
        return list(cv2.split(fit_square(cv2.merge(sketches), side, "crop")))
    return [fit_square(sketch, side, "crop") for sketch in sketches]


def _as_tensors(
    image: np.ndarray, sketch: np.ndarray, variant: np.ndarray, style_view: np.ndarray
) -> dict[str, Tensor]:
    def colour(picture: np.ndarray) -> Tensor:
        planes = torch.empty((3, *picture.shape[:2]), dtype=torch.uint8)
        cv2.split(picture, list(planes.numpy()))  # into them: quicker than a transposing copy
        return planes

    def grey(picture: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(picture[None], order="C"))  # a copy: crops are views

    return {
        "image": colour(image),
        "sketch": grey(sketch),
        "variant": grey(variant),
        "style_view": colour(style_view),
    }
