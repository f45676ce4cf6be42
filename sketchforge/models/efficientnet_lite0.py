"""EfficientNet-Lite0 (Tan & Le, ICML 2019, in TensorFlow's "lite" form): its trunk, up to the pooled features.

No squeeze-and-excitation, ReLU6 for swish, stem and head of fixed width. Layers have the names of the common
PyTorch conversion of TensorFlow's weights (`_blocks.0._depthwise_conv.weight`), and its padding: as TensorFlow's
"same", where a stride of two pads below and to the right more than above and to the left.
Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 1280
_STEM = 32
# For each stage: blocks, kernel, stride of the first block, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Maps of 1280 channels at a 32nd of the size; `_fc`, the classifier, is not part of it."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, _STEM, 3, stride=2)
        self._bn0 = _norm(_STEM)
        blocks = []
        channels = _STEM
        for repeats, kernel, stride, expansion, width in _STAGES:
            for block in range(repeats):
                blocks.append(InvertedResidual(channels, width, kernel, 1 if block else stride, expansion))
                channels = width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(channels, FEATURES, 1)
        self._bn1 = _norm(FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B,3,H,W), (level - 127) / 128 in RGB -> (B,1280,H/32,W/32), sizes rounded up."""
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; the input is added where the output has its shape."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expands = expansion > 1
        self.adds = stride == 1 and channels == width
        if self.expands:
            self._expand_conv = SameConv(channels, inner, 1)
            self._bn0 = _norm(inner)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = SameConv(inner, width, 1)
        self._bn2 = _norm(width)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._expand_conv(images))) if self.expands else images
        x = F.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + images if self.adds else x


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's "same": what is odd goes below and to the right."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, width, kernel, stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        pads = []
        for size, kernel, stride in zip(
            reversed(input.shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
