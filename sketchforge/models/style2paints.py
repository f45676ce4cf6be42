"""Style2Paints V1 (Zhang, Ji and Lin: Style Transfer for Anime Sketches with Enhanced Residual U-net and
Auxiliary Classifier GAN, 2017): a residual U-net with a style hint in its middle, guide decoders, discriminators.

The layers between the *entry* of the middle (the encoder's map of 16²) and its *exit* (the decoder's map of 16²)
are those that a U-net neglects, because its skips carry lines past them; the guide decoders give them losses of
their own.

Shape letters: B batch, C channels, S side of the image, N length of the style hint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.autoencoder import SIZES, channels_at
from sketchforge.models.layers import SLOPE
from sketchforge.models.style_hint import StyleHint
from sketchforge.models.upsample_conv import upsample_conv

MIDDLE, ENTRY = 8, 16  # sides of the middle map, and of the maps at its entry and exit
COARSEST = 8  # side of the discriminators' last map

# Channels by side of the map, at width 1, as published for images of 256²; beyond 256² ours. Smaller images lack
# the finest maps, so that an image of 64² begins with 64 channels.
ENCODER_CHANNELS = {16: 256, 32: 128, 64: 64, 128: 32, 256: 16, 512: 16, 1024: 16}
MIDDLE_CHANNELS = {8: 2048}
DECODER_CHANNELS = {16: 512, 32: 128, 64: 64, 128: 32, 256: 64, 512: 32, 1024: 16}
GUIDE_CHANNELS = {16: 512, 32: 256, 64: 128, 128: 64, 256: 32, 512: 16, 1024: 16}
# Not published: a third party's, 32 at the first map of 256² images.
DISCRIMINATOR_CHANNELS = {8: 256, 16: 256, 32: 128, 64: 64, 128: 32, 256: 32, 512: 16}


class UnetMaps(NamedTuple):
    """What the U-net makes of a sketch and a hint, and the maps that the guide decoders start from."""

    image: Tensor  # (B,3,S,S) in [-1, 1]
    entry: Tensor  # (B,C,16,16), which has not seen the hint
    exit: Tensor  # (B,C,16,16)


class ResidualUnet(nn.Module):
    """Sketch and style hint -> image.

    size: side of the images in pixels, a power of two in 64..1024. width: factor of all channels, 1 as
    published. hint_size: N. Raises ValueError for other values.

    Departures, where the paper does not say or contradicts itself:
    - Skips: its figure prints 256, 64, 32 and 16 channels beside decoder maps of 16², 32², 64² and 128², where its
      encoder has 256, 128, 64 and 32. Four widths of five: here every decoder map gets the encoder's map of its own
      side, all five, the finest included, without which lines would pass through half the resolution.
    - Normalisation is not given: GroupNorm, for batches are of four at most, and no image should depend on
      the rest of its batch.
    - "Residual": the second convolution of each pair is added to the first.
    """

    def __init__(self, size: int, width: float, hint_size: int) -> None:
        super().__init__()
        _check_network(size, width)
        self.size, self.width, self.hint_size = size, width, hint_size
        sides = [side for side in ENCODER_CHANNELS if side <= size]
        skips = {side: channels_at(ENCODER_CHANNELS, side, width) for side in sides}
        self.downs = nn.ModuleDict()
        channels = 1
        for side in reversed(sides):
            self.downs[str(side)] = ResidualPair(channels, skips[side], stride=1 if side == size else 2)
            channels = skips[side]
        middle_channels = channels_at(MIDDLE_CHANNELS, MIDDLE, width)
        self.middle = StyledMiddle(channels, middle_channels, hint_size)
        self.ups = nn.ModuleDict()
        channels = middle_channels
        for side in sides:
            decoder_channels = channels_at(DECODER_CHANNELS, side, width)
            self.ups[str(side)] = UpPair(channels, decoder_channels)
            channels = decoder_channels + skips[side]
        self.to_rgb = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, sketch: Tensor, hint: Tensor) -> UnetMaps:
        """sketch (B,1,S,S) float in [-1, 1], 1 = paper; hint (B,N). Raises ValueError for other shapes."""
        maps = self.encode(sketch)
        exit_map = self.join(maps, hint)
        return UnetMaps(self.decode(maps, exit_map), maps[ENTRY], exit_map)

    def encode(self, sketch: Tensor) -> dict[int, Tensor]:
        """(B,1,S,S) -> the encoder's maps (B,C,side,side) by side, from S to 16."""
        _check_tensor("sketch", sketch, (sketch.shape[0], 1, self.size, self.size))
        x, maps = sketch, dict[int, Tensor]()
        for side, down in self.downs.items():
            x = maps[int(side)] = down(x)
        return maps

    def join(self, maps: Mapping[int, Tensor], hint: Tensor) -> Tensor:
        """The encoder's maps and hint (B,N) -> the map at the exit of the middle, (B,C,16,16)."""
        _check_tensor("hint", hint, (maps[ENTRY].shape[0], self.hint_size))
        return self.ups[str(ENTRY)](self.middle(maps[ENTRY], hint))

    def decode(self, maps: Mapping[int, Tensor], exit_map: Tensor) -> Tensor:
        """The encoder's maps, and that at the exit of the middle -> (B,3,S,S) in [-1, 1]."""
        x = exit_map
        for side, up in self.ups.items():
            x = x if int(side) == ENTRY else up(x)
            x = torch.cat([x, maps[int(side)]], dim=1)
        return self.to_rgb(x).tanh()

    def middle_parameters(self) -> list[nn.Parameter]:
        """The parameters between entry and exit."""
        return [*self.middle.parameters(), *self.ups[str(ENTRY)].parameters()]


class StyledMiddle(nn.Module):
    """(B,channels,16,16) and hint (B,N) -> (B,width,8,8): a dense layer of the hint is added at every position."""

    def __init__(self, channels: int, width: int, hint_size: int) -> None:
        super().__init__()
        self.first = _build_conv(channels, width, stride=2)
        self.first_norm = _build_norm(width)
        self.dense = nn.Linear(hint_size, width)
        self.second = _build_conv(width, width)
        self.second_norm = _build_norm(width)

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:
        x = F.leaky_relu(self.first_norm(self.first(x)), SLOPE)
        # Before the second convolution, so that what it makes of the position depends on the style.
        x = x + self.dense(hint)[:, :, None, None]
        return F.leaky_relu(x + self.second_norm(self.second(x)), SLOPE)


class ResidualPair(nn.Module):
    """Two 3x3 convolutions with GroupNorm and LeakyReLU, the second residual; `stride` of the first."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _build_conv(channels, width, stride)
        self.first_norm = _build_norm(width)
        self.second = _build_conv(width, width)
        self.second_norm = _build_norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B,channels,H,W) -> (B,width,H/stride,W/stride)."""
        x = F.leaky_relu(self.first_norm(self.first(x)), SLOPE)
        return F.leaky_relu(x + self.second_norm(self.second(x)), SLOPE)


class UpPair(nn.Module):
    """`ResidualPair` whose first convolution doubles the side, bilinearly; (B,channels,H,W) -> (B,width,2H,2W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, channels, 3, 3))
        nn.init.kaiming_normal_(self.weight, a=SLOPE)
        self.first_norm = _build_norm(width)
        self.second = _build_conv(width, width)
        self.second_norm = _build_norm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first_norm(upsample_conv(x, self.weight)), SLOPE)
        return F.leaky_relu(x + self.second_norm(self.second(x)), SLOPE)


class GuideDecoder(nn.Module):
    """A map of 16² -> an image, without skips; only for training.

    size, width: as for ResidualUnet. channels: of the map. num_outputs: channels of the image, 1 for a grey
    one, 3 for colour.
    """

    def __init__(self, size: int, width: float, channels: int, num_outputs: int) -> None:
        super().__init__()
        _check_network(size, width)
        self.first = _build_conv(channels, channels_at(GUIDE_CHANNELS, ENTRY, width))
        self.first_norm = _build_norm(channels_at(GUIDE_CHANNELS, ENTRY, width))
        widths = [channels_at(GUIDE_CHANNELS, side, width) for side in GUIDE_CHANNELS if side <= size]
        self.ups = nn.Sequential(*map(GuideUp, widths, widths[1:]))
        self.to_image = nn.Conv2d(widths[-1], num_outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,16,16) -> (B,num_outputs,S,S) in [-1, 1]."""
        x = F.leaky_relu(self.first_norm(self.first(x)), SLOPE)
        return self.to_image(self.ups(x)).tanh()


class GuideUp(nn.Module):
    """Twice the side: bilinear, 3x3 convolution, GroupNorm, LeakyReLU; (B,channels,H,W) -> (B,width,2H,2W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, channels, 3, 3))
        nn.init.kaiming_normal_(self.weight, a=SLOPE)
        self.norm = _build_norm(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(upsample_conv(x, self.weight)), SLOPE)


class VectorDiscriminator(nn.Module):
    """Image (B,3,S,S) -> `num_outputs` logits (B,num_outputs); it sees neither sketch nor style.

    One number makes it the plain discriminator of DCGAN, N numbers the auxiliary classifier, whose target is
    the style hint of a real image. Structure not published: 4x4 convolutions of stride 2 down to 8², a linear
    layer. size, width: as for ResidualUnet.
    """

    def __init__(self, size: int, width: float, num_outputs: int) -> None:
        super().__init__()
        _check_network(size, width)
        self.size = size
        sides = [side for side in DISCRIMINATOR_CHANNELS if side < size]
        layers: list[nn.Module] = []
        channels = 3
        for side in reversed(sides):
            side_channels = channels_at(DISCRIMINATOR_CHANNELS, side, width)
            layers.append(nn.Conv2d(channels, side_channels, 4, stride=2, padding=1))
            layers.append(nn.LeakyReLU(SLOPE))
            channels = side_channels
        self.downs = nn.Sequential(*layers)
        self.head = nn.Linear(channels * COARSEST**2, num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """Raises ValueError for other shapes."""
        _check_tensor("image", image, (image.shape[0], 3, self.size, self.size))
        return self.head(self.downs(image).flatten(1))


class Style2Paints(nn.Module):
    """The trained system: the U-net with the network that its hints come from.

    It is used as the auto-encoder is: a style vector, here the hint, from `encode_style`, content from
    `encode_content`, an image from `decode`. Raises ValueError where the U-net takes hints of another length.
    """

    def __init__(self, unet: ResidualUnet, hint: StyleHint) -> None:
        super().__init__()
        if unet.hint_size != hint.size:
            raise ValueError(f"the U-net takes hints of {unet.hint_size} numbers, they have {hint.size}")
        self.unet, self.hint = unet, hint
        self.size, self.width, self.style_dim = unet.size, unet.width, hint.size

    def forward(self, sketch: Tensor, style_image: Tensor) -> Tensor:
        """sketch (B,1,S,S), style image (B,3,S,S), float in [-1, 1], 1 = paper -> image (B,3,S,S) in [-1, 1]."""
        return self.decode(self.encode_content(sketch), self.encode_style(style_image))

    def encode_style(self, image: Tensor) -> Tensor:
        """(B,3,S,S) float in [-1, 1] -> the style hint (B,N). Raises ValueError for other shapes."""
        _check_tensor("image", image, (image.shape[0], 3, self.size, self.size))
        return self.hint(image)

    def encode_content(self, sketch: Tensor) -> dict[int, Tensor]:
        """(B,1,S,S) float in [-1, 1], 1 = paper -> the encoder's maps by side."""
        return self.unet.encode(sketch)

    def decode(self, content: Mapping[int, Tensor], style: Tensor) -> Tensor:
        """Content of B sketches and hints (B,N), of the same or other images -> (B,3,S,S) in [-1, 1]."""
        return self.unet.decode(content, self.unet.join(content, style))


def _build_conv(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    """3x3, without a bias, for GroupNorm follows."""
    conv = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    return conv


def _build_norm(width: int) -> nn.GroupNorm:
    """Groups of eight channels or more: a channel by itself would lose its mean, in which the hint enters."""
    return nn.GroupNorm(min(8, max(width // 8, 1)), width)


def _check_network(size: int, width: float) -> None:
    if size not in SIZES:
        raise ValueError(f"size is {size}, expected one of {', '.join(map(str, SIZES))}")
    if width <= 0:
        raise ValueError(f"width is {width}, expected a factor above 0")


def _check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        actual, expected = (",".join(map(str, sizes)) for sizes in (tensor.shape, shape))
        raise ValueError(f"{name} is ({actual}), expected ({expected})")
