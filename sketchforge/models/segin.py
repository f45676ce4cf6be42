"""SEGIN: a sketch and an auxiliary image pasted from a reference -> image and foreground mask; its discriminator.

The auxiliary image is made by `patch_matcher`. There is no public code; what is not published is ours, with its
reason.

Shape letters: B batch, C channels, S side of the image, H, W height and width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.autoencoder import SIZES
from sketchforge.models.layers import SLOPE
from sketchforge.models.patch_matcher import PatchMatcher
from sketchforge.models.upsample_conv import upsample_conv

NUM_BLOCKS = 6  # of the encoder; one keeps the side, others halve it down to the bottleneck
BOTTLENECK = 16  # side in cells: a non-local layer compares all positions with all
NUM_NON_LOCAL = 3
FIRST_CHANNELS, MOST_CHANNELS = 64, 512  # at width 1; not published
LARGEST = 512  # pixels: six blocks halve no more often
SKETCH, GREY = "sketch", "grey"
INPUTS = (SKETCH, GREY)  # x: a sketch, or the grey of a photo, which is colourised


class Translation(NamedTuple):
    """What the translator makes of a sketch and its auxiliary image."""

    image: Tensor  # (B,3,S,S) in [-1, 1]
    mask_logits: Tensor  # (B,1,S,S); their sigmoid is the share of foreground


class Translator(nn.Module):
    """Sketch x and auxiliary image W -> image and mask.

    size: side of the images in pixels, a power of two in 64..512. width: factor of all channels. input_channels:
    of x, 1 for a sketch or a grey photo. non_local, masks: whether there are non-local layers, and a second decoder (the
    paper's Table II). Raises ValueError for other values.

    The reference itself is no input: the paper's text says it is one, its equations do not.
    """

    def __init__(
        self, size: int, width: float, input_channels: int = 1, non_local: bool = True, masks: bool = True
    ) -> None:
        super().__init__()
        _check_network_size(size, width)
        self.size, self.width, self.input_channels = size, width, input_channels
        self.non_local, self.masks = non_local, masks
        channels = input_channels + 3
        self.downs = nn.ModuleList()
        widths, side, sides = [], size, []
        for number in range(NUM_BLOCKS):
            stride = 2 if number and side > BOTTLENECK else 1
            side //= stride
            level = (size // side).bit_length() - 1
            block_channels = _widen(min(FIRST_CHANNELS * 2**level, MOST_CHANNELS), width)
            self.downs.append(ConvReluNorm(channels, block_channels, stride))
            channels = block_channels
            widths.append(channels)
            sides.append(side)
        layers: list[nn.Module] = []
        for number in range(NUM_NON_LOCAL):
            layers += [PlainResidual(channels)] if number else []
            layers += [NonLocal(channels)] if non_local else []
        self.bottleneck = nn.Sequential(*layers)
        # The skip of a side is the last map of that side.
        self._skip_of = {side: number for number, side in enumerate(sides)}
        finer = [x for x in sorted(self._skip_of) if x > side_of_bottleneck(size)]  # from coarse to fine
        skips = [widths[self._skip_of[side]] for side in finer]
        self.image_ups, image_channels = _build_ups(channels, skips, joined=True)
        self.to_rgb = nn.Conv2d(image_channels, 3, 3, padding=1)
        self.mask_ups, self.to_mask = nn.ModuleList(), None
        if masks:
            self.mask_ups, mask_channels = _build_ups(channels, skips, joined=False)
            self.to_mask = nn.Conv2d(mask_channels, 1, 3, padding=1)
        self._finer = finer

    def forward(self, sketch: Tensor, auxiliary: Tensor) -> Translation:
        """sketch (B,input_channels,S,S), auxiliary (B,3,S,S), float in [-1, 1]. Raises ValueError for other shapes.

        Without a second decoder the logits are 0: half foreground everywhere.
        """
        _check_input("sketch", sketch, (len(sketch), self.input_channels, self.size, self.size))
        _check_input("auxiliary", auxiliary, (len(sketch), 3, self.size, self.size))
        x, maps = torch.cat([sketch, auxiliary], dim=1), []
        for down in self.downs:
            x = down(x)
            maps.append(x)
        x = self.bottleneck(x)
        image, mask = x, x
        for side, up in zip(self._finer, self.image_ups, strict=True):
            image = torch.cat([up(image), maps[self._skip_of[side]]], dim=1)
        image = self.to_rgb(image).tanh()
        if self.to_mask is None:
            return Translation(image, image.new_zeros(len(image), 1, self.size, self.size))
        for up in self.mask_ups:
            mask = up(mask)
        return Translation(image, self.to_mask(mask))


class ConvReluNorm(nn.Sequential):
    """3x3 convolution, ReLU, BatchNorm, in the published order; (B,C,H,W) -> (B,width,H/stride,W/stride)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 3, stride, padding=1), nn.ReLU(), nn.BatchNorm2d(width))


class PlainResidual(nn.Module):
    """Two 3x3 convolutions, added to the input; keeps the shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


class NonLocal(nn.Module):
    """Every position plus a mean over all positions, by softmax of θ(x_i)·φ(x_j) (embedded Gaussian; Wang et al. 2018).

    (B,C,H,W) -> the same shape. The identity at first.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.theta, self.phi, self.value = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.output = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(self.output.weight)
        assert self.output.bias is not None
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        theta, phi, value = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.value))
        attention = (theta.transpose(1, 2) @ phi).softmax(dim=2)  # (B,H·W,H·W): of every position over all
        mean = value @ attention.transpose(1, 2)
        return x + self.output(mean.view(len(x), -1, *x.shape[2:]))


class DecoderUp(nn.Module):
    """Twice the side: bilinear, 3x3 convolution, BatchNorm, ReLU; (B,channels,H,W) -> (B,width,2H,2W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, channels, 3, 3))
        nn.init.kaiming_normal_(self.weight)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(upsample_conv(x, self.weight)))


class PairDiscriminator(nn.Module):
    """D(x, y): sketch and image -> a logit for each patch, (B,1,S/16,S/16); every convolution has spectral norm.

    size, width, input_channels: as for Translator. Layers not published: 4x4 of stride 2 down to a sixteenth.
    """

    def __init__(self, size: int, width: float, input_channels: int = 1) -> None:
        super().__init__()
        _check_network_size(size, width)
        self.size, self.input_channels = size, input_channels
        layers: list[nn.Module] = []
        channels = input_channels + 3
        for level in range(4):
            level_channels = _widen(min(FIRST_CHANNELS * 2**level, MOST_CHANNELS), width)
            conv = nn.Conv2d(channels, level_channels, 4, stride=2, padding=1)
            layers += [nn.utils.parametrizations.spectral_norm(conv), nn.LeakyReLU(SLOPE)]
            channels = level_channels
        layers.append(nn.utils.parametrizations.spectral_norm(nn.Conv2d(channels, 1, 3, padding=1)))
        self.layers = nn.Sequential(*layers)

    def forward(self, sketch: Tensor, image: Tensor) -> Tensor:
        """sketch (B,input_channels,S,S), image (B,3,S,S). Raises ValueError for other shapes."""
        _check_input("sketch", sketch, (len(sketch), self.input_channels, self.size, self.size))
        _check_input("image", image, (len(sketch), 3, self.size, self.size))
        return self.layers(torch.cat([sketch, image], dim=1))


class Segin(nn.Module):
    """The trained system: the translator with what makes its auxiliary images.

    input: one of INPUTS. There is no style vector: `encode_style` tells the styles of images apart for figures alone.
    Raises ValueError for another input, and for a matcher of another size.
    """

    def __init__(self, translator: Translator, matcher: PatchMatcher, input: str = SKETCH) -> None:
        super().__init__()
        if matcher.size != translator.size:
            raise ValueError(f"the translator's size is {translator.size}, the matcher's {matcher.size}")
        if input not in INPUTS:
            raise ValueError(f"input is {input!r}, expected one of {', '.join(INPUTS)}")
        self.translator, self.matcher, self.input = translator, matcher, input
        self.size, self.width = translator.size, translator.width

    def forward(self, sketch: Tensor, style_image: Tensor) -> Tensor:
        """sketch, or grey, (B,1,S,S), style image (B,3,S,S), float in [-1, 1] -> image (B,3,S,S) in [-1, 1].

        Raises ValueError for other shapes.
        """
        _check_input("style image", style_image, (len(sketch), 3, self.size, self.size))
        return self.translator(sketch, self.matcher.paste(sketch, style_image)).image

    def encode_style(self, image: Tensor) -> Tensor:
        """(B,3,S,S) float in [-1, 1] -> mean and deviation of the channels that are matched, (B,2C).

        Raises ValueError for other shapes.
        """
        _check_input("image", image, (len(image), 3, self.size, self.size))
        features = self.matcher.encode_by_network(image).flatten(2)
        return torch.cat([features.mean(2), features.std(2)], dim=1)


def side_of_bottleneck(size: int) -> int:
    """The side of the bottleneck's map for images of this size."""
    return max(BOTTLENECK, size >> (NUM_BLOCKS - 1))


def _build_ups(channels: int, skips: list[int], joined: bool) -> tuple[nn.ModuleList, int]:
    """(layers that double the side, one for each finer map, and the channels of the last one's result)."""
    ups = nn.ModuleList()
    for width in skips:
        ups.append(DecoderUp(channels, width))
        channels = 2 * width if joined else width
    return ups, channels


def _widen(channels: int, width: float) -> int:
    return max(8, 8 * round(channels * width / 8))


def _check_network_size(size: int, width: float) -> None:
    sizes = [side for side in SIZES if side <= LARGEST]
    if size not in sizes:
        raise ValueError(f"size is {size}, expected one of {', '.join(map(str, sizes))}")
    if width <= 0:
        raise ValueError(f"width is {width}, expected a factor above 0")


def _check_input(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        actual, expected = (",".join(map(str, sizes)) for sizes in (tensor.shape, shape))
        raise ValueError(f"{name} is ({actual}), expected ({expected})")
