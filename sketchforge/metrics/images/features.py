"""Computes the features of images: preprocessing of an image to a network's input, sets to matrices.

Shape letters: B batch, N images, D features, S side of a square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sketchforge.errors import SketchforgeError
from sketchforge.utils.progress import Progress

BATCH = 16
CROPPED = "largest centred square, bicubic with antialiasing to {side} x {side}, 8 bits"

Item = TypeVar("Item")


@dataclass(frozen=True)
class FeatureNetwork:
    """A network in whose features sets are compared."""

    features: str  # the name in rows, such as "builtin relu3_1+relu4_1"
    frechet: str  # the title of the Fréchet distance in its features
    kernel: str  # the title of the kernel distance
    side: int  # of its input, in pixels
    recipe: str  # the preprocessing of pixel values, in words
    weights: str  # digest
    note: str  # the note beside its figures; "" for none
    describe: Callable[[Tensor], Tensor]  # uint8 (B,3,side,side) RGB -> (B,D)

    @property
    def preprocessing(self) -> str:
        return f"{CROPPED.format(side=self.side)}; {self.recipe}"


def crop_square(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 HxWx3 of any size -> uint8 (side, side, 3): CROPPED; no resize where the size is right.

    Parmar et al. (CVPR 2022) found bicubic resizing with antialiasing not to alias. Without it, shrunk images
    differ between libraries. Raises ValueError for another dtype or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an image uint8 HxWx3, found {image.dtype} of shape {image.shape}")
    height, width = image.shape[:2]
    shortest = min(height, width)
    top, left = (height - shortest) // 2, (width - shortest) // 2
    image = image[top : top + shortest, left : left + shortest]
    if shortest == side:
        return np.ascontiguousarray(image)
    # A copy: images may be read-only, which torch warns of.
    levels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(
        levels, size=(side, side), mode="bicubic", antialias=True, align_corners=False
    )
    return resized[0].round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


@torch.no_grad()
def features_of(
    images: Iterable[np.ndarray],
    network: FeatureNetwork,
    progress: Progress | None = None,
    batch: int = BATCH,
) -> np.ndarray:
    """Images uint8 HxWx3 of any sizes -> float32 (N, D), whatever `batch` is, up to rounding.

    Raises SketchforgeError where features are not finite.
    """
    progress = progress or Progress()
    rows = []
    for batch_images in iterate_batches(images, batch):
        squares = np.stack([crop_square(image, network.side) for image in batch_images])
        features = network.describe(torch.from_numpy(squares).permute(0, 3, 1, 2)).float().cpu()
        if not bool(torch.isfinite(features).all()):
            raise SketchforgeError(
                f"{network.features}: gives features that are not numbers; get intact weights"
            )
        rows.append(features.numpy())
        for _ in batch_images:
            progress.advance()
    return np.concatenate(rows) if rows else np.empty((0, 0), np.float32)


def iterate_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive lists of `size`, the last one perhaps shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
