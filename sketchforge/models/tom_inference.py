"""TOM's generators made ready for drawing: the same sketches from less work.

What only training needs is folded away, what would be repeated is computed once. The sketches are those of the
generators up to rounding: 1e-5 of the range from paper to ink. In bfloat16 they differ by half of one of 255 levels on
average, which turns 2 of 1,000 pixels from ink to paper or back.

Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.tom import CONTRAST_FLOOR, LeanGenerator, PaperGenerator

# Of the finest stage, so many at a time: larger maps leave the caches, and are fetched from the system anew each time.
STRIP_PIXELS = 512 * 512


def ready_to_draw(generator: nn.Module, precision: torch.dtype = torch.float32) -> LeanDrawing | PaperDrawing:
    """A generator as it draws in eval mode, in `precision`; later changes of its weights do not show."""
    kind = LeanDrawing if isinstance(generator, LeanGenerator) else PaperDrawing
    return kind(generator, precision)


class LeanDrawing:
    """`LeanGenerator`, each stage's convolution parted: of the encoder's tap, and of the coarser map before ×2."""

    def __init__(self, generator: LeanGenerator, precision: torch.dtype) -> None:
        self.taps = generator.taps
        self.stages: list[tuple[Tensor, Tensor, UpsampledConvolution | None]] = []
        channels = 0
        for stage in generator.stages:
            weight = stage.weight.detach().to(precision)
            coarser = UpsampledConvolution(weight[:, :channels]) if channels else None
            self.stages.append(
                (_channels_last(weight[:, channels:]), stage.bias.detach().to(precision), coarser)
            )
            channels = weight.shape[0]
        self.last = tuple(
            x.detach().to(precision) for x in (generator.to_sketch.weight, generator.to_sketch.bias)
        )

    @staticmethod
    def prepare(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As `LeanGenerator.prepare`, with a border of two pixels; done once for N generators."""
        prepared = {}
        for tap, x in features.items():
            values = x.float()  # statistics are too much for bfloat16
            centred = values - values.mean(dim=(2, 3), keepdim=True)
            variance = centred.square().sum(dim=(2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
            prepared[tap] = bordered(centred.mul_((variance + CONTRAST_FLOOR).rsqrt()).to(x.dtype), 2)
        return prepared

    def __call__(self, prepared: Mapping[str, Tensor]) -> Tensor:
        """{tap: (B,C,h+4,w+4)}, prepared -> (B,1,H,W) in [-1, 1], 1 = paper, -1 = ink."""
        x = None
        for tap, stage in zip(self.taps[:-1], self.stages[:-1], strict=True):
            x = repeat_border(self._stage(stage, prepared[tap], x))
        finest = prepared[self.taps[-1]]
        height, width = finest.shape[2] - 4, finest.shape[3] - 4
        if x is None or len(finest) > 1 or (height, width) != (2 * x.shape[2] - 4, 2 * x.shape[3] - 4):
            y = repeat_border(self._stage(self.stages[-1], finest, x))
            return one_channel_convolution(y, *self.last).tanh_()
        rows = max(2, STRIP_PIXELS // width // 2 * 2)
        strips = [
            self._strip(finest, x, top, min(top + rows, height), height) for top in range(0, height, rows)
        ]
        return torch.cat(strips, dim=2).tanh_()

    def _strip(self, finest: Tensor, x: Tensor, top: int, end: int, height: int) -> Tensor:
        """Rows top .. end - 1 of the sketch before tanh, both even, from as much of the maps as they see."""
        y = self._stage(self.stages[-1], finest[:, :, top : end + 4], x[:, :, top // 2 : end // 2 + 2])
        # Within the map the border's rows are the neighbours.
        return one_channel_convolution(repeat_border(y, first=top == 0, last=end == height), *self.last)

    @staticmethod
    def _stage(
        stage: tuple[Tensor, Tensor, UpsampledConvolution | None], tapped: Tensor, x: Tensor | None
    ) -> Tensor:
        weight, bias, coarser = stage
        y = F.conv2d(tapped, weight, bias)
        return F.leaky_relu_(y if coarser is None else coarser.add_to(y, x), 0.1)


class PaperDrawing:
    """`PaperGenerator`, spectral and batch norm folded into the convolutions."""

    def __init__(self, generator: PaperGenerator, precision: torch.dtype) -> None:
        (self.tap,) = generator.taps
        self.stages: list[tuple[UpsampledConvolution, Tensor]] = []
        *stages, last, _ = generator.layers
        for _, conv, norm, _ in zip(*[iter(stages)] * 4, strict=True):
            scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
            bias = scale * (conv.bias.detach() - norm.running_mean) + norm.bias.detach()
            weight = (conv.weight.detach() * scale[:, None, None, None]).to(precision)
            self.stages.append((UpsampledConvolution(weight), bias[None, :, None, None].to(precision)))
        self.last = last.weight.detach().to(precision), last.bias.detach().to(precision)

    @staticmethod
    def prepare(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As they are, with a border of one pixel."""
        return {tap: bordered(x) for tap, x in features.items()}

    def __call__(self, prepared: Mapping[str, Tensor]) -> Tensor:
        """{"pool3": (B,C,H/8+2,W/8+2)}, prepared -> (B,1,H,W) in [-1, 1]; H and W are multiples of 8."""
        x = prepared[self.tap]
        for convolution, bias in self.stages:
            size = len(x), bias.shape[1], 2 * x.shape[2] - 2, 2 * x.shape[3] - 2
            y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last).copy_(
                bias
            )
            x = repeat_border(F.leaky_relu_(convolution.add_to(y, x), 0.01))
        reflected = F.pad(without_border(x), (1, 1, 1, 1), mode="reflect")
        return one_channel_convolution(reflected, *self.last).tanh_()


def _channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


# A 3x3 convolution of a map enlarged by repetition, without enlarging it.
#
# After nearest-neighbour ×2 the three rows that a kernel sees are two rows of the small map, one of them twice. So each
# of the four phases of the result (even or odd row, even or odd column) is a 2x2 convolution of the small map: 4/9 of
# the multiplications, and no large map in between. Equal up to rounding.
#
# Maps have a border: one pixel all around, which repeats the outermost ones, so that no convolution needs a copy of
# its input with a border put on.
#
# Shape letters: B batch, C channels in, D channels out, H, W height and width of the small map without its border,
# h, w those of the result.


class UpsampledConvolution:
    """3x3 convolution of a map brought to another size by nearest neighbour, borders repeated.

    At twice the size this holds for reflected borders, too: the last two rows of the large map are equal.
    """

    def __init__(self, weight: Tensor) -> None:
        """weight: (D,C,3,3)."""
        self.weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.phases = phase_weight(self.weight)

    def add_to(self, result: Tensor, small: Tensor) -> Tensor:
        """result (B,D,h+2,w+2), changed in place, += the convolution of small (B,C,H+2,W+2) at size h, w.

        What comes to lie in the border of the result has no meaning; see `repeat_border`.
        """
        height, width, channels = small.shape[2] - 2, small.shape[3] - 2, result.shape[1]
        size = result.shape[2] - 2, result.shape[3] - 2
        if size != (2 * height, 2 * width):
            large = F.interpolate(without_border(small), size=size, mode="nearest")
            return result.add_(F.conv2d(bordered(large, 2), self.weight))
        # The window over rows i-1 and i of the small map makes row 2i-1, by the odd kernels, and row 2i: with the
        # border these two are one pair of rows of the result, and so are its columns.
        found = F.conv2d(small, self.phases).permute(0, 2, 3, 1)
        pairs = found.unflatten(3, (2, 2 * channels)).transpose(2, 3)
        pixels = result.permute(0, 2, 3, 1)
        pixels.view(len(result), height + 1, 2, width + 1, 2 * channels).add_(pairs)
        return result


def phase_weight(weight: Tensor) -> Tensor:
    """(D,C,3,3) -> (4D,C,2,2): kernels of the phases (odd, odd), (odd, even), (even, odd), (even, even)."""
    kernels = [_halved(_halved(weight, 2, row), 3, column) for row in (1, 0) for column in (1, 0)]
    return torch.cat(kernels).contiguous(memory_format=torch.channels_last)


def _halved(weight: Tensor, dim: int, phase: int) -> Tensor:
    """Three taps along `dim` -> two: an even row sees the row above it once and its own twice."""
    first, middle, last = weight.unbind(dim)
    return torch.stack([first, middle + last] if phase == 0 else [first + middle, last], dim)


def bordered(x: Tensor, width: int = 1) -> Tensor:
    """(B,C,H,W) -> (B,C,H+2·width,W+2·width), the outermost pixels repeated; channels last."""
    return F.pad(x, (width,) * 4, mode="replicate").contiguous(memory_format=torch.channels_last)


def without_border(x: Tensor) -> Tensor:
    """(B,C,H+2,W+2) -> (B,C,H,W), a view."""
    return x[:, :, 1:-1, 1:-1]


def repeat_border(x: Tensor, first: bool = True, last: bool = True) -> Tensor:
    """Put the outermost pixels of the map into its border, in place; first, last: into the border's rows, too."""
    if first:
        x[:, :, 0] = x[:, :, 1]
    if last:
        x[:, :, -1] = x[:, :, -2]
    x[:, :, :, 0] = x[:, :, :, 1]
    x[:, :, :, -1] = x[:, :, :, -2]
    return x


def one_channel_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution to a single channel: (B,C,H+2,W+2), weight (1,C,3,3), bias (1) -> (B,1,H,W).

    As nine maps, one for each place of the kernel, made by one matrix product and added with the shift of that place:
    convolutions with so few results leave most of a processor's lanes empty, and take four times as long.
    """
    height, width = x.shape[2] - 2, x.shape[3] - 2
    places = weight[0].permute(1, 2, 0).flatten(0, 1)  # (9,C)
    maps = torch.matmul(places, x.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2)).unflatten(2, x.shape[2:])
    result = maps[:, 0, :height, :width] + bias
    for place in range(1, 9):
        row, column = divmod(place, 3)
        result += maps[:, place, row : row + height, column : column + width]
    return result[:, None]
