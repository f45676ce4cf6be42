"""PiDiNet, pixel difference networks for edge detection (Su et al., ICCV 2021), for inference.

Trained pixel-difference convolutions equal plain ones with other kernels (the paper's section 3); here they
are plain. Layers have the names of the authors' network. Shape letters: B batch, C channels, H, W height and
width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.encoder import IMAGENET_MEAN, IMAGENET_STD

BLOCKS = (3, 4, 4, 4)  # residual blocks per stage
DILATIONS = (5, 7, 9, 11)
ATTENTION_CHANNELS = 4
MIN_SIDE = 8  # three poolings by 2

# The paper's layers alternate central, angular, radial and plain convolutions; the initial layer is the first
# central one. Radial differences span two pixels on each side: as plain convolutions they are 5x5.
_RADIAL = {"block1_2", "block2_3", "block3_3", "block4_3"}


class PiDiNet(nn.Module):
    """Edge probabilities. widths: channels of the four stages. reduced: channels before the 1x1 edge maps."""

    mean: Tensor
    std: Tensor

    def __init__(self, widths: Sequence[int] = (60, 120, 240, 240), reduced: int = 24) -> None:
        super().__init__()
        self.init_block = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        channels = widths[0]
        for s, (count, width) in enumerate(zip(BLOCKS, widths, strict=True), start=1):
            for i in range(1, count + 1):
                name = f"block{s}_{i}"
                starts_stage = s > 1 and i == 1
                self.add_module(name, _Block(channels, width, 5 if name in _RADIAL else 3, starts_stage))
                channels = width
        self.dilations = nn.ModuleList(_Dilations(width, reduced) for width in widths)
        self.attentions = nn.ModuleList(_Attention(reduced) for _ in widths)
        self.conv_reduces = nn.ModuleList(_Reduction(reduced) for _ in widths)
        self.classifier = nn.Conv2d(len(widths), 1, 1)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def arguments_for(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """The constructor's arguments for weights of these shapes (by state-dict key)."""
        return {
            "widths": [shapes[f"block{s}_1.conv2.weight"][0] for s in range(1, len(BLOCKS) + 1)],
            "reduced": shapes["dilations.0.conv1.weight"][0],
        }

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B,3,H,W) RGB in [-1, 1], any size -> (B,1,H,W) in [0, 1], all stages' maps fused."""
        height, width = images.shape[-2:]
        missing = (0, max(0, MIN_SIDE - width), 0, max(0, MIN_SIDE - height))
        padded = F.pad(images, missing, mode="replicate")
        x = self.init_block(((padded + 1) / 2 - self.mean) / self.std)
        maps = []
        for s, count in enumerate(BLOCKS, start=1):
            for i in range(1, count + 1):
                x = self.get_submodule(f"block{s}_{i}")(x)
            edges = self.conv_reduces[s - 1](self.attentions[s - 1](self.dilations[s - 1](x)))
            maps.append(F.interpolate(edges, padded.shape[-2:], mode="bilinear", align_corners=False))
        return self.classifier(torch.cat(maps, 1)).sigmoid()[..., :height, :width]


class _Block(nn.Module):
    """Depthwise convolution, ReLU, 1x1, plus the input; the first block of stages 2 to 4 halves its input."""

    def __init__(self, channels: int, width: int, kernel: int, starts_stage: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.conv2 = nn.Conv2d(channels, width, 1, bias=False)
        self.shortcut = nn.Conv2d(channels, width, 1) if starts_stage else None

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut is not None:
            x = F.max_pool2d(x, 2)
        residual = self.conv2(F.relu(self.conv1(x)))
        return residual + (x if self.shortcut is None else self.shortcut(x))


class _Dilations(nn.Module):
    """The paper's CDCM: the sum of four dilated convolutions."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1)
        for n, dilation in enumerate(DILATIONS, start=1):
            conv = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
            self.add_module(f"conv2_{n}", conv)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(F.relu(x))
        return sum(self.get_submodule(f"conv2_{n}")(x) for n in range(1, len(DILATIONS) + 1))


class _Attention(nn.Module):
    """The paper's CSAM: every pixel times one weight in [0, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, ATTENTION_CHANNELS, 1)
        self.conv2 = nn.Conv2d(ATTENTION_CHANNELS, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv2(self.conv1(F.relu(x))).sigmoid()


class _Reduction(nn.Module):
    """(B,C,H,W) -> a single map of edges, (B,1,H,W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)
