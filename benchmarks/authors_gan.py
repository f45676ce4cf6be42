"""The authors' networks of stage 2, G2 "art" and D, of the parts in authors_networks.py.

| millions of parameters | known | here |
|---|---|---|
| G2 "art", 1024² | 49.8 | 49.8 |
| D, 1024² | 16.9 | 17.2 |

Shape letters: B batch, S side of the images, H, W height and width of a map.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from authors_networks import (
    LARGEST_AE,
    SLOPE,
    STYLE_DIMS,
    ResidualBlock,
    check_size,
    convolution,
    down,
    gate,
)
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

# Channels by side of the map, as in authors_networks.py; theirs are for 1024².
REFINER_CHANNELS = {16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
DISCRIMINATOR_CHANNELS = {8: 512} | REFINER_CHANNELS  # not known; G2's come near the known size
STYLE_CHANNELS = 256  # of style's map in G2
NOISE_DIM, NOISE_CHANNELS = 512, 64  # of G2's noise vector, and of the map made of it


class NoisyUp(nn.Module):
    """Nearest ×2, spectral-norm convolution, BatchNorm, noise, GLU; (B,channels,H,W) -> (B,width,2H,2W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = convolution(channels, 2 * width, spectral=True)
        self.norm = nn.BatchNorm2d(2 * width)
        self.noise_weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(F.interpolate(x, scale_factor=2)))
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return F.glu(x + self.noise_weight * noise, dim=1)


class VectorMap(nn.Sequential):
    """A vector (B,dim) -> (B,channels,side,side): transposed convolution to 4², GLU, then ups."""

    def __init__(self, dim: int, channels: int, side: int) -> None:
        layers: list[nn.Module] = [
            nn.Unflatten(1, (dim, 1, 1)),
            nn.ConvTranspose2d(dim, 2 * channels, 4, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.GLU(dim=1),
        ]
        reached = 4
        while reached < side:
            layers += [nn.Upsample(scale_factor=2), convolution(channels, 2 * channels, spectral=True)]
            layers += [nn.BatchNorm2d(2 * channels), nn.GLU(dim=1)]
            reached *= 2
        super().__init__(*layers)


class Refiner(nn.Module):
    """G2 "art": the auto-encoder's image and style vectors -> (B,3,S,S).

    The image is (B,3,S,S), too, for S = 1024 (B,3,512,512).

    Raises ValueError for sizes other than 64, 128, 256, 512 and 1024.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        check_size(size, 2 * LARGEST_AE)
        self.downs, self.ups, self.gates = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        channels = 3
        given = min(size, LARGEST_AE)
        for side in sorted((side for side in REFINER_CHANNELS if side < given), reverse=True):
            self.downs[str(side)] = down(channels, REFINER_CHANNELS[side], spectral=True)
            channels = REFINER_CHANNELS[side]
        # Which style vector is not known; with all three, G2 has the known size.
        self.style_map = VectorMap(sum(STYLE_DIMS), STYLE_CHANNELS, 8)
        channels += STYLE_CHANNELS
        blocks = [ResidualBlock(channels, spectral=True, squeeze=False) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks)
        self.noise_map = VectorMap(NOISE_DIM, NOISE_CHANNELS, 32)
        for side in sorted(side for side in REFINER_CHANNELS if 16 < side <= size):
            self.ups[str(side)] = NoisyUp(channels, REFINER_CHANNELS[side])
            channels = REFINER_CHANNELS[side] + (NOISE_CHANNELS if side == 32 else 0)
            if 64 <= side <= 512:
                self.gates[str(side)] = gate(STYLE_DIMS[0], channels)  # the vector is not known
        self.to_rgb = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, image: Tensor, styles: Mapping[int, Tensor]) -> Tensor:
        x, skips = image, {}
        for side, down_ in self.downs.items():
            x = skips[side] = down_(x)
        style_map = self.style_map(torch.cat([styles[dim] for dim in STYLE_DIMS], dim=1))
        x = self.blocks(torch.cat([x, style_map.repeat(1, 1, 2, 2)], dim=1))
        for name, up in self.ups.items():
            x = up(x)
            if name == "32":
                noise = torch.randn(len(x), NOISE_DIM, device=x.device)
                x = torch.cat([x, self.noise_map(noise)], dim=1)
            elif name in skips and int(name) <= 256:
                x = x + skips[name]
            if name in self.gates:
                x = x * self.gates[name](styles[STYLE_DIMS[0]])
        return torch.tanh(self.to_rgb(x))


class Excitation(nn.Module):
    """Skip-layer excitation (Liu et al. 2021), from fine to coarse: factors of a coarse map's channels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            spectral_norm(nn.Conv2d(channels, width, 4)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(width, width, 1)),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        return x * self.factors(finer)


class Discriminator(nn.Module):
    """D: (B,3,S,S) -> (B,1,5,5), a logit for each of overlapping patches.

    Of its layers little is known: spectral norm, BatchNorm, skips that excite a coarse map by a finer one.
    These come near the known number of parameters.
    Raises ValueError for sizes other than 64, 128, 256, 512 and 1024.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        check_size(size, 2 * LARGEST_AE)
        self.downs, self.gates = nn.ModuleDict(), nn.ModuleDict()
        channels = 3
        for side in sorted((side for side in DISCRIMINATOR_CHANNELS if side < size), reverse=True):
            width = DISCRIMINATOR_CHANNELS[side]
            self.downs[str(side)] = down(channels, width, spectral=True)
            channels = width
        for fine, coarse in ((64, 16), (128, 8)):
            if fine < size:
                widths = DISCRIMINATOR_CHANNELS[fine], DISCRIMINATOR_CHANNELS[coarse]
                self.gates[str(coarse)] = Excitation(*widths)
        self.judge = nn.Sequential(
            convolution(channels, channels, spectral=True),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(channels, 1, 4)),
        )

    def forward(self, image: Tensor) -> Tensor:
        x, maps = image, {}
        for side, down_ in self.downs.items():
            x = down_(x)
            if side in self.gates:
                x = self.gates[side](x, maps["64" if side == "16" else "128"])
            maps[side] = x
        return self.judge(x)
