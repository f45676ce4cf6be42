"""A 3x3 convolution of a map enlarged by repetition, without enlarging it.

After nearest-neighbour ×2 the three rows that a kernel sees are two rows of the small map, one of them twice. So each
of the four phases of the result (even or odd row, even or odd column) is a 2x2 convolution of the small map: 4/9 of
the multiplications, and no large map in between. Equal up to rounding.

Shape letters: B batch, C channels in, D channels out, H, W height and width of the small map.
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
        """result (B,D,h,w), changed in place, += the convolution of small (B,C,H,W) at size h, w."""
        (height, width), size = small.shape[2:], result.shape[2:]
        if size != (2 * height, 2 * width):
            return result.add_(F.conv2d(bordered(F.interpolate(small, size=size, mode="nearest")), self.weight))
        found = F.conv2d(bordered(small), self.phases).permute(0, 2, 3, 1)  # all phases of each 2x2 window
        pixels, channels = result.permute(0, 2, 3, 1), result.shape[1]
        for row in (0, 1):
            for column in (0, 1):
                first = (2 * row + column) * channels
                phase = found[:, row : row + height, column : column + width, first : first + channels]
                pixels[:, row::2, column::2] += phase
        return result


def phase_weight(weight: Tensor) -> Tensor:
    """(D,C,3,3) -> (4D,C,2,2): kernels of the phases (even, even), (even, odd), (odd, even), (odd, odd)."""
    kernels = [_halved(_halved(weight, 2, row), 3, column) for row in (0, 1) for column in (0, 1)]
    return torch.cat(kernels).contiguous(memory_format=torch.channels_last)


def _halved(weight: Tensor, dim: int, phase: int) -> Tensor:
    """Three taps along `dim` -> two: an even row sees the row above it once and its own twice."""
    first, middle, last = weight.unbind(dim)
    return torch.stack([first, middle + last] if phase == 0 else [first + middle, last], dim)


def bordered(x: Tensor) -> Tensor:
    """(B,C,H,W) -> (B,C,H+2,W+2), the border repeated."""
    return F.pad(x, (1, 1, 1, 1), mode="replicate")
