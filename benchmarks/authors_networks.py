"""The authors' networks of stages 1 and 2, to time a step beside; to train with, take sketchforge/models.

Built from what is known of their code, layers, widths and where style and content enter, not from the code
itself. tests/test_training_step_benchmark.py holds them to what is known of their sizes:

| millions of parameters | known | here |
|---|---|---|
| style encoder, without the classes' head | 14.5 | 14.5 |
| content encoder | 9.0 | 9.0 |
| decoder | 19.0 | 18.7 |
| G2 "art", 1024² | 49.8 | 49.8 |
| D, 1024² | 16.9 | 17.2 |

Where nothing is known stands the simplest layer, of two such the cheaper, and a comment says so.

Shape letters: B batch, S side of the pictures, H, W height and width of a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torchvision.ops import SqueezeExcitation

from sketchforge.models.features import gram
from sketchforge.models.modulation import DualMaskInjection
from trainers.tom.step import TomTrainer

# Channels by side of the map. Theirs are for 512² (G2 and D: 1024²). For smaller pictures the finest levels
# are left out, as ours do it, so that the coarsest map keeps its side.
ENCODER_CHANNELS = {8: 512, 16: 256, 32: 128, 64: 64, 128: 32, 256: 16}
DECODER_CHANNELS = {8: 512, 16: 256, 32: 128, 64: 64, 128: 32, 256: 16, 512: 8}
REFINER_CHANNELS = {16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
DISCRIMINATOR_CHANNELS = {8: 512} | REFINER_CHANNELS  # not known; G2's come near the known size
CONTENT_SIDES = (8, 16, 32)
STYLE_DIMS = (512, 256, 128)  # of the style vectors, as many as the trunk has channels at 8², 16², 32²
GATED = (64, 128, 256)  # sides of G1's maps that the style vectors multiply, in this order
STYLE_CHANNELS = 256  # of style's map in G2
NOISE_DIM, NOISE_CHANNELS = 512, 64  # of G2's noise vector, and of the map made of it
LARGEST_AE = 512  # side; G2 makes 1024² of a picture of 512²
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
        _check_size(size, LARGEST_AE)
        self.style_encoder = StyleEncoder(size)
        self.content_encoder = Trunk(1, size)
        self.decoder = Decoder(size)
        self.head = nn.Sequential(nn.LeakyReLU(SLOPE), nn.Linear(STYLE_DIMS[0], NUM_CLASSES))

    def forward(self, sketch: Tensor, image: Tensor) -> Tensor:
        return self.decoder(self.content_encoder(sketch), self.style_encoder(image))

    def classify(self, styles: Mapping[int, Tensor]) -> Tensor:
        """Style vectors -> logits (B,500); of one vector, the longest."""
        return self.head(styles[STYLE_DIMS[0]])


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
    """G2 "art": the auto-encoder's picture and style vectors -> (B,3,S,S).

    The picture is (B,3,S,S), too, for S = 1024 (B,3,512,512).

    Raises ValueError for sizes other than 64, 128, 256, 512 and 1024.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        _check_size(size, 2 * LARGEST_AE)
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
        _check_size(size, 2 * LARGEST_AE)
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


def _check_size(size: int, largest: int) -> None:
    if size not in (64, 128, 256, 512, 1024) or size > largest:
        raise ValueError(f"size is {size}, expected a power of two in 64..{largest}")


class PaperDiscriminator(nn.Module):
    """The authors' D: Gram matrices over C·H·W, pooled to 128x256, seen as 128 channels of 16x16."""

    def __init__(self, taps: list[str]) -> None:
        super().__init__()
        self.taps = taps
        n = 128 * len(taps)
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(n, n // 2, 3)), nn.BatchNorm2d(n // 2), nn.LeakyReLU(0.1),
            spectral_norm(nn.Conv2d(n // 2, n // 4, 3)), nn.BatchNorm2d(n // 4), nn.LeakyReLU(0.1),
            nn.AvgPool2d(2), spectral_norm(nn.Conv2d(n // 4, 1, 4, stride=2, padding=1)),
        )  # fmt: skip

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        parts = []
        for tap in self.taps:
            matrix = gram(features[tap]) / features[tap].shape[1]
            parts.append(F.adaptive_avg_pool2d(matrix[:, None], (128, 256))[:, 0].view(-1, 128, 16, 16))
        return self.layers(torch.cat(parts, 1))


class PaperJudged(TomTrainer):
    """The authors' discriminator in place of ours."""

    def _new_networks(self) -> Any:
        networks = super()._new_networks()
        torch.manual_seed(0)
        networks.discriminator = PaperDiscriminator(list(self.recipe.style_taps)).to(self.device)
        networks.optimizer_d = torch.optim.Adam(
            networks.discriminator.parameters(), self.recipe.discriminator_learning_rate, self.recipe.betas
        )
        return networks


# As far as our terms go: the Gram term stays ours, relative to the drawings' matrices, at weight 1, for their 2000
# belongs to raw taps divided by C·H·W.
AS_CODED = {
    "content_taps": ("pool3",),
    "content_weight": 0.2,
    "style_taps": ("pool2", "pool3", "relu4_1"),  # pool4 lies below the built-in encoder
    "synthetic_weight": 0.0,
    "denoising": 0,
    "discriminator_learning_rate": 2e-4,
}
