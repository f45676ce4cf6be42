"""TOM's two trained networks (paper section 3): the sketch generator G and the Gram-matrix discriminator D.

Shape letters: B batch, C channels, H, W height and width of the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sketchforge.models.features import gram, instance_norm, upper_triangle

# Variance below which a tap counts as flat and not as a faint drawing; the usual std of a tap is 1.
CONTRAST_FLOOR = 0.01


class LeanGenerator(nn.Module):
    """Encoder taps of one photo -> one sketch, coarse to fine, about 96 thousand parameters.

    Departure: the authors feed pool3 alone to 512-512-256 channels, 121 GMAC a sketch at 256². Fine lines
    must then be guessed from a map an eighth the size. Here each ×2 is concatenated with the encoder's own
    finer tap, which has the line's position, and a hundredth of the work suffices.

    taps: encoder layers from coarse to fine, each twice the height and width of the one before; the finest
    has the size of the image. tap_channels: their channels. widths: channels after each stage.
    """

    kind = "lean"

    @staticmethod
    def prepare(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features of the encoder -> the input of `forward`; computed once for N generators.

        Departure: f_c is instance-normalised before G, not only in Eq. 4's target. The target holds no
        contrast, so a G with contrast in its input has to learn to ignore it, and until then it misses faint
        outlines.
        """
        return {tap: instance_norm(x, CONTRAST_FLOOR) for tap, x in features.items()}

    def __init__(
        self, taps: Sequence[str], tap_channels: Sequence[int], widths: Sequence[int] = (48, 32, 16)
    ) -> None:
        super().__init__()
        if not len(taps) == len(tap_channels) == len(widths):
            raise ValueError(
                f"{len(taps)} taps, {len(tap_channels)} tap channels and {len(widths)} widths must agree"
            )
        self.taps = tuple(taps)
        self.tap_channels, self.widths = tuple(tap_channels), tuple(widths)
        self.stages = nn.ModuleList()
        channels = 0
        for tap_width, width in zip(tap_channels, widths, strict=True):
            self.stages.append(nn.Conv2d(channels + tap_width, width, 3, padding=1, padding_mode="replicate"))
            channels = width
        self.to_sketch = nn.Conv2d(channels, 1, 3, padding=1, padding_mode="replicate")

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """{tap: (B,C,H/stride,W/stride)}, prepared -> (B,1,H,W) in [-1, 1], 1 = paper, -1 = ink."""
        x = None
        for tap, stage in zip(self.taps, self.stages, strict=True):
            tap_map = features[tap]
            if x is not None:
                # To the size of the tap: the encoder's pooling rounds odd sizes down.
                x = torch.cat([F.interpolate(x, size=tap_map.shape[2:], mode="nearest"), tap_map], dim=1)
            else:
                x = tap_map
            x = F.leaky_relu(stage(x), 0.1)
        return torch.tanh(self.to_sketch(x))


class PaperGenerator(nn.Module):
    """The authors' generator.

    Three times [nearest ×2, reflect-pad, spectral-norm conv, batch norm, LeakyReLU .01], and a convolution.
    One output channel instead of their three equal ones. Its input is pool3 of any encoder.
    """

    kind = "paper"

    @staticmethod
    def prepare(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The features unchanged, as published."""
        return dict(features)

    def __init__(
        self,
        taps: Sequence[str] = ("pool3",),
        tap_channels: Sequence[int] = (256,),
        widths: Sequence[int] = (512, 512, 256),
    ) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.tap_channels, self.widths = tuple(tap_channels), tuple(widths)
        layers: list[nn.Module] = []
        channels = tap_channels[0]
        for width in widths:
            conv = spectral_norm(nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect"))
            layers += [nn.Upsample(scale_factor=2), conv, nn.BatchNorm2d(width), nn.LeakyReLU(0.01)]
            channels = width
        last = spectral_norm(nn.Conv2d(channels, 1, 3, padding=1, padding_mode="reflect"))
        self.layers = nn.Sequential(*layers, last, nn.Tanh())

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """{"pool3": (B,C,H/8,W/8)} -> (B,1,H,W) in [-1, 1]; H and W are multiples of 8."""
        return self.layers(features[self.taps[0]])


TomGenerator: TypeAlias = LeanGenerator | PaperGenerator
GENERATORS: Mapping[str, type[TomGenerator]] = {"lean": LeanGenerator, "paper": PaperGenerator}


class GramDiscriminator(nn.Module):
    """Classifies drawings by correlations of their features: {tap: (B,C,h,w)} -> (B,1) logits.

    A Gram matrix holds no positions, so D cannot use them.

    Departure: the authors pool each Gram matrix to 128×256, view it as an image and convolve. Channels have
    no neighbours for a convolution to use, so we take the upper triangle as a vector. The signed square root
    keeps the few largest products from dominating the rest (as in bilinear pooling, Lin et al. 2015).
    """

    def __init__(self, tap_channels: Mapping[str, int], width: int = 128) -> None:
        super().__init__()
        self.taps = tuple(tap_channels)
        self.first = nn.ModuleDict(
            {tap: spectral_norm(nn.Linear(c * (c + 1) // 2, width)) for tap, c in tap_channels.items()}
        )
        self.head = nn.Sequential(
            nn.LeakyReLU(0.1),
            spectral_norm(nn.Linear(width * len(tap_channels), width)),
            nn.LeakyReLU(0.1),
            spectral_norm(nn.Linear(width, 1)),
        )

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        embeddings = []
        for tap in self.taps:
            entries = upper_triangle(gram(features[tap]))
            embeddings.append(self.first[tap](entries.sign() * (entries.abs() + 1e-6).sqrt()))
        return self.head(torch.cat(embeddings, dim=1))
