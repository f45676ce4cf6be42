"""A 3x3 convolution of a map of twice the size, without making that map, in two forms.

    upsample_conv   for auto-encoder and refiner: bilinear ×2, differentiable in map and weight
    PolyphaseConv   for TOM's inference: nearest neighbour ×2, one 2x2 convolution for the four phases of the
                    result (even or odd row, even or odd column), added to an existing map; weights summed
                    once

After nearest-neighbour ×2 at most four of the nine pixels under the 3x3 window are different ones. Summing
the weights of the same pixel leaves 4/9 of the multiplications, and needs no large map in between. Bilinear
×2 is nearest neighbour ×2 smoothed by [1 2 1]/4, which may as well come after the convolution. Both equal
the plain computation with replicate padding, up to rounding.

Shape letters: B batch, C channels in, D channels out, H, W height and width of the small map, h, w those of
the result.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Bilinear ×2 (align_corners=False), then a 3x3 convolution with replicate padding.

    x (B,C,H,W), weight (D,C,3,3) -> (B,D,2H,2W).

    Departure: the authors' code enlarges by nearest neighbour. That leaves a lattice of two and four pixels
    on even areas, for every pixel of a block has the same neighbours.
    """
    # The weights summed for nearest neighbour are a transposed convolution of 4x4 and stride 2, whose result
    # has a pixel more on every side, for the smoothing to use up.
    summed = 4 * F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, stride=1)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    rough = F.conv_transpose2d(padded, summed.flip(2, 3).transpose(0, 1), stride=2, padding=2)
    ones = torch.ones(1, 1, 2, 2, dtype=rough.dtype, device=rough.device)
    binomial = F.avg_pool2d(F.pad(ones, (1, 1, 1, 1)), 2, stride=1) / 4  # [1 2 1]/4 in both directions
    # A convolution of each channel takes half the time of two averages of two.
    return F.conv2d(rough, binomial.expand(rough.shape[1], 1, 3, 3), groups=rough.shape[1])


class PolyphaseConv:
    """3x3 convolution of a map resized by nearest neighbour, with replicate padding.

    At twice the size the result also equals that of reflect padding, because the last two rows of the large
    map are equal. For any other size the map is actually resized.

    Maps have a padding of one pixel on every side, so that no convolution needs a copy of its input.
    """

    def __init__(self, weight: Tensor) -> None:
        """weight: (D,C,3,3)."""
        self.weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.phases = polyphase_weight(self.weight)

    def add_to(self, result: Tensor, small: Tensor) -> Tensor:
        """result (B,D,h+2,w+2) plus the convolution of small (B,C,H+2,W+2) at size h, w, channels last.

        In place, where the result is channels last already. The values in the padding of the result have no
        meaning; see `repeat_padding`.
        """
        height, width, channels = small.shape[2] - 2, small.shape[3] - 2, result.shape[1]
        size = result.shape[2] - 2, result.shape[3] - 2
        result = result.contiguous(
            memory_format=torch.channels_last
        )  # not what every device's convolution gives
        if size != (2 * height, 2 * width):
            large = F.interpolate(unpad(small), size=size, mode="nearest")
            return result.add_(F.conv2d(pad(large, 2), self.weight))
        # The window over rows i-1 and i of the small map gives row 2i-1, by the odd kernels, and row 2i, by
        # the even ones: with the padding these two are one pair of rows of the result. The same holds for
        # columns.
        phases = F.conv2d(small, self.phases).permute(0, 2, 3, 1)
        pairs = phases.unflatten(3, (2, 2 * channels)).transpose(2, 3)
        pixels = result.permute(0, 2, 3, 1)
        pixels.view(len(result), height + 1, 2, width + 1, 2 * channels).add_(pairs)
        return result


def polyphase_weight(weight: Tensor) -> Tensor:
    """(D,C,3,3) -> (4D,C,2,2): kernels of the phases (odd, odd), (odd, even), (even, odd), (even, even)."""
    kernels = [_fold_taps(_fold_taps(weight, 2, row), 3, column) for row in (1, 0) for column in (1, 0)]
    return torch.cat(kernels).contiguous(memory_format=torch.channels_last)


def _fold_taps(weight: Tensor, dim: int, phase: int) -> Tensor:
    """Three taps along `dim` -> two: an even row uses the small row above it once and its own twice."""
    first, middle, last = weight.unbind(dim)
    return torch.stack([first, middle + last] if phase == 0 else [first + middle, last], dim)


def pad(x: Tensor, width: int = 1) -> Tensor:
    """(B,C,H,W) -> (B,C,H+2·width,W+2·width), replicate padding; channels last."""
    return F.pad(x, (width,) * 4, mode="replicate").contiguous(memory_format=torch.channels_last)


def unpad(x: Tensor) -> Tensor:
    """(B,C,H+2,W+2) -> (B,C,H,W), a view."""
    return x[:, :, 1:-1, 1:-1]


def repeat_padding(x: Tensor, first: bool = True, last: bool = True) -> Tensor:
    """Copy the outermost pixels of the map to its padding, in place; first, last: also to that row."""
    if first:
        x[:, :, 0] = x[:, :, 1]
    if last:
        x[:, :, -1] = x[:, :, -2]
    x[:, :, :, 0] = x[:, :, :, 1]
    x[:, :, :, -1] = x[:, :, :, -2]
    return x
