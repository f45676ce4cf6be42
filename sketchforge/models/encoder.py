"""The frozen VGG-shaped feature extractor E, in whatever width its weights have.

Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Output channels of every 3x3 convolution, block by block (Simonyan & Zisserman 2015, configurations D and
# E).
VGG16_BLOCKS = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
VGG19_BLOCKS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
# A sixteenth of VGG19's parameters up to relu4_1, the deepest layer that TOM looks at.
COMPACT_BLOCKS = ((16, 16), (32, 32), (64,) * 4, (128,))

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Encoder(nn.Module):
    """VGG convolutions with named taps. Each tap is divided by its std over the built-in photos.

    One such number per tap makes taps comparable, so that a loss weight means the same for every encoder.

    blocks: output channels of each convolution, per block; the last block may be cut short (COMPACT_BLOCKS).
    input_range: "unit" feeds (x+1)/2, "imagenet" also subtracts ImageNet's mean and divides by its std.
    padding: "reflect" or "zeros", the padding that the weights were trained with.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, blocks: Sequence[Sequence[int]], input_range: str = "unit", padding: str = "reflect"
    ) -> None:
        super().__init__()
        if input_range not in ("unit", "imagenet"):
            raise ValueError(f"input_range is {input_range!r}, expected 'unit' or 'imagenet'")
        if padding not in ("reflect", "zeros"):
            raise ValueError(f"padding is {padding!r}, expected 'reflect' or 'zeros'")
        self.blocks = tuple(tuple(block) for block in blocks)
        self.input_range = input_range
        self.padding = padding
        mode: Literal["reflect", "zeros"] = "reflect" if padding == "reflect" else "zeros"
        self.convs = nn.ModuleDict()
        channels = 3
        for b, block in enumerate(self.blocks, start=1):
            for i, width in enumerate(block, start=1):
                self.convs[f"conv{b}_{i}"] = nn.Conv2d(channels, width, 3, padding=1, padding_mode=mode)
                channels = width
        self.scales: dict[str, float] = {}
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def tap_names(self) -> list[str]:
        """Every layer that `forward` can return, in depth order: relu1_1, relu1_2, pool1, relu2_1, ..."""
        names = []
        for b, block in enumerate(self.blocks, start=1):
            names += [f"relu{b}_{i}" for i in range(1, len(block) + 1)]
            names.append(f"pool{b}")
        return names

    def tap_channels(self, tap: str) -> int:
        """Channels of a tap. Raises ValueError for an unknown one."""
        self._check_tap(tap)
        block = self.blocks[int(tap[4]) - 1]
        return block[-1] if tap.startswith("pool") else block[int(tap.split("_")[1]) - 1]

    def forward(self, images: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """(B,3,H,W) float in [-1, 1] -> {tap: (B, C, H/stride, W/stride)}; stops at the deepest tap."""
        for tap in taps:
            self._check_tap(tap)
        wanted, features = set(taps), {}
        x = (images + 1) / 2
        if self.input_range == "imagenet":
            x = (x - self.mean) / self.std
        for b, block in enumerate(self.blocks, start=1):
            for i in range(1, len(block) + 1):
                x = F.relu(self.convs[f"conv{b}_{i}"](x), inplace=True)
                if f"relu{b}_{i}" in wanted:
                    features[f"relu{b}_{i}"] = x
                if len(features) == len(wanted):
                    return self._scale_taps(features)
            x = F.max_pool2d(x, 2)
            if f"pool{b}" in wanted:
                features[f"pool{b}"] = x
            if len(features) == len(wanted):
                break
        return self._scale_taps(features)

    def _scale_taps(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {tap: x / self.scales[tap] if tap in self.scales else x for tap, x in features.items()}

    def _check_tap(self, tap: str) -> None:
        if tap not in self.tap_names():
            raise ValueError(f"no layer {tap!r} in this encoder, which has {', '.join(self.tap_names())}")


@torch.no_grad()
def calibrate(encoder: Encoder, images: Tensor) -> None:
    """Set each tap's scale to its std about the channel means, over images (B,3,H,W) in [-1, 1]."""
    encoder.scales = {}
    features = encoder(images, encoder.tap_names())
    encoder.scales = {
        tap: max(float((x - x.mean(dim=(0, 2, 3), keepdim=True)).square().mean().sqrt()), 1e-8)
        for tap, x in features.items()
    }


def freeze(encoder: Encoder) -> Encoder:
    """Switch the gradients of the weights off; gradients still flow to the images."""
    return encoder.eval().requires_grad_(False)


def orthogonal_encoder(
    generator: torch.Generator, blocks: Sequence[Sequence[int]] = COMPACT_BLOCKS
) -> Encoder:
    """Untrained encoder with orthogonal weights and zero biases: the ablation of the encoder's training."""
    encoder = Encoder(blocks)
    for conv in encoder.convs.values():
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        nn.init.orthogonal_(conv.weight, gain=2**0.5, generator=generator)
        nn.init.zeros_(conv.bias)
    return freeze(encoder)
