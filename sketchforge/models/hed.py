"""HED, holistically-nested edge detection (Xie & Tu, ICCV 2015), in the two geometries that its weights have.

Five stages of VGG16, each with a 1x1 side output enlarged to the image's size, and a 1x1 fusion of the five.
Layers have the names of the authors' deploy network, so a key of the state dict names its layer there.

* "cropped", the authors' Caffe network: the image is padded by 35, side outputs are enlarged by fixed
  deconvolutions, and the image's place is cut out of them;
* "resized", as later trainings have it: every convolution is padded by 1, side outputs are resized bilinearly.

Weights draw well only in the geometry that they were trained in: those of the second score F .64 in place of
.77 on BSDS500 val in the first.
Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.encoder import VGG16_BLOCKS

MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
FUSION = "new-score-weighting"
GEOMETRIES = ("cropped", "resized")

# conv1_1 is padded by 35, so that even the smallest image leaves the deepest stage a map. An unpadded 3x3
# convolution removes one pixel on each side: pixel x of the image is pixel x + 34 of stage 1.
_PADDING = 35
_SHIFT = _PADDING - 1


class HED(nn.Module):
    """Edge probabilities.

    widths: output channels of every 3x3 convolution, by stage, as in VGG16. geometry: one of GEOMETRIES.
    """

    mean: Tensor

    def __init__(self, widths: Sequence[Sequence[int]] = VGG16_BLOCKS, geometry: str = GEOMETRIES[0]) -> None:
        super().__init__()
        self.geometry = geometry
        self.stages = tuple(
            tuple(f"conv{s}_{i}" for i in range(1, len(stage) + 1)) for s, stage in enumerate(widths, start=1)
        )
        channels = 3
        for names, stage in zip(self.stages, widths, strict=True):
            for name, width in zip(names, stage, strict=True):
                padding = _PADDING if name == "conv1_1" and geometry == "cropped" else 1
                self.add_module(name, nn.Conv2d(channels, width, 3, padding=padding))
                channels = width
        for s, stage in enumerate(widths, start=1):
            self.add_module(f"score-dsn{s}", nn.Conv2d(stage[-1], 1, 1))
        self.add_module(FUSION, nn.Conv2d(len(widths), 1, 1))
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        for s in range(1, len(widths)):
            self.register_buffer(f"bilinear{2**s}", bilinear_kernel(2**s), persistent=False)

    @staticmethod
    def arguments_for(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """The constructor's arguments for weights of these shapes (by state-dict key)."""
        return {
            "widths": [
                [shapes[f"conv{s}_{i}.weight"][0] for i in range(1, len(stage) + 1)]
                for s, stage in enumerate(VGG16_BLOCKS, start=1)
            ]
        }

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B,3,H,W) RGB in [-1, 1], any size -> (B,1,H,W) in [0, 1], the fused side outputs."""
        height, width = images.shape[-2:]
        x = (images.flip(1) + 1) * 127.5 - self.mean
        side_outputs = []
        for s, names in enumerate(self.stages):
            if s > 0:
                # Sizes are rounded up, as in Caffe: an odd last row or column is pooled with itself.
                x = F.max_pool2d(x, 2, ceil_mode=True)
            for name in names:
                x = F.relu(self.get_submodule(name)(x))
            side_output = self.get_submodule(f"score-dsn{s + 1}")(x)
            side_outputs.append(self._enlarge(side_output, s, height, width))
        return self.get_submodule(FUSION)(torch.cat(side_outputs, 1)).sigmoid()

    def _enlarge(self, side_output: Tensor, s: int, height: int, width: int) -> Tensor:
        """(B,1,h,w), the output of stage s from 0 -> (B,1,height,width), the image's place in it."""
        if self.geometry == "resized":
            return F.interpolate(side_output, (height, width), mode="bilinear", align_corners=False)
        if s > 0:
            side_output = F.conv_transpose2d(side_output, self.get_buffer(f"bilinear{2**s}"), stride=2**s)
        offset = crop_offset(2**s)
        return side_output[..., offset : offset + height, offset : offset + width]


def bilinear_kernel(stride: int) -> Tensor:
    """(1,1,2s,2s): the fixed weights with which a deconvolution of stride s interpolates bilinearly.

    The kernel's centre lies between two pixels, so weights fall off from k = s - 1/2 by 1/s a pixel.
    """
    distance = (torch.arange(2 * stride) - (stride - 0.5)).abs()
    line = 1 - distance / stride
    return (line[:, None] * line[None, :]).view(1, 1, 2 * stride, 2 * stride)


def crop_offset(stride: int) -> int:
    """Offset of the image in a side output: 34, 35, 36, 38, 42 for strides 1, 2, 4, 8, 16.

    Poolings by s in total put the centre of pixel i at s·i + (s-1)/2 of stage 1. The deconvolution (kernel
    2s, stride s, nothing cut off) puts it at s·i + (2s-1)/2, which is s/2 further; at stride 1 there is none.
    """
    return _SHIFT + stride // 2
