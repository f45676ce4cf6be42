"""Training pairs made of stored samples by the device that trains, a batch at a time.

On a CPU a sample's pair costs three times as much as reading and decoding it (`augment.py`); a GPU has it for next
to nothing, and the processes that read have that much less to do. Both make the same images of the same numbers
(`augment_params.py`), but for rounding: levels differ by one at most.

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

from sketchforge.data.augment import PAPER
from sketchforge.data.augment_params import PairAugmentation, PairParams, sample_pairs
from sketchforge.images.resize import resize_weights
from sketchforge.images.tensors import normalize_pixels
from sketchforge.utils.device import to_device

_MARGIN = 2  # pixels beyond the border that cubic interpolation looks at, of positions within the image


class PairBatches:
    """Batches of `stored_pair`, moved to a device and made into those of `training_pair` there.

    size, seed, augment: as for `training_pair`; a sample's key is its "position".
    """

    def __init__(self, size: int, seed: int, augment: PairAugmentation = PairAugmentation()) -> None:
        self.size, self.seed, self.augment = size, seed, augment

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
        """uint8 "image" (B,H,W,3), "sketch" and "variant" (B,H,W), int64 "position" (B,), on the CPU -> on
        `device`, float32 in [-1, 1], "image" and "style_view" (B,3,S,S), "sketch" and "variant" (B,1,S,S); all
        else as it is."""
        height, width = batch["image"].shape[1:3]
        params = sample_pairs(self.seed, batch["position"].tolist(), height, width, self.size, self.augment)
        here = {name: to_device(value, device) for name, value in batch.items()}
        image = here["image"].permute(0, 3, 1, 2).float()
        drawn = torch.stack([here["sketch"], here["variant"]], dim=1).float()
        cut = self._crops(torch.cat([image, drawn], dim=1), params)
        variant = _erase(_with_line_widths(cut[:, 4:], params.line_width), params.erased)
        pairs = {
            "image": cut[:, :3],
            "sketch": cut[:, 3:4],
            "variant": variant,
            "style_view": _style_views(image, params, self.size),
        }
        return {**here, **{name: normalize_pixels(levels).contiguous() for name, levels in pairs.items()}}

    def _crops(self, images: Tensor, params: PairParams) -> Tensor:
        """Levels (B,C,H,W) -> (B,C,S,S): the centred square resized, a crop of it, mirrored or not."""
        height, width = images.shape[2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, :, top : top + side, left : left + side]
        within = np.arange(self.size)
        rows = params.corner[:, :1] + within
        columns = params.corner[:, 1:] + np.where(params.flip[:, None], within[::-1], within)
        weights = _weights(side, self.augment.zoomed(self.size), images.device)
        # A crop of the resized image is a choice of rows of the matrices that resize it.
        down, across = (
            weights[to_device(torch.from_numpy(chosen), images.device)] for chosen in (rows, columns)
        )
        return _levels(down[:, None] @ images @ across[:, None].mT)


@lru_cache(maxsize=8)
def _weights(length: int, target: int, device: torch.device) -> Tensor:
    return torch.from_numpy(resize_weights(length, target)).float().to(device)


def _levels(images: Tensor) -> Tensor:
    """Rounded to levels, as images of bytes are."""
    return images.round_().clamp_(0, 255)


def _with_line_widths(sketches: Tensor, line_width: np.ndarray) -> Tensor:
    """(B,1,S,S) -> the same, each as `images.sketch_variant` has it in its boldness."""
    lines, columns, square = ((3, 1), (1, 3), (3, 3))

    def widest(images: Tensor, window: tuple[int, int]) -> Tensor:
        return functional.max_pool2d(images, window, stride=1, padding=(window[0] // 2, window[1] // 2))

    eroded = -widest(-sketches, square)
    crossed = -torch.maximum(widest(-sketches, lines), widest(-sketches, columns))
    thinner = (
        (sketches + torch.maximum(widest(sketches, lines), widest(sketches, columns))).mul_(0.5).round_()
    )
    kinds = torch.stack([sketches, eroded, crossed, thinner], dim=1)
    chosen = to_device(torch.from_numpy(line_width), sketches.device)
    return kinds[torch.arange(len(sketches), device=sketches.device), chosen]


def _erase(sketches: Tensor, erased: np.ndarray) -> Tensor:
    """(B,1,S,S) -> the same with regions (B,E,4) white."""
    top, left, tall, wide = to_device(torch.from_numpy(erased), sketches.device)[..., None].unbind(2)
    row = torch.arange(sketches.shape[2], device=sketches.device)
    column = torch.arange(sketches.shape[3], device=sketches.device)
    rows, columns = (row >= top) & (row < top + tall), (column >= left) & (column < left + wide)
    within = (rows[:, :, :, None] & columns[:, :, None, :]).any(dim=1, keepdim=True)
    return sketches.masked_fill(within, PAPER)


def _style_views(image: Tensor, params: PairParams, size: int) -> Tensor:
    """Levels (B,3,H,W) -> (B,3,S,S), as `images.style_view`."""
    if (params.shrunk != image.shape[2:]).any():
        down, across = (
            to_device(_shrinking(length, targets), image.device)
            for length, targets in zip(image.shape[2:], params.shrunk.T, strict=True)
        )
        image = _levels(down[:, None] @ image @ across[:, None].mT)
    height, width = image.shape[2:]
    within = torch.arange(size, dtype=torch.float32, device=image.device)
    view = to_device(torch.from_numpy(params.view).float(), image.device)[:, None, None]  # (B,1,1,2,3)
    # grid_sample has the outermost pixels' centres at -1 and 1.
    scale = 2 / (torch.tensor([width, height], dtype=torch.float32, device=image.device) - 1).clamp(min=1)
    right, down = within[None, None, :, None], within[None, :, None, None]
    grid = (view[..., 0] * right + view[..., 1] * down + view[..., 2]) * scale - 1  # (B,S,S,2)
    return _levels(
        functional.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=True)
    )


def _shrinking(length: int, targets: np.ndarray) -> Tensor:
    """float32 (B,T,length): of each sample the weights of its shrunk image's rows, and after them those of
    its reflection, which is all that is ever looked at beyond its border."""
    longest = int(targets.max()) + _MARGIN
    found = np.empty((len(targets), longest, length), np.float32)
    for row, target in enumerate(targets.tolist()):
        beyond = np.arange(longest) - (target - 1)
        mirrored = np.clip(target - 1 - abs(beyond), 0, None)
        found[row] = resize_weights(length, target)[mirrored]
    return torch.from_numpy(found)
