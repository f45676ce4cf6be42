"""Stage 2 (paper section 4.2, appendix A.4): G2, which refines the auto-encoder's images, and D.

Shape letters: B batch, C channels, S side of the image, D length of the style vector.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.autoencoder import MIN_STYLE_MAPS, SIZES, STYLE_FROM, channels_at
from sketchforge.models.layers import SLOPE, Down, ResidualBlock, Up
from sketchforge.models.modulation import Multiplication
from sketchforge.models.noise import NOISE_DIM, Noise
from sketchforge.models.upsample_conv import upsample_conv

BOTTLENECK = 16  # side of G2's coarsest map
NOISE_ENTERS = 32  # side of the map that the noise vector joins
COARSEST = 8  # side of D's last map
GATED = (32, 16, 8)  # sides of D's maps that finer ones gate

# Channels by side of the map, at width 1; G2's two halves have the same, so that skips are sums.
CHANNELS = {8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
STYLE_CHANNELS = {BOTTLENECK: 256}
NOISE_CHANNELS = {NOISE_ENTERS: 64}

# Share of G2's own colours in its first images is the sigmoid of this: an eighth.
FIRST_SHARE = -2.0

FIRST_GATES = 0.1  # factor of the weights that decide on D's gates at first


class Refiner(nn.Module):
    """G2: the auto-encoder's image and f_style -> an image with the detail that squared errors leave out.

    size: side of the images in pixels, a power of two in 64..1024. width: factor of all channels.
    style_dim: length of f_style. noise: whether there is a way in for noise at all.
    noise_sides: of the maps that `draw_noise` is to draw, none without noise.
    Raises ValueError for other values.

    Departure: the authors' G2 paints the whole image anew. Ours gives, for every pixel and channel, a
    colour and a share p of it, and the image is (1 − p)·image + p·colour. So it begins near the image, and
    what is right in it need not be learnt again through a map of 16² (64², 150 steps on 35 images: a mean
    squared error of .050 on others, where painting anew has .068 and the auto-encoder's own images .052).
    A share keeps within [-1, 1] without a bound beyond which nothing is learnt.

    Departure: no spectral norm, which the authors' G2 has. BatchNorm follows each of its convolutions and
    divides by whatever scale they have, so that it changes no image. But it breaks a moving average of the
    weights: its vectors, averaged, are shorter than 1, and the averaged weights came out with a norm of 1.2.
    """

    def __init__(self, size: int, width: float, style_dim: int, noise: bool = True) -> None:
        super().__init__()
        _check_sizes(size, width)
        self.size, self.width, self.style_dim, self.noise = size, width, style_dim, noise
        widths = {side: channels_at(CHANNELS, side, width) for side in CHANNELS if BOTTLENECK <= side <= size}
        finer = [side for side in widths if side > BOTTLENECK]
        self.noise_sides = tuple(finer) if noise else ()
        self.downs = nn.ModuleDict()
        channels = 3
        for side in reversed(list(widths)[:-1]):
            self.downs[str(side)] = Down(channels, widths[side])
            channels = widths[side]
        style_channels = channels_at(STYLE_CHANNELS, BOTTLENECK, width)
        self.style_map = VectorMap(style_dim, style_channels, BOTTLENECK // 2)
        channels += style_channels
        self.blocks = nn.Sequential(ResidualBlock(channels), ResidualBlock(channels))
        self.noise_map = None
        self.ups = nn.ModuleDict()
        for side in finer:
            self.ups[str(side)] = NoisyUp(channels, widths[side], noise)
            channels = widths[side]
            if noise and side == NOISE_ENTERS:
                noise_channels = channels_at(NOISE_CHANNELS, NOISE_ENTERS, width)
                self.noise_map = VectorMap(NOISE_DIM, noise_channels, NOISE_ENTERS)
                channels += noise_channels
        styled = [side for side in finer if side >= STYLE_FROM]
        if len(styled) < MIN_STYLE_MAPS:
            styled = list(widths)[-MIN_STYLE_MAPS:]
        widths[BOTTLENECK] += style_channels
        self.modulations = nn.ModuleDict(
            {str(side): Multiplication(style_dim, widths[side]) for side in styled}
        )
        self.to_rgb = nn.Conv2d(channels, 6, 3, padding=1)

    def forward(self, image: Tensor, style: Tensor, noise: Noise | None = None) -> Tensor:
        """image (B,3,S,S) float in [-1, 1], style (B,D) -> (B,3,S,S) in [-1, 1].

        noise: None switches it off: the mean of all noise, zero, takes its place. Raises ValueError for other
        shapes, and for noise where there is no way in.
        """
        self._check(image, style, noise)
        x, skips = image, {}
        for side, down in self.downs.items():
            x = skips[side] = down(x)
        # Tiled, as in the authors' code, not enlarged: style may vary from place to place, but what it says
        # of the left half of an image it says of the right half, too, so that the exemplar's layout stays
        # behind.
        x = self.blocks(torch.cat([x, self.style_map(style).repeat(1, 1, 2, 2)], dim=1))
        x = self._styled(x, str(BOTTLENECK), style)
        for side, up in self.ups.items():
            x = up(x, None if noise is None else noise.maps[int(side)])
            if side in skips:
                x = x + skips[side]
            x = self._styled(x, side, style)
            if self.noise_map is not None and int(side) == NOISE_ENTERS:
                vector = style.new_zeros(len(style), NOISE_DIM) if noise is None else noise.vector
                x = torch.cat([x, self.noise_map(vector)], dim=1)
        colour, share = self.to_rgb(x).chunk(2, dim=1)
        return image.lerp(colour.tanh().to(image.dtype), (share + FIRST_SHARE).sigmoid().to(image.dtype))

    def _styled(self, x: Tensor, side: str, style: Tensor) -> Tensor:
        return self.modulations[side](x, style) if side in self.modulations else x

    def _check(self, image: Tensor, style: Tensor, noise: Noise | None) -> None:
        _check_shape("image", image, (len(image), 3, self.size, self.size))
        _check_shape("style", style, (len(image), self.style_dim))
        if noise is None:
            return
        if not self.noise:
            raise ValueError("noise is given to a refiner that was made without; expected None")
        if tuple(sorted(noise.maps)) != self.noise_sides:
            found, expected = sorted(noise.maps), list(self.noise_sides)
            raise ValueError(f"noise has maps of sides {found}, expected {expected}")
        _check_shape("noise.vector", noise.vector, (len(image), NOISE_DIM))
        for side, x in noise.maps.items():
            _check_shape(f"noise.maps[{side}]", x, (len(image), 1, side, side))


class VectorMap(nn.Sequential):
    """A vector (B,D) spread out to a map (B,channels,side,side): transposed convolution to 4², then ups."""

    def __init__(self, dim: int, channels: int, side: int) -> None:
        layers: list[nn.Module] = [
            nn.Unflatten(1, (dim, 1, 1)),
            nn.ConvTranspose2d(dim, 2 * channels, 4, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.GLU(dim=1),
        ]
        reached = 4
        while reached < side:
            layers.append(Up(channels, channels))
            reached *= 2
        super().__init__(*layers)


class NoisyUp(Up):
    """`Up` with noise before the GLU, times a factor per channel that begins at 0 (Karras et al. 2019)."""

    def __init__(self, channels: int, width: int, noise: bool) -> None:
        super().__init__(channels, width)
        self.noise_scale = nn.Parameter(torch.zeros(1, 2 * width, 1, 1)) if noise else None

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """x (B,C,H,W), noise (B,1,2H,2W) -> (B,width,2H,2W)."""
        x = self.norm(upsample_conv(x, self.weight))
        if noise is not None:
            # In one call, which keeps the layout of x, as a product of these shapes does not; in the dtype of
            # x, or a bfloat16 map would go on in float32.
            x = torch.addcmul(x, self.noise_scale.to(x.dtype), noise.to(x.dtype))
        return F.glu(x, dim=1)


class Discriminator(nn.Module):
    """D: image (B,3,S,S) -> a logit for each of 5×5 overlapping patches; it sees neither sketch nor style.

    Departure: the authors' D has spectral norm and BatchNorm, ours has neither, but the R1 penalty
    (sketchforge/losses/adversarial.py) to keep it smooth. With BatchNorm an image's logits depend on the others in its
    batch: batches of real and of made images are told apart by their statistics, and the gradient that R1
    penalises is not an image's own. Spectral norm makes it slow: told to tell images of a trained
    auto-encoder from their originals at 64², it is right about 77 of 100 after 150 batches of 8, and 94 with
    R1 in its place (accuracy within the last 30 of them).

    size, width: as for Refiner. Raises ValueError for other values.
    """

    def __init__(self, size: int, width: float) -> None:
        super().__init__()
        _check_sizes(size, width)
        self.size, self.width = size, width
        widths = {side: channels_at(CHANNELS, side, width) for side in CHANNELS if side < size}
        self.downs = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        channels = 3
        for side in reversed(widths):
            self.downs[str(side)] = _fresh(nn.Conv2d(channels, widths[side], 4, stride=2, padding=1))
            channels = widths[side]
            if side in GATED and 4 * side in widths:
                self.gates[str(side)] = Excitation(widths[4 * side], channels)
        self.head = nn.Sequential(
            _fresh(nn.Conv2d(channels, channels, 3, padding=1)),
            nn.LeakyReLU(SLOPE),
            _fresh(nn.Conv2d(channels, 1, 4)),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B,3,S,S) float -> (B,1,5,5) logits. Raises ValueError for other shapes."""
        _check_shape("image", image, (len(image), 3, self.size, self.size))
        x, maps = image, {}
        for name, down in self.downs.items():
            side = int(name)
            x = F.leaky_relu(down(x), SLOPE)
            if name in self.gates:
                x = self.gates[name](x, maps[4 * side])
            maps[side] = x
        return self.head(x)


class Excitation(nn.Module):
    """A coarse map's channels times factors in (0, 2) that a finer map decides on.

    Skip-layer excitation (Liu et al. 2021) from fine to coarse, with factors that begin near 1, so that
    nothing is lost at first.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        middle = max(width // 4, 1)
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            _fresh(nn.Conv2d(channels, middle, 4)),
            nn.LeakyReLU(SLOPE),
            _fresh(nn.Conv2d(middle, width, 1), FIRST_GATES),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        """x (B,width,h,w), finer (B,channels,H,W) -> (B,width,h,w)."""
        return x * (2 * self.factors(finer))


def _fresh(conv: nn.Conv2d, factor: float = 1.0) -> nn.Conv2d:
    """First weights that keep the signal's size through LeakyReLUs (He et al. 2015), times a factor; no bias."""
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    with torch.no_grad():
        conv.weight *= factor
    nn.init.zeros_(conv.bias)
    return conv


def _check_sizes(size: int, width: float) -> None:
    if size not in SIZES:
        raise ValueError(f"size is {size}, expected one of {', '.join(map(str, SIZES))}")
    if width <= 0:
        raise ValueError(f"width is {width}, expected a factor above 0")


def _check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        found, expected = (",".join(map(str, sizes)) for sizes in (tensor.shape, shape))
        raise ValueError(f"{name} is ({found}), expected ({expected})")
