"""The exemplar-based auto-encoder (paper section 4.1 and appendix A): a sketch and a style image -> an image.

E_style encodes the style image as a vector, E_content encodes the sketch as maps, and the decoder G1 builds
the image. Content enters it as masks on its features, style as factors of its channels, or as their mean and deviation.

Shape letters: B batch, C channels, S side of the image, D length of the style vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.layers import PADDINGS, Down, Padding, ResidualBlock, Up
from sketchforge.models.modulation import STYLES, DualMaskInjection, Multiplication, SpatialNormalization
from sketchforge.utils.seeding import torch_generator

SIZES = (64, 128, 256, 512, 1024)
COARSEST = 8  # side of f_content, whatever the size of the image
CONTENT_SIDE = 32  # of the finest map where content enters, as published (A.2: 8, 16, 32)
STYLED_SIDES = (64, 128, 256, 512)  # the maps where style enters again (A.2)
MIN_STYLE_MAPS = 3  # small images have fewer of these maps, so they use their finest ones
DMI = ("none", "sketch", "feature", "spade")

# Channels by side of the map, at width 1.
ENCODER_CHANNELS = {8: 512, 16: 256, 32: 128, 64: 64, 128: 32, 256: 16, 512: 16}
DECODER_CHANNELS = {8: 512, 16: 256, 32: 128, 64: 64, 128: 32, 256: 16, 512: 8, 1024: 8}


def channels_at(table: Mapping[int, int], side: int, width: float) -> int:
    """table[side]·width, rounded to a multiple of 8, and at least 8: narrower maps save no time."""
    return max(8, 8 * round(table[side] * width / 8))


def content_sides(size: int) -> list[int]:
    """The sides that the finest map may have where content enters, for images of `size`: 32 to size/4."""
    return [side for side in DECODER_CHANNELS if CONTENT_SIDE <= side <= max(CONTENT_SIDE, size // 4)]


@dataclass(frozen=True)
class ContentFeatures:
    """f_content and the finer maps of a sketch, (B,C,side,side) by side, and the masks m of DMI by side."""

    maps: Mapping[int, Tensor]  # sides 8, 16, … content_side
    masks: Mapping[int, Tensor]  # the maps, or the sketch as (B,1,side,side) in [0, 1], or empty

    def apply(self, function: Callable[[Tensor], Tensor]) -> ContentFeatures:
        """The features with a function of the batch applied to every map and mask."""
        maps = {side: function(x) for side, x in self.maps.items()}
        same = self.masks is self.maps
        return ContentFeatures(maps, maps if same else {side: function(x) for side, x in self.masks.items()})

    @property
    def bottleneck(self) -> Tensor:
        """f_content of the paper, (B,C,8,8)."""
        return self.maps[COARSEST]

    @property
    def pooled(self) -> Tensor:
        """(B,C): f_content averaged over its positions, the input of the classifier in Eq. 9."""
        return self.bottleneck.mean(dim=(2, 3))


class Trunk(nn.Module):
    """(B,channels,S,S) -> {side: (B,C,side,side)} for sides finest … 16, 8: stride-2 convolutions down to 8²."""

    def __init__(
        self, channels: int, size: int, width: float, finest: int = CONTENT_SIDE, padding: Padding = "zeros"
    ) -> None:
        super().__init__()
        self.finest = finest
        self.levels = nn.ModuleDict()
        side = size
        while side > COARSEST:
            side //= 2
            out_channels = channels_at(ENCODER_CHANNELS, side, width)
            level: list[nn.Module] = [Down(channels, out_channels, padding)]
            if side <= finest:
                level.append(ResidualBlock(out_channels, padding))
            self.levels[str(side)] = nn.Sequential(*level)
            channels = out_channels

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        maps = {}
        for side, level in self.levels.items():
            x = level(x)
            if int(side) <= self.finest:
                maps[int(side)] = x
        return maps


class StyleEncoder(nn.Module):
    """E_style: image (B,3,S,S) -> f_style (B,D); variational: (B,2D), its mean and the logarithm of its variance."""

    def __init__(self, size: int, width: float, style_dim: int, variational: bool, padding: Padding) -> None:
        super().__init__()
        self.trunk = Trunk(3, size, width, padding=padding)
        channels = channels_at(ENCODER_CHANNELS, COARSEST, width)
        self.head = nn.Conv2d(channels, 2 * style_dim if variational else style_dim, 4)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.trunk(image)[COARSEST], 4)).flatten(1)


class Decoder(nn.Module):
    """G1: content maps and f_style -> image (B,3,S,S) in [-1, 1], from a learned map of 8² upwards."""

    def __init__(
        self,
        size: int,
        width: float,
        style_dim: int,
        dmi: str,
        style: str,
        content_side: int,
        padding: Padding,
    ) -> None:
        super().__init__()
        sides = [side for side in DECODER_CHANNELS if side <= size]
        styled_sides = [side for side in sides if side in STYLED_SIDES]
        if len(styled_sides) < MIN_STYLE_MAPS:
            styled_sides = sides[-MIN_STYLE_MAPS:]
        widths = {side: channels_at(DECODER_CHANNELS, side, width) for side in sides}
        content_channels = channels_at(ENCODER_CHANNELS, COARSEST, width)
        base_channels = widths[COARSEST]
        self.base = nn.Parameter(torch.randn(1, base_channels, COARSEST, COARSEST))
        # A convolution of the concatenated base and content is the sum of a convolution of the content and a
        # learned map that is the same for all sketches. The base is that map itself, which halves the work.
        self.enter = nn.Conv2d(
            content_channels, base_channels, 3, padding=1, bias=False, padding_mode=padding
        )
        self.block = ResidualBlock(base_channels, padding)
        self.ups = nn.ModuleDict()
        self.injections = nn.ModuleDict()
        # Every variant of Table 4 needs some input of colour: at 8², as in the authors' code, style always
        # multiplies.
        self.modulations = nn.ModuleDict({str(COARSEST): Multiplication(style_dim, base_channels)})
        modulation = STYLES[style]
        for side in sides:
            if side > COARSEST:
                self.ups[str(side)] = Up(widths[side // 2], widths[side])
            if dmi != "none" and side <= content_side:
                injection = SpatialNormalization if dmi == "spade" else DualMaskInjection
                self.injections[str(side)] = injection(widths[side])
            if modulation is not None and side in styled_sides:
                self.modulations[str(side)] = modulation(style_dim, widths[side])
        self.to_rgb = nn.Conv2d(widths[size], 3, 3, padding=1, padding_mode=padding)

    def forward(self, content: ContentFeatures, style: Tensor) -> Tensor:
        x = self.block(self.enter(content.bottleneck) + self.base)
        x = self._inject(x, COARSEST, content, style)
        for side, up in self.ups.items():
            x = self._inject(up(x), int(side), content, style)
        return torch.tanh(self.to_rgb(x))

    def _inject(self, x: Tensor, side: int, content: ContentFeatures, style: Tensor) -> Tensor:
        name = str(side)
        if name in self.injections:
            x = self.injections[name](x, content.masks[side])
        return self.modulations[name](x, style) if name in self.modulations else x


class AutoEncoder(nn.Module):
    """Sketch and style image -> image; encoders and decoder can also be called separately.

    size: side of the images in pixels, a power of two in 64..1024. width: factor of all channels.
    style_dim: length of f_style. None means the number of f_content's channels (512 at width 1), so that the
    classifier of Eq. 8 can also classify the content (Eq. 9).
    dmi (Table 3): the masks of DMI at 8², 16² … content_side². "feature": the content's maps. "sketch": the sketch
    itself. "none": no masks, content enters at 8² only. "spade", for comparison: in place of DMI the sketch
    modulates normalised features, as in SPADE.
    style (Table 4): how style enters at 64² to 512² (the three finest maps of small images):
    "multiply", "adain" or "add". "none": style enters at 8² only.
    variational (A.3): E_style finds a normal distribution, whose mean is f_style where nothing is trained.
    content_side: of the finest of these maps, a power of two from 32 to size/4. None means 32, as published.
    padding: what convolutions see beyond the border. "zeros", as is usual: grey beyond the paper, which leaves a frame of one
    pixel and bars along the border. "replicate": the outermost pixels again, as `Up` does always; SPADE's have zeros even so.
    Raises ValueError for other values.
    """

    def __init__(
        self,
        size: int = 256,
        width: float = 1.0,
        style_dim: int | None = None,
        dmi: str = "feature",
        style: str = "multiply",
        variational: bool = False,
        content_side: int | None = None,
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size is {size}, expected one of {', '.join(map(str, SIZES))}")
        if width <= 0:
            raise ValueError(f"width is {width}, expected a factor above 0")
        for name, value, choices in (
            ("dmi", dmi, DMI), ("style", style, STYLES), ("padding", padding, PADDINGS),
        ):  # fmt: skip
            if value not in choices:
                raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
        if content_side not in (None, *content_sides(size)):
            sides = ", ".join(map(str, content_sides(size)))
            raise ValueError(f"content_side is {content_side}, expected one of {sides} for a size of {size}")
        self.size, self.width, self.dmi, self.style = size, width, dmi, style
        self.content_side, self.padding = content_side, padding
        finest = CONTENT_SIDE if content_side is None else content_side
        self.variational = variational
        self.style_dim = channels_at(ENCODER_CHANNELS, COARSEST, width) if style_dim is None else style_dim
        self.style_encoder = StyleEncoder(size, width, self.style_dim, variational, padding)
        self.content_encoder = Trunk(1, size, width, finest, padding)
        self.decoder = Decoder(size, width, self.style_dim, dmi, style, finest, padding)

    def forward(self, sketch: Tensor, image: Tensor) -> Tensor:
        """sketch (B,1,S,S) float in [-1, 1], 1 = paper; image (B,3,S,S) in [-1, 1] -> (B,3,S,S) in [-1, 1].

        Raises ValueError for other shapes.
        """
        return self.decode(self.encode_content(sketch), self.encode_style(image))

    def encode_style(self, image: Tensor) -> Tensor:
        """(B,3,S,S) float in [-1, 1] -> f_style (B,D), the mean where it is variational."""
        return self.encode_style_distribution(image)[:, : self.style_dim]

    def encode_style_distribution(self, image: Tensor) -> Tensor:
        """(B,3,S,S) float in [-1, 1] -> all of E_style's output: (B,2D) where it is variational, else f_style."""
        self._check("image", image, 3)
        return self.style_encoder(image)

    def encode_content(self, sketch: Tensor) -> ContentFeatures:
        """(B,1,S,S) float in [-1, 1], 1 = paper -> f_content, the finer maps, and the masks for DMI."""
        self._check("sketch", sketch, 1)
        maps = self.content_encoder(sketch)
        if self.dmi == "feature":
            # A mask should lie in [0, 1], and a feature need not. We use it unchanged, like the authors'
            # code: the sigmoids of features differ little between positions, and convey less of the sketch
            # (faces at 64², after 600 steps: mean squared error .064 on held-out ones instead of .056).
            masks = maps
        elif self.dmi in ("sketch", "spade"):
            ink = (1 - sketch) / 2
            masks = {side: F.adaptive_avg_pool2d(ink, side) for side in maps}
        else:
            masks = {}
        return ContentFeatures(maps, masks)

    def decode(self, content: ContentFeatures, style: Tensor) -> Tensor:
        """Content of B sketches and f_style (B,D), of the same or other images -> (B,3,S,S) in [-1, 1]."""
        return self.decoder(content, style)

    def _check(self, name: str, images: Tensor, channels: int) -> None:
        if images.ndim != 4 or images.shape[1:] != (channels, self.size, self.size):
            shape = ",".join(map(str, images.shape))
            raise ValueError(f"{name} is ({shape}), expected (B,{channels},{self.size},{self.size})")


class StyleHead(nn.Linear):
    """The classifier of Eqs. 8 and 9: (B,style_dim) -> logits (B,num_classes), a class for every image."""

    def __init__(self, style_dim: int, num_classes: int) -> None:
        super().__init__(style_dim, num_classes)

    @torch.no_grad()
    def reset(self, seed: int, group: int) -> None:
        """Initialise all parameters for the group number `group` of images (A.1): uniform in ±1/√style_dim.

        They depend on (seed, group) alone, on any device.
        """
        rng = torch_generator(seed, "style head", group)
        bound = self.in_features**-0.5
        for parameter in (self.weight, self.bias):
            values = torch.empty(parameter.shape).uniform_(-bound, bound, generator=rng)
            parameter.copy_(values)
