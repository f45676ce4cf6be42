"""The trained networks in the form that ONNX takes: tensors in, one tensor out, nothing else.

Shape letters: B batch, N snapshots, C channels, H, W height and width of the image, S side of the model's images.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sketchforge.checkpoints.synthesizer import StoredModel
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.models.encoder import Encoder
from sketchforge.models.tom import LeanGenerator, TomGenerator
from sketchforge.sketchers.tom import STRIDE


class GreysNetwork(nn.Module):
    """Encoder and N generators of TOM: image -> N grey sketches, as `TomSketcher` draws them.

    encoder: frozen. generators: one or more, in eval mode, with taps of that encoder.
    """

    def __init__(self, encoder: Encoder, generators: Sequence[TomGenerator]) -> None:
        super().__init__()
        self.encoder = encoder
        self.generators = _join_generators(generators)
        self.prepare = generators[0].prepare
        self.taps = sorted({tap for generator in generators for tap in generator.taps})

    def forward(self, image: Tensor) -> Tensor:
        """(B,3,H,W) float in [-1, 1], of any size from 16 x 16 -> (B,N,H,W) in [0, 1], 1 = paper."""
        height, width = image.shape[2:]
        # The last rows and columns repeated, as `extend_sides` has it.
        rows, columns = (
            torch.arange((side + STRIDE - 1) // STRIDE * STRIDE).clamp(max=side - 1)
            for side in (height, width)
        )
        features = self.encoder(image[:, :, rows][:, :, :, columns], self.taps)
        sketches = self.generators(self.prepare(features))
        return ((sketches + 1) / 2).clamp(0, 1)[:, :, :height, :width]


class ImageNetwork(nn.Module):
    """Auto-encoder, Style2Paints or SEGIN, and the refiner where there is one: sketch, style image -> image."""

    def __init__(self, stored: StoredModel) -> None:
        super().__init__()
        self.autoencoder, self.refiner = stored.autoencoder, stored.refiner

    def forward(self, sketch: Tensor, style: Tensor) -> Tensor:
        """(B,1,S,S), 1 = paper, and (B,3,S,S), float in [-1, 1] -> (B,3,S,S) in [-1, 1], without noise."""
        model = self.autoencoder
        if self.refiner is None:
            return model(sketch, style)
        assert isinstance(model, AutoEncoder)  # which alone is refined
        vector = model.encode_style(style)
        return self.refiner(model.decode(model.encode_content(sketch), vector), vector)


def _join_generators(generators: Sequence[TomGenerator]) -> nn.Module:
    lean = [generator for generator in generators if isinstance(generator, LeanGenerator)]
    settings = {(generator.taps, generator.tap_channels, generator.widths) for generator in lean}
    if len(lean) == len(generators) and len(settings) == 1:
        return _LeanStack(lean)
    return _Apart(generators)


class _LeanStack(nn.Module):
    """N `LeanGenerator`s of one shape as one network of N groups of channels.

    Ten generators side by side take many times as long to convert, and longer in onnxruntime.
    """

    def __init__(self, generators: Sequence[LeanGenerator]) -> None:
        super().__init__()
        first = generators[0]
        self.taps, self.groups = first.taps, len(generators)
        self.of_taps, self.of_coarser = nn.ModuleList(), nn.ModuleList()
        channels = 0
        for stages in zip(*(generator.stages for generator in generators), strict=True):
            convolutions = [stage for stage in stages if isinstance(stage, nn.Conv2d)]
            self.of_taps.append(_join_convolutions(convolutions, slice(channels, None), groups=1))
            if channels:
                self.of_coarser.append(
                    _join_convolutions(convolutions, slice(channels), self.groups, bias=False)
                )
            channels = convolutions[0].out_channels
        last = [generator.to_sketch for generator in generators]
        self.to_sketches = _join_convolutions(last, slice(None), self.groups)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """As `LeanGenerator`, with N channels in the result; every tap has twice the size of the one before."""
        x = None
        for number, (tap, of_tap) in enumerate(zip(self.taps, self.of_taps, strict=True)):
            y = of_tap(_pad(features[tap]))
            if x is not None:
                larger = F.interpolate(x, scale_factor=2.0, mode="nearest")
                y = y + self.of_coarser[number - 1](_pad(larger))
            x = F.leaky_relu(y, 0.1)
        assert x is not None  # there is a tap
        return torch.tanh(self.to_sketches(_pad(x)))


class _Apart(nn.Module):
    """Generators of any kind, side by side, without what only training needs."""

    def __init__(self, generators: Sequence[TomGenerator]) -> None:
        super().__init__()
        self.generators = nn.ModuleList(copy.deepcopy(list(generators)))
        for module in self.generators.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([generator(features) for generator in self.generators], dim=1)


def _join_convolutions(
    convolutions: Sequence[nn.Conv2d], inputs: slice, groups: int, bias: bool = True
) -> nn.Conv2d:
    """One 3x3 convolution that has the outputs of all, of these input channels of each; its padding is the caller's."""
    weight = torch.cat([convolution.weight[:, inputs] for convolution in convolutions]).detach()
    joined = nn.Conv2d(groups * weight.shape[1], len(weight), 3, groups=groups, bias=bias)
    joined.weight = nn.Parameter(weight, requires_grad=False)
    if bias:
        biases = [convolution.bias for convolution in convolutions if convolution.bias is not None]
        joined.bias = nn.Parameter(torch.cat(biases).detach(), requires_grad=False)
    return joined


def _pad(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="replicate")
