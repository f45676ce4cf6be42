"""TOM's generators for inference: the same sketches from less work.

Normalisations that only training needs are folded into the weights, and what N generators share is computed
once. The sketches equal those of the generators up to rounding: 1e-5 of the range from paper to ink. In
bfloat16 they differ by half of one of 255 levels on average, which turns 2 of 1,000 pixels from ink to paper
or back.

Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.tom import CONTRAST_FLOOR, LeanGenerator, PaperGenerator, TomGenerator
from sketchforge.models.upsample_conv import PolyphaseConv, pad, repeat_padding, unpad

# The finest stage computes this many pixels at a time: larger maps exceed the processor's caches, and their
# memory is requested from the system anew each time.
TILE_PIXELS = 512 * 512


def for_inference(
    generator: TomGenerator, precision: torch.dtype = torch.float32
) -> LeanInference | PaperInference:
    """Copy a generator in eval mode for inference in `precision`; later changes of it have no effect."""
    if isinstance(generator, LeanGenerator):
        return LeanInference(generator, precision)
    return PaperInference(generator, precision)


class LeanInference:
    """`LeanGenerator` with each stage's convolution split: of the tap, and of the coarser map before ×2."""

    def __init__(self, generator: LeanGenerator, precision: torch.dtype) -> None:
        self.taps = generator.taps
        self.stages: list[tuple[Tensor, Tensor, PolyphaseConv | None]] = []
        channels = 0
        for stage in generator.stages:
            assert isinstance(stage, nn.Conv2d) and stage.bias is not None
            weight = stage.weight.detach().to(precision)
            coarser = PolyphaseConv(weight[:, :channels]) if channels else None
            self.stages.append(
                (_to_channels_last(weight[:, channels:]), stage.bias.detach().to(precision), coarser)
            )
            channels = weight.shape[0]
        last = generator.to_sketch
        assert last.bias is not None
        self.last = last.weight.detach().to(precision), last.bias.detach().to(precision)

    @staticmethod
    def prepare(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As `LeanGenerator.prepare`, padded by two pixels; computed once for N generators."""
        prepared = {}
        for tap, x in features.items():
            values = x.float()  # bfloat16 is too coarse for statistics
            centred = values - values.mean(dim=(2, 3), keepdim=True)
            variance = centred.square().sum(dim=(2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
            prepared[tap] = pad(centred.mul_((variance + CONTRAST_FLOOR).rsqrt()).to(x.dtype), 2)
        return prepared

    def __call__(self, prepared: Mapping[str, Tensor]) -> Tensor:
        """{tap: (B,C,h+4,w+4)}, prepared -> (B,1,H,W) in [-1, 1], 1 = paper, -1 = ink."""
        x = None
        for tap, stage in zip(self.taps[:-1], self.stages[:-1], strict=True):
            x = repeat_padding(self._apply_stage(stage, prepared[tap], x))
        finest = prepared[self.taps[-1]]
        height, width = finest.shape[2] - 4, finest.shape[3] - 4
        if x is None or len(finest) > 1 or (height, width) != (2 * x.shape[2] - 4, 2 * x.shape[3] - 4):
            y = repeat_padding(self._apply_stage(self.stages[-1], finest, x))
            return one_channel_convolution(y, *self.last).tanh_()
        rows = max(2, TILE_PIXELS // width // 2 * 2)
        tiles = [
            self._draw_row_tile(finest, x, top, min(top + rows, height), height)
            for top in range(0, height, rows)
        ]
        return torch.cat(tiles, dim=2).tanh_()

    def _draw_row_tile(self, finest: Tensor, x: Tensor, top: int, end: int, height: int) -> Tensor:
        """Draw rows top .. end - 1 of the sketch, without tanh, from the rows of the maps that they need.

        `top` and `end` are even.
        """
        y = self._apply_stage(self.stages[-1], finest[:, :, top : end + 4], x[:, :, top // 2 : end // 2 + 2])
        # Between tiles the rows of the padding are the neighbouring rows of the map.
        return one_channel_convolution(repeat_padding(y, first=top == 0, last=end == height), *self.last)

    @staticmethod
    def _apply_stage(
        stage: tuple[Tensor, Tensor, PolyphaseConv | None], tap_map: Tensor, x: Tensor | None
    ) -> Tensor:
        weight, bias, coarser = stage
        y = F.conv2d(tap_map, weight, bias)
        return F.leaky_relu_(y if coarser is None or x is None else coarser.add_to(y, x), 0.1)


class PaperInference:
    """`PaperGenerator`, spectral and batch norm folded into the convolutions."""

    def __init__(self, generator: PaperGenerator, precision: torch.dtype) -> None:
        (self.tap,) = generator.taps
        self.stages: list[tuple[PolyphaseConv, Tensor]] = []
        *stages, last, _ = generator.layers
        for _, conv, norm, _ in zip(*[iter(stages)] * 4, strict=True):
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None and isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None and norm.running_var is not None
            scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
            bias = scale * (conv.bias.detach() - norm.running_mean) + norm.bias.detach()
            weight = (conv.weight.detach() * scale[:, None, None, None]).to(precision)
            self.stages.append((PolyphaseConv(weight), bias[None, :, None, None].to(precision)))
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        self.last = last.weight.detach().to(precision), last.bias.detach().to(precision)

    @staticmethod
    def prepare(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The features padded by one pixel."""
        return {tap: pad(x) for tap, x in features.items()}

    def __call__(self, prepared: Mapping[str, Tensor]) -> Tensor:
        """{"pool3": (B,C,H/8+2,W/8+2)}, prepared -> (B,1,H,W) in [-1, 1]; H and W are multiples of 8."""
        x = prepared[self.tap]
        for convolution, bias in self.stages:
            size = len(x), bias.shape[1], 2 * x.shape[2] - 2, 2 * x.shape[3] - 2
            y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last).copy_(
                bias
            )
            x = repeat_padding(F.leaky_relu_(convolution.add_to(y, x), 0.01))
        reflected = F.pad(unpad(x), (1, 1, 1, 1), mode="reflect")
        return one_channel_convolution(reflected, *self.last).tanh_()


def _to_channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def one_channel_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution to a single channel: (B,C,H+2,W+2), weight (1,C,3,3), bias (1) -> (B,1,H,W).

    One matrix product gives nine maps, one for each position in the kernel, which are shifted by that
    position and summed. A convolution with so few outputs leaves most of a processor's lanes empty, and takes
    four times as long.
    """
    height, width = x.shape[2] - 2, x.shape[3] - 2
    kernel = weight[0].permute(1, 2, 0).flatten(0, 1)  # (9,C)
    maps = torch.matmul(kernel, x.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2)).unflatten(2, x.shape[2:])
    result = maps[:, 0, :height, :width] + bias
    for position in range(1, 9):
        row, column = divmod(position, 3)
        result += maps[:, position, row : row + height, column : column + width]
    return result[:, None]
