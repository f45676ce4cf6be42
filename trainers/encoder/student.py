"""The student: the compact encoder during its training, in whitened coordinates, and a plain encoder's outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.encoder import COMPACT_BLOCKS, Encoder, freeze
from trainers.encoder.whitening import WhitenedConv


class Student(nn.Module):
    """The compact encoder during training: the same convolutions in whitened coordinates."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.convs = nn.ModuleDict()
        channels = 3
        for name, conv in Encoder(COMPACT_BLOCKS).convs.items():
            assert isinstance(conv, nn.Conv2d)
            self.convs[name] = WhitenedConv(channels, conv.out_channels, rng)
            channels = conv.out_channels

    def conv(self, name: str) -> WhitenedConv:
        conv = self.convs[name]
        assert isinstance(conv, WhitenedConv)
        return conv

    def forward(self, images: Tensor, until: str | None = None) -> dict[str, Tensor]:
        """Outputs of every convolution before its ReLU, up to `until`."""
        outputs, x = dict[str, Tensor](), (images + 1) / 2
        for name in self.convs:
            if name.endswith("_1") and outputs:
                x = F.max_pool2d(x, 2)
            outputs[name] = self.convs[name](x)
            if name == until:
                break
            x = F.relu(outputs[name])
        return outputs

    @torch.no_grad()
    def inputs_of(self, name: str, images: Tensor) -> Tensor:
        """The inputs of the convolution `name`, for images (B,3,H,W) in [-1, 1]."""
        x = (images + 1) / 2
        for conv_name, conv in self.convs.items():
            if conv_name.endswith("_1") and conv_name != "conv1_1":
                x = F.max_pool2d(x, 2)
            if conv_name == name:
                return x
            x = F.relu(conv(x))
        raise ValueError(f"no convolution {name!r}")

    @torch.no_grad()
    def fold(self) -> Encoder:
        """The plain encoder, rounded to float16 values, so that the measured and written weights agree."""
        encoder = Encoder(COMPACT_BLOCKS)
        for name, conv in encoder.convs.items():
            weight, bias = self.conv(name).fold()
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            conv.weight.copy_(weight.half())
            conv.bias.copy_(bias.half())
        return freeze(encoder)


def preactivations(encoder: Encoder, images: Tensor, until: str | None = None) -> dict[str, Tensor]:
    """(B,3,H,W) in [-1, 1] -> {conv name: (B,C,h,w) before the ReLU} of a plain encoder, up to `until`."""
    x = (images + 1) / 2
    if encoder.input_range == "imagenet":
        x = (x - encoder.mean) / encoder.std
    outputs: dict[str, Tensor] = {}
    for name, conv in encoder.convs.items():
        if name.endswith("_1") and outputs:
            x = F.max_pool2d(x, 2)
        outputs[name] = conv(x)
        if name == until:
            break
        x = F.relu(outputs[name])
    return outputs
