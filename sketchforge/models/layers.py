"""The convolutional blocks of the auto-encoder and the refiner.

Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.upsample_conv import upsample_conv

SLOPE = 0.2  # of LeakyReLU
REDUCTION = 8  # of channels, in the middle of squeeze-and-excitation

Padding = Literal["zeros", "replicate"]  # what convolutions see beyond the border, as torch names it
PADDINGS: tuple[Padding, ...] = ("zeros", "replicate")


def count_parameters(module: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


class Down(nn.Sequential):
    """Half the side: 4x4 convolution of stride 2, BatchNorm, LeakyReLU; (B,C,H,W) -> (B,width,H/2,W/2).

    padding: one of PADDINGS.
    """

    def __init__(self, channels: int, width: int, padding: Padding = "zeros") -> None:
        super().__init__(
            nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=False, padding_mode=padding),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(SLOPE),
        )


class SqueezeExcitation(nn.Module):
    """Scale every channel by a number in [0, 1] that the means of all channels decide (Hu et al. 2018).

    Shape, parameters and their initial values are those of torchvision.ops, which takes twice as long to import
    as torch itself: every command that loads a model would wait for it.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.fc2(F.leaky_relu(self.fc1(means), SLOPE)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, squeeze-and-excitation, the input added; keeps the shape. padding: one of PADDINGS."""

    def __init__(self, channels: int, padding: Padding = "zeros") -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False, padding_mode=padding),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False, padding_mode=padding),
            nn.BatchNorm2d(channels),
            # LeakyReLU in place of the usual ReLU: the middle of a narrow network has only one or two
            # channels, and a channel that a ReLU keeps at 0 gets no gradient and never learns again.
            SqueezeExcitation(channels, max(channels // REDUCTION, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.change(x), SLOPE)


class Up(nn.Module):
    """Twice the side: bilinear, 3x3 convolution, BatchNorm, GLU; (B,C,H,W) -> (B,width,2H,2W).

    Departure: the authors' code normalises each instance here. That sets every channel of every image to mean
    0 and std 1, which undoes the multiplication by style on the coarser map. BatchNorm normalises all images
    of a batch alike, so that their differences survive.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2 * width, channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as nn.Conv2d does
        self.norm = nn.BatchNorm2d(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.norm(upsample_conv(x, self.weight)), dim=1)
