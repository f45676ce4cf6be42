"""Stage 2 (paper section 4.2, appendix A.4): G2, which refines the auto-encoder's images, and D.

Shape letters: B batch, C channels, S side of the image, D length of the style vector.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.autoencoder import MIN_STYLE_MAPS, SIZES, STYLED_SIDES, channels_at
from sketchforge.models.layers import PADDINGS, SLOPE, Down, Padding, ResidualBlock, Up
from sketchforge.models.modulation import Multiplication
from sketchforge.models.noise import NOISE_DIM, Noise
from sketchforge.models.upsample_conv import upsample_conv

BOTTLENECK = 16  # side of G2's coarsest map
NOISE_ENTERS = 32  # side of the map that the noise vector is concatenated to
COARSEST = 8  # side of D's last map
GATED = (32, 16, 8)  # sides of D's maps that are gated by finer ones

# Channels by side of the map, at width 1; the same in G2's two halves, so that its skips are sums.
CHANNELS = {8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
STYLE_CHANNELS = {BOTTLENECK: 256}
NOISE_CHANNELS = {NOISE_ENTERS: 64}

# G2's blend mask at initialisation is the sigmoid of this: an eighth.
FIRST_SHARE = -2.0

FIRST_GATES = 0.1  # factor of the initial weights of the last convolution of D's gates


class Refiner(nn.Module):
    """G2: the auto-encoder's image and f_style -> an image with the detail that a squared error blurs.

    size: side of the images in pixels, a power of two in 64..1024. width: factor of all channels.
    style_dim: length of f_style. noise: whether the network has inputs for noise. padding: as for AutoEncoder.
    noise_sides: sides of the maps for `draw_noise`; empty without noise.
    Raises ValueError for other values.

    Departure: the authors' G2 generates the whole image. Ours gives, for every pixel and channel, a colour
    and a blend mask p, and the result is (1 − p)·image + p·colour. It starts near the image, so what is right
    in that need not be learnt again through a map of 16² (64², 150 steps on 35 images: a mean squared error
    of .050 on other images, where generating the whole image has .068 and the auto-encoder's images .052). A
    blend stays within [-1, 1] without a clamp, beyond which there would be no gradient.

    Departure: no spectral norm, which the authors' G2 has. BatchNorm follows each of its convolutions and
    divides by their scale, so that spectral norm changes no image. But it breaks an EMA of the weights: the
    EMA of its vectors is shorter than 1, and the EMA weights had a norm of 1.2.
    """

    def __init__(
        self, size: int, width: float, style_dim: int, noise: bool = True, padding: Padding = "zeros"
    ) -> None:
        super().__init__()
        _check_sizes(size, width)
        if padding not in PADDINGS:
            raise ValueError(f"padding is {padding!r}, expected one of {', '.join(PADDINGS)}")
        self.size, self.width, self.style_dim, self.noise = size, width, style_dim, noise
        self.padding = padding
        widths = {side: channels_at(CHANNELS, side, width) for side in CHANNELS if BOTTLENECK <= side <= size}
        finer_sides = [side for side in widths if side > BOTTLENECK]
        self.noise_sides = tuple(finer_sides) if noise else ()
        self.downs = nn.ModuleDict()
        channels = 3
        for side in reversed(list(widths)[:-1]):
            self.downs[str(side)] = Down(channels, widths[side], padding)
            channels = widths[side]
        style_channels = channels_at(STYLE_CHANNELS, BOTTLENECK, width)
        self.style_map = VectorMap(style_dim, style_channels, BOTTLENECK // 2)
        channels += style_channels
        self.blocks = nn.Sequential(ResidualBlock(channels, padding), ResidualBlock(channels, padding))
        self.noise_map = None
        self.ups = nn.ModuleDict()
        for side in finer_sides:
            self.ups[str(side)] = NoisyUp(channels, widths[side], noise)
            channels = widths[side]
            if noise and side == NOISE_ENTERS:
                noise_channels = channels_at(NOISE_CHANNELS, NOISE_ENTERS, width)
                self.noise_map = VectorMap(NOISE_DIM, noise_channels, NOISE_ENTERS)
                channels += noise_channels
        styled_sides = [side for side in finer_sides if side in STYLED_SIDES]
        if len(styled_sides) < MIN_STYLE_MAPS:
            styled_sides = list(widths)[-MIN_STYLE_MAPS:]
        widths[BOTTLENECK] += style_channels
        self.modulations = nn.ModuleDict(
            {str(side): Multiplication(style_dim, widths[side]) for side in styled_sides}
        )
        self.to_rgb = nn.Conv2d(channels, 6, 3, padding=1, padding_mode=padding)

    def forward(self, image: Tensor, style: Tensor, noise: Noise | None = None) -> Tensor:
        """image (B,3,S,S) float in [-1, 1], style (B,D) -> (B,3,S,S) in [-1, 1].

        noise: None switches it off; zero, its mean, is used in its place. Raises ValueError for other shapes,
        and for noise where the network has no inputs for it.
        """
        self._check(image, style, noise)
        x, skips = image, {}
        for side, down in self.downs.items():
            x = skips[side] = down(x)
        # Tiled, as in the authors' code, not enlarged: the style map may vary between positions, but its left
        # half equals its right half, so that it cannot carry the exemplar's layout.
        x = self.blocks(torch.cat([x, self.style_map(style).repeat(1, 1, 2, 2)], dim=1))
        x = self._apply_style(x, str(BOTTLENECK), style)
        for side, up in self.ups.items():
            x = up(x, None if noise is None else noise.maps[int(side)])
            if side in skips:
                x = x + skips[side]
            x = self._apply_style(x, side, style)
            if self.noise_map is not None and int(side) == NOISE_ENTERS:
                vector = style.new_zeros(style.shape[0], NOISE_DIM) if noise is None else noise.vector
                x = torch.cat([x, self.noise_map(vector)], dim=1)
        colour, mask_logits = self.to_rgb(x).chunk(2, dim=1)
        return image.lerp(
            colour.tanh().to(image.dtype), (mask_logits + FIRST_SHARE).sigmoid().to(image.dtype)
        )

    def _apply_style(self, x: Tensor, side: str, style: Tensor) -> Tensor:
        return self.modulations[side](x, style) if side in self.modulations else x

    def _check(self, image: Tensor, style: Tensor, noise: Noise | None) -> None:
        _check_shape("image", image, (image.shape[0], 3, self.size, self.size))
        _check_shape("style", style, (image.shape[0], self.style_dim))
        if noise is None:
            return
        if not self.noise:
            raise ValueError("noise is given to a refiner that was made without; expected None")
        if tuple(sorted(noise.maps)) != self.noise_sides:
            sides, expected_sides = sorted(noise.maps), list(self.noise_sides)
            raise ValueError(f"noise has maps of sides {sides}, expected {expected_sides}")
        _check_shape("noise.vector", noise.vector, (len(image), NOISE_DIM))
        for side, x in noise.maps.items():
            _check_shape(f"noise.maps[{side}]", x, (len(image), 1, side, side))


class VectorMap(nn.Sequential):
    """A vector (B,D) -> a map (B,channels,side,side): transposed convolution to 4², then `Up`s."""

    def __init__(self, dim: int, channels: int, side: int) -> None:
        layers: list[nn.Module] = [
            nn.Unflatten(1, (dim, 1, 1)),
            nn.ConvTranspose2d(dim, 2 * channels, 4, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.GLU(dim=1),
        ]
        current_side = 4
        while current_side < side:
            layers.append(Up(channels, channels))
            current_side *= 2
        super().__init__(*layers)


class NoisyUp(Up):
    """`Up` with noise added before the GLU, times a factor per channel, initially 0 (Karras et al. 2019)."""

    def __init__(self, channels: int, width: int, noise: bool) -> None:
        super().__init__(channels, width)
        self.noise_scale = nn.Parameter(torch.zeros(1, 2 * width, 1, 1)) if noise else None

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """x (B,C,H,W), noise (B,1,2H,2W) -> (B,width,2H,2W)."""
        x = self.norm(upsample_conv(x, self.weight))
        if noise is not None:
            assert self.noise_scale is not None
            # One call keeps the memory layout of x; a product of these shapes does not. The dtype of x keeps
            # a bfloat16 map from becoming float32.
            x = torch.addcmul(x, self.noise_scale.to(x.dtype), noise.to(x.dtype))
        return F.glu(x, dim=1)


class Discriminator(nn.Module):
    """D: image (B,3,S,S) -> a logit for each of 5×5 overlapping patches; it sees neither sketch nor style.

    Departure: the authors' D has spectral norm and BatchNorm. Ours has neither, and is regularised by the R1
    penalty (sketchforge/losses/adversarial.py). With BatchNorm an image's logits depend on the rest of its
    batch: D can separate batches of real and fake images by their statistics, and the gradient that R1
    penalises is not that of a single image. Spectral norm makes D learn slowly: trained to separate images of
    a trained auto-encoder from their originals at 64², it classifies about 77 of 100 correctly after 150
    batches of 8, and 94 with R1 in its place (accuracy within the last 30 batches).

    size, width: as for Refiner. spectral: normalise the convolutions by their spectral norm (Miyato et al.
    2018), as the authors' D does, but for those of the gates, which begin small. Raises ValueError for other
    values.
    """

    def __init__(self, size: int, width: float, spectral: bool = False) -> None:
        super().__init__()
        _check_sizes(size, width)
        self.size, self.width = size, width
        widths = {side: channels_at(CHANNELS, side, width) for side in CHANNELS if side < size}
        self.downs = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        channels = 3
        for side in reversed(widths):
            self.downs[str(side)] = _initialize_conv(
                nn.Conv2d(channels, widths[side], 4, stride=2, padding=1)
            )
            channels = widths[side]
            if side in GATED and 4 * side in widths:
                self.gates[str(side)] = Excitation(widths[4 * side], channels)
        self.head = nn.Sequential(
            _initialize_conv(nn.Conv2d(channels, channels, 3, padding=1)),
            nn.LeakyReLU(SLOPE),
            _initialize_conv(nn.Conv2d(channels, 1, 4)),
        )
        for module in (*self.downs.values(), *self.head) if spectral else ():
            if isinstance(module, nn.Conv2d):
                nn.utils.parametrizations.spectral_norm(module)

    def forward(self, image: Tensor) -> Tensor:
        """(B,3,S,S) float -> (B,1,5,5) logits. Raises ValueError for other shapes."""
        _check_shape("image", image, (image.shape[0], 3, self.size, self.size))
        x, maps = image, dict[int, Tensor]()
        for name, down in self.downs.items():
            side = int(name)
            x = F.leaky_relu(down(x), SLOPE)
            if name in self.gates:
                x = self.gates[name](x, maps[4 * side])
            maps[side] = x
        return self.head(x)


class Excitation(nn.Module):
    """A coarse map's channels times factors in (0, 2) that a finer map determines.

    Skip-layer excitation (Liu et al. 2021) from fine to coarse. The factors are near 1 at first, so that the
    coarse map passes unchanged.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        middle = max(width // 4, 1)
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            _initialize_conv(nn.Conv2d(channels, middle, 4)),
            nn.LeakyReLU(SLOPE),
            _initialize_conv(nn.Conv2d(middle, width, 1), FIRST_GATES),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        """x (B,width,h,w), finer (B,channels,H,W) -> (B,width,h,w)."""
        return x * (2 * self.factors(finer))


def _initialize_conv(conv: nn.Conv2d, factor: float = 1.0) -> nn.Conv2d:
    """Initialise weights to keep the signal's scale through LeakyReLUs (He et al. 2015), times `factor`."""
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    with torch.no_grad():
        conv.weight *= factor
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _check_sizes(size: int, width: float) -> None:
    if size not in SIZES:
        raise ValueError(f"size is {size}, expected one of {', '.join(map(str, SIZES))}")
    if width <= 0:
        raise ValueError(f"width is {width}, expected a factor above 0")


def _check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        actual, expected = (",".join(map(str, sizes)) for sizes in (tensor.shape, shape))
        raise ValueError(f"{name} is ({actual}), expected ({expected})")
