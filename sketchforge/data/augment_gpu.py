"""Training pairs made from stored samples on the training device, a batch at a time.

On a CPU, making a sample's pair costs three times as much as reading and decoding it (`augment.py`). A GPU
makes it at almost no cost and relieves the reading processes of it. Both make the same images from the same
parameters (`augment_params.py`), but for rounding: 8-bit values differ by one at most.

Shape letters: B batch, C channels, S side of the square training image, H, W of the stored one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sketchforge.data.augment import MASK, PAPER, normalize_entry
from sketchforge.data.augment_params import PairAugmentation, PairParams, sample_pairs
from sketchforge.data.dataset import NUMBERS
from sketchforge.images.resize import resize_weights
from sketchforge.utils.device import to_device

_MARGIN = 2  # pixels beyond the border that cubic interpolation reads at positions within the image


class PairBatches:
    """Moves batches of `stored_pair` to a device and turns them into batches of `training_pair` there.

    size, seed, augment: as for `training_pair`; a sample's key is its "position".
    """

    def __init__(self, size: int, seed: int, augment: PairAugmentation = PairAugmentation()) -> None:
        self.size, self.seed, self.augment = size, seed, augment

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
        """Make the training pairs of a batch.

        In, on the CPU: uint8 "image" (B,H,W,3), "sketch", "variant" and perhaps "mask" (B,H,W), int64
        "position" (B,).
        Out, on `device`: float32 in [-1, 1], "image" and "style_view" (B,3,S,S), "sketch" and "variant"
        (B,1,S,S); in [0, 1] "mask" (B,1,S,S). Other entries are moved unchanged, but for samples' numbers, which
        stay.
        """
        height, width = batch["image"].shape[1:3]
        params = sample_pairs(self.seed, batch["position"].tolist(), height, width, self.size, self.augment)
        moved = {
            name: value if name in NUMBERS else to_device(value, device) for name, value in batch.items()
        }
        image = moved["image"].permute(0, 3, 1, 2).float()
        names = ["sketch", "variant", *([MASK] if MASK in moved else [])]
        planes = torch.stack([moved[name] for name in names], dim=1).float()
        crops = self._crop(torch.cat([image, planes], dim=1), params)
        variant = _erase(_change_line_widths(crops[:, 4:5], params.line_width), params.erased)
        pairs = {
            "image": crops[:, :3],
            "sketch": crops[:, 3:4],
            "variant": variant,
            "style_view": _style_views(image, params, self.size),
        }
        if MASK in moved:
            pairs[MASK] = crops[:, 5:]
        return {
            **moved,
            **{name: normalize_entry(name, levels).contiguous() for name, levels in pairs.items()},
        }

    def _crop(self, images: Tensor, params: PairParams) -> Tensor:
        """8-bit values (B,C,H,W) -> (B,C,S,S): the centred square is resized, cropped, mirrored or not."""
        height, width = images.shape[2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, :, top : top + side, left : left + side]
        offsets = np.arange(self.size)
        rows = params.corner[:, :1] + offsets
        columns = params.corner[:, 1:] + np.where(params.flip[:, None], offsets[::-1], offsets)
        weights = _build_weights(side, self.augment.zoomed(self.size), images.device)
        # To crop the resized image is to select rows of the matrices that resize it.
        down, across = (
            weights[to_device(torch.from_numpy(indices), images.device)] for indices in (rows, columns)
        )
        return _round_levels(down[:, None] @ images @ across[:, None].mT)


@lru_cache(maxsize=8)
def _build_weights(length: int, target: int, device: torch.device) -> Tensor:
    return torch.from_numpy(resize_weights(length, target)).float().to(device)


def _round_levels(images: Tensor) -> Tensor:
    """Round to 8-bit values, as stored images have."""
    return images.round_().clamp_(0, 255)


def _change_line_widths(sketches: Tensor, line_width: np.ndarray) -> Tensor:
    """(B,1,S,S) -> the same sketches, each in its line width as in `augment.sketch_variant`."""
    vertical, horizontal, square = ((3, 1), (1, 3), (3, 3))

    def dilate(images: Tensor, window: tuple[int, int]) -> Tensor:
        return functional.max_pool2d(images, window, stride=1, padding=(window[0] // 2, window[1] // 2))

    eroded = -dilate(-sketches, square)
    cross_eroded = -torch.maximum(dilate(-sketches, vertical), dilate(-sketches, horizontal))
    thinner = (
        (sketches + torch.maximum(dilate(sketches, vertical), dilate(sketches, horizontal)))
        .mul_(0.5)
        .round_()
    )
    variants = torch.stack([sketches, eroded, cross_eroded, thinner], dim=1)
    choice = to_device(torch.from_numpy(line_width), sketches.device)
    return variants[torch.arange(len(sketches), device=sketches.device), choice]


def _erase(sketches: Tensor, erased: np.ndarray) -> Tensor:
    """(B,1,S,S) -> the same sketches with the regions (B,E,4) white."""
    top, left, height, width = to_device(torch.from_numpy(erased), sketches.device)[..., None].unbind(2)
    row = torch.arange(sketches.shape[2], device=sketches.device)
    column = torch.arange(sketches.shape[3], device=sketches.device)
    rows, columns = (row >= top) & (row < top + height), (column >= left) & (column < left + width)
    within = (rows[:, :, :, None] & columns[:, :, None, :]).any(dim=1, keepdim=True)
    return sketches.masked_fill(within, PAPER)


def _style_views(image: Tensor, params: PairParams, size: int) -> Tensor:
    """8-bit values (B,3,H,W) -> (B,3,S,S), as in `augment.style_view`."""
    if (params.shrunk != image.shape[2:]).any():
        down, across = (
            to_device(_build_shrinking_weights(length, targets), image.device)
            for length, targets in zip(image.shape[2:], params.shrunk.T, strict=True)
        )
        image = _round_levels(down[:, None] @ image @ across[:, None].mT)
    height, width = image.shape[2:]
    offsets = torch.arange(size, dtype=torch.float32, device=image.device)
    view = to_device(torch.from_numpy(params.view).float(), image.device)[:, None, None]  # (B,1,1,2,3)
    # grid_sample puts the centres of the outermost pixels at -1 and 1.
    scale = 2 / (torch.tensor([width, height], dtype=torch.float32, device=image.device) - 1).clamp(min=1)
    right, down = offsets[None, None, :, None], offsets[None, :, None, None]
    grid = (view[..., 0] * right + view[..., 1] * down + view[..., 2]) * scale - 1  # (B,S,S,2)
    return _round_levels(
        functional.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=True)
    )


def _build_shrinking_weights(length: int, targets: np.ndarray) -> Tensor:
    """Build the matrices that shrink images of `length` rows, float32 (B,T,length).

    A sample's first `targets[b]` rows are the weights of its shrunk image. The rows after them are the
    weights of its reflection, which is all that is read beyond its border.
    """
    longest = int(targets.max()) + _MARGIN
    weights = np.empty((len(targets), longest, length), np.float32)
    for row, target in enumerate(targets.tolist()):
        beyond = np.arange(longest) - (target - 1)
        mirrored = np.clip(target - 1 - abs(beyond), 0, None)
        weights[row] = resize_weights(length, target)[mirrored]
    return torch.from_numpy(weights)
