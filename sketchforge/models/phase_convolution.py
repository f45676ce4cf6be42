"""A 3x3 convolution of a map enlarged by repetition, without enlarging it.

After nearest-neighbour ×2 the three rows that a kernel sees are two rows of the small map, one of them twice. So each
of the four phases of the result (even or odd row, even or odd column) is a 2x2 convolution of the small map: 4/9 of
the multiplications, and no large map in between. Equal up to rounding.

Maps have a border: one pixel all around, which repeats the outermost ones, so that no convolution needs a copy of
its input with a border put on.

Shape letters: B batch, C channels in, D channels out, H, W height and width of the small map without its border,
h, w those of the result.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class UpsampledConvolution:
    """3x3 convolution of a map brought to another size by nearest neighbour, borders repeated.

    At twice the size this holds for reflected borders, too: the last two rows of the large map are equal.
    """

    def __init__(self, weight: Tensor) -> None:
        """weight: (D,C,3,3)."""
        self.weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.phases = phase_weight(self.weight)

    def add_to(self, result: Tensor, small: Tensor) -> Tensor:
        """result (B,D,h+2,w+2), changed in place, += the convolution of small (B,C,H+2,W+2) at size h, w.

        What comes to lie in the border of the result has no meaning; see `repeat_border`.
        """
        height, width, channels = small.shape[2] - 2, small.shape[3] - 2, result.shape[1]
        size = result.shape[2] - 2, result.shape[3] - 2
        if size != (2 * height, 2 * width):
            large = F.interpolate(without_border(small), size=size, mode="nearest")
            return result.add_(F.conv2d(bordered(large, 2), self.weight))
        # The window over rows i-1 and i of the small map makes row 2i-1, by the odd kernels, and row 2i: with the
        # border these two are one pair of rows of the result, and so are its columns.
        found = F.conv2d(small, self.phases).permute(0, 2, 3, 1)
        pairs = found.unflatten(3, (2, 2 * channels)).transpose(2, 3)
        pixels = result.permute(0, 2, 3, 1)
        pixels.view(len(result), height + 1, 2, width + 1, 2 * channels).add_(pairs)
        return result


def phase_weight(weight: Tensor) -> Tensor:
    """(D,C,3,3) -> (4D,C,2,2): kernels of the phases (odd, odd), (odd, even), (even, odd), (even, even)."""
    kernels = [_halved(_halved(weight, 2, row), 3, column) for row in (1, 0) for column in (1, 0)]
    return torch.cat(kernels).contiguous(memory_format=torch.channels_last)


def _halved(weight: Tensor, dim: int, phase: int) -> Tensor:
    """Three taps along `dim` -> two: an even row sees the row above it once and its own twice."""
    first, middle, last = weight.unbind(dim)
    return torch.stack([first, middle + last] if phase == 0 else [first + middle, last], dim)


def bordered(x: Tensor, width: int = 1) -> Tensor:
    """(B,C,H,W) -> (B,C,H+2·width,W+2·width), the outermost pixels repeated; channels last."""
    return F.pad(x, (width,) * 4, mode="replicate").contiguous(memory_format=torch.channels_last)


def without_border(x: Tensor) -> Tensor:
    """(B,C,H+2,W+2) -> (B,C,H,W), a view."""
    return x[:, :, 1:-1, 1:-1]


def repeat_border(x: Tensor, first: bool = True, last: bool = True) -> Tensor:
    """Put the outermost pixels of the map into its border, in place; first, last: into the border's rows, too."""
    if first:
        x[:, :, 0] = x[:, :, 1]
    if last:
        x[:, :, -1] = x[:, :, -2]
    x[:, :, :, 0] = x[:, :, :, 1]
    x[:, :, :, -1] = x[:, :, :, -2]
    return x


def one_channel_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution to a single channel: (B,C,H+2,W+2), weight (1,C,3,3), bias (1) -> (B,1,H,W).

    As nine maps, one for each place of the kernel, made by one matrix product and added with the shift of that place:
    convolutions with so few results leave most of a processor's lanes empty, and take four times as long.
    """
    height, width = x.shape[2] - 2, x.shape[3] - 2
    places = weight[0].permute(1, 2, 0).flatten(0, 1)  # (9,C)
    maps = torch.matmul(places, x.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2)).unflatten(2, x.shape[2:])
    result = maps[:, 0, :height, :width] + bias
    for place in range(1, 9):
        row, column = divmod(place, 3)
        result += maps[:, place, row : row + height, column : column + width]
    return result[:, None]
