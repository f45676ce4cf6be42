"""TEED, the tiny and efficient edge detector (Soria et al., ICCV workshops 2023): 58 thousand parameters.

Three blocks, a map of edges from each, and two depthwise convolutions that fuse the three. Layers have the
names of the authors' network. Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN_BGR = (103.939, 116.779, 123.68)
MULTIPLE = 8  # of the input's sides, as in the authors' code

# The network ends in Smish and a sigmoid, so that no output is below sigmoid(min Smish): where there is no
# edge it is 0.438. The authors rescale each image's map from its own minimum to its own maximum. Rescaling
# from the known floor does the same for images with edges, and leaves empty ones empty.
FLOOR = 0.437825


class TEED(nn.Module):
    """Edge probabilities.

    widths: channels of the three blocks. upsampled: channels between the two doublings of the third
    block's map. fused: channels of the fusion.
    """

    mean: Tensor

    def __init__(self, widths: Sequence[int] = (16, 32, 48), upsampled: int = 16, fused: int = 24) -> None:
        super().__init__()
        width_1, width_2, width_3 = widths
        self.block_1 = _TwoConvolutions(3, width_1, stride=2, activate_last=True)
        self.block_2 = _TwoConvolutions(width_1, width_2, stride=1, activate_last=False)
        self.side_1 = _Single(width_1, width_2, stride=2)
        self.pre_dense_3 = _Single(width_2, width_3, stride=1)
        self.dblock_3 = nn.ModuleDict({"denselayer1": _Dense(width_2, width_3)})
        self.up_block_1 = _Upsampling([width_1, 1])
        self.up_block_2 = _Upsampling([width_2, 1])
        self.up_block_3 = _Upsampling([width_3, upsampled, 1])
        self.block_cat = _Fusion(3, fused)
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def arguments_for(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """The constructor's arguments for weights of these shapes (by state-dict key)."""
        blocks = ("block_1", "block_2", "dblock_3.denselayer1")
        return {
            "widths": [shapes[f"{block}.conv2.weight"][0] for block in blocks],
            "upsampled": shapes["up_block_3.features.0.weight"][0],
            "fused": shapes["block_cat.DWconv1.weight"][0],
        }

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B,3,H,W) RGB in [-1, 1], any size -> (B,1,H,W) in [0, 1], the fused map above FLOOR."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        map_1 = self.block_1((padded.flip(1) + 1) * 127.5 - self.mean)
        map_2 = self.block_2(map_1)
        halved = F.max_pool2d(map_2, 3, stride=2, padding=1)
        map_3 = self.dblock_3["denselayer1"](halved + self.side_1(map_1), self.pre_dense_3(halved))
        maps = torch.cat([self.up_block_1(map_1), self.up_block_2(map_2), self.up_block_3(map_3)], 1)
        edges = self.block_cat(maps).sigmoid()[..., :height, :width]
        return ((edges - FLOOR) / (1 - FLOOR)).clamp(0, 1)


def smish(x: Tensor) -> Tensor:
    """x·tanh(ln(1 + sigmoid(x))) (Wang et al. 2022)."""
    return x * torch.tanh(torch.log1p(x.sigmoid()))


class _TwoConvolutions(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, activate_last: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.activate_last = activate_last

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(smish(self.conv1(x)))
        return smish(x) if self.activate_last else x


class _Single(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _Dense(nn.Module):
    """Two convolutions, averaged with a shortcut."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        # The first adds a pixel on every side, the second removes it.
        self.conv1 = nn.Conv2d(channels, width, 3, padding=2)
        self.conv2 = nn.Conv2d(width, width, 3)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return (self.conv2(smish(self.conv1(smish(x)))) + shortcut) / 2


class _Upsampling(nn.Module):
    """For every width after the first: 1x1 convolution, Smish, and a deconvolution that doubles the size."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        steps = len(widths) - 1
        layers: list[nn.Module] = []
        for channels, width in pairwise(widths):
            doubling = nn.ConvTranspose2d(width, width, 2**steps, stride=2, padding=steps - 1)
            layers += [nn.Conv2d(channels, width, 1), _Smish(), doubling]
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class _Smish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return smish(x)


class _Fusion(nn.Module):
    """The paper's dfuse: two depthwise convolutions, whose outputs are summed over all channels."""

    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        self.DWconv1 = nn.Conv2d(maps, width, 3, padding=1, groups=maps)
        self.DWconv2 = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, maps: Tensor) -> Tensor:
        first = self.DWconv1(smish(maps))
        second = self.DWconv2(smish(first))
        return smish((first + second).sum(1, keepdim=True))
