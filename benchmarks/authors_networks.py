"""The authors' auto-encoder (stage 1), to time a step beside; to train with, take sketchforge/models.

Their networks of stage 2, made of the same parts, are in authors_gan.py.

Built from what is known of their code, layers, widths and where style and content enter, not from the code
itself. tests/benchmarks/test_training_step_benchmark.py holds them to what is known of their sizes:

| millions of parameters | known | here |
|---|---|---|
| style encoder, without the classes' head | 14.5 | 14.5 |
| content encoder | 9.0 | 9.0 |
| decoder | 19.0 | 18.7 |

Where nothing is known stands the simplest layer, of two such the cheaper, and a comment says so.

Shape letters: B batch, S side of the images, H, W height and width of a map.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torchvision.ops import SqueezeExcitation

from sketchforge.models.modulation import DualMaskInjection

# Channels by side of the map. Theirs are for 512². For smaller images the finest levels
# are left out, as ours do it, so that the coarsest map keeps its side.
ENCODER_CHANNELS = {8: 512, 16: 256, 32: 128, 64: 64, 128: 32, 256: 16}
DECODER_CHANNELS = {8: 512, 16: 256, 32: 128, 64: 64, 128: 32, 256: 16, 512: 8}
CONTENT_SIDES = (8, 16, 32)
STYLE_DIMS = (512, 256, 128)  # of the style vectors, as many as the trunk has channels at 8², 16², 32²
GATED = (64, 128, 256)  # sides of G1's maps that the style vectors multiply, in this order
LARGEST_AE = 512  # side; G2 makes 1024² of an image of 512²
NUM_CLASSES = 500

SLOPE = 0.2  # of LeakyReLU; not known
REDUCTION = 16  # of squeeze-and-excitation; not known
NUM_BLOCKS = {8: 4, 16: 2, 32: 2}  # of the decoder by side; not known, chosen for the decoder's known size


def convolution(
    channels: int, width: int, kernel: int = 3, stride: int = 1, spectral: bool = False
) -> nn.Module:
    """Without a bias, for a normalisation follows."""
    made = nn.Conv2d(channels, width, kernel, stride, padding=1, bias=False)
    return spectral_norm(made) if spectral else made


def down(channels: int, width: int, spectral: bool = False) -> nn.Sequential:
    """(B,channels,H,W) -> (B,width,H/2,W/2)."""
    return nn.Sequential(
        convolution(channels, width, 4, 2, spectral), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)
    )


def gate(style_dim: int, channels: int) -> nn.Sequential:
    """sigmoid(MLP): a vector (B,style_dim) -> a factor for each channel (B,channels,1,1)."""
    layers = nn.Linear(style_dim, style_dim), nn.LeakyReLU(SLOPE), nn.Linear(style_dim, channels)
    return nn.Sequential(*layers, nn.Sigmoid(), nn.Unflatten(1, (channels, 1, 1)))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, squeeze-and-excitation if `squeeze` says so, the input added; keeps the shape."""

    def __init__(
        self, channels: int, spectral: bool = False, squeeze: bool = True, separable: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for end in (nn.LeakyReLU(SLOPE), nn.Identity()):
            if separable:
                layers.append(nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False))
                layers.append(nn.Conv2d(channels, channels, 1, bias=False))
            else:
                layers.append(convolution(channels, channels, spectral=spectral))
            layers += [nn.BatchNorm2d(channels), end]
        if squeeze:
            layers.append(SqueezeExcitation(channels, channels // REDUCTION))
        self.change = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.change(x), SLOPE)


class Trunk(nn.Module):
    """(B,channels,S,S) -> {8: (B,512,8,8), 16: (B,256,16,16), 32: (B,128,32,32)}."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.levels = nn.ModuleDict()
        for side in sorted((side for side in ENCODER_CHANNELS if side < size), reverse=True):
            width = ENCODER_CHANNELS[side]
            level = down(channels, width)
            if side in CONTENT_SIDES:
                level.append(ResidualBlock(width))
            self.levels[str(side)] = level
            channels = width

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        maps = {}
        for side, level in self.levels.items():
            x = maps[int(side)] = level(x)
        return {side: maps[side] for side in CONTENT_SIDES}


class StyleEncoder(nn.Module):
    """(B,3,S,S) -> style vectors by length: {512: (B,512), 256: (B,256), 128: (B,128)}."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.trunk = Trunk(3, size)
        self.heads = nn.ModuleDict(
            {
                str(side): nn.Sequential(
                    nn.AdaptiveAvgPool2d(4),
                    nn.Conv2d(ENCODER_CHANNELS[side], ENCODER_CHANNELS[side], 4),
                    nn.Flatten(),
                )
                for side in CONTENT_SIDES
            }
        )

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        maps = self.trunk(image)
        return {ENCODER_CHANNELS[int(side)]: head(maps[int(side)]) for side, head in self.heads.items()}


class PlainUp(nn.Sequential):
    """Nearest neighbour ×2, 3×3 convolution, InstanceNorm, GLU; (B,channels,H,W) -> (B,width,2H,2W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2),
            convolution(channels, 2 * width),
            nn.InstanceNorm2d(2 * width),
            nn.GLU(dim=1),
        )


class Decoder(nn.Module):
    """G1: content's maps and style vectors -> (B,3,S,S) in [-1, 1], from a learned map of 8² upwards."""

    def __init__(self, size: int) -> None:
        super().__init__()
        entering = ENCODER_CHANNELS[8]
        self.base = nn.Parameter(torch.randn(1, entering, 8, 8))
        # What f in DMI is, is not known, but that the content's map multiplies it, so that it has as many
        # channels: at 8² the base before content joins it, at 16² what comes up from 8².
        self.injections = nn.ModuleDict({str(side): injection(ENCODER_CHANNELS[side]) for side in (8, 16)})
        # What the MLP consists of is not known: two layers, as in the gates.
        self.first_style = nn.Sequential(
            nn.Linear(STYLE_DIMS[0], 2 * entering),
            nn.LeakyReLU(SLOPE),
            nn.Linear(2 * entering, 2 * entering, bias=False),
            nn.BatchNorm1d(2 * entering),
            nn.Unflatten(1, (2 * entering, 1, 1)),
        )
        self.blocks, self.ups, self.gates = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        channels = 0
        for side in sorted(side for side in DECODER_CHANNELS if side <= size):
            width = DECODER_CHANNELS[side]
            if side > 8:
                self.ups[str(side)] = PlainUp(channels, width)
            channels = width
            if side in CONTENT_SIDES:
                channels += ENCODER_CHANNELS[side]
                blocks = [ResidualBlock(channels, separable=True) for _ in range(NUM_BLOCKS[side])]
                self.blocks[str(side)] = nn.Sequential(*blocks)
        for side, style_dim in zip(GATED, STYLE_DIMS, strict=True):
            if side <= size:
                self.gates[str(side)] = gate(style_dim, DECODER_CHANNELS[side])
        self.to_rgb = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, content: Mapping[int, Tensor], styles: Mapping[int, Tensor]) -> Tensor:
        x = self.injections["8"](self.base, content[8])
        x = self.blocks["8"](torch.cat([x, content[8]], dim=1)) * self.first_style(styles[STYLE_DIMS[0]])
        for name, up in self.ups.items():
            side = int(name)
            x = up(x)
            if name in self.injections:
                x = self.injections[name](x, content[side])
            if name in self.blocks:
                x = self.blocks[name](torch.cat([x, content[side]], dim=1))
            if name in self.gates:
                x = x * self.gates[name](styles[STYLE_DIMS[GATED.index(side)]])
        return torch.tanh(self.to_rgb(x))


def injection(channels: int) -> DualMaskInjection:
    """DMI with their first values."""
    made = DualMaskInjection(channels)
    nn.init.constant_(made.scale_a, 1.01)
    nn.init.constant_(made.scale_b, 0.99)
    return made


class AutoEncoder(nn.Module):
    """Stage 1: sketch (B,1,S,S) and style image (B,3,S,S) -> (B,3,S,S); the head tells images apart.

    Raises ValueError for sizes other than 64, 128, 256 and 512.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        check_size(size, LARGEST_AE)
        self.style_encoder = StyleEncoder(size)
        self.content_encoder = Trunk(1, size)
        self.decoder = Decoder(size)
        self.head = nn.Sequential(nn.LeakyReLU(SLOPE), nn.Linear(STYLE_DIMS[0], NUM_CLASSES))

    def forward(self, sketch: Tensor, image: Tensor) -> Tensor:
        return self.decoder(self.content_encoder(sketch), self.style_encoder(image))

    def classify(self, styles: Mapping[int, Tensor]) -> Tensor:
        """Style vectors -> logits (B,500); of one vector, the longest."""
        return self.head(styles[STYLE_DIMS[0]])


def check_size(size: int, largest: int) -> None:
    if size not in (64, 128, 256, 512, 1024) or size > largest:
        raise ValueError(f"size is {size}, expected a power of two in 64..{largest}")
