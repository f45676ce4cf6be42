"""How content and style enter the decoder's maps (paper appendix A.2), and the variants of Tables 1 and 4.

Shape letters: B batch, C channels, H, W height and width, D length of the style vector.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.features import instance_norm
from sketchforge.models.layers import SLOPE


class DualMaskInjection(nn.Module):
    """DMI (A.2): w_a·f·m + b_a + w_b·f·(1 − m) + b_b, one w_a, w_b, b_a, b_b per channel of f.

    Features are scaled by w_a where the mask m is 1, and by w_b where it is 0.

    Departure: the authors' code starts with w_a = 1.01 and w_b = .99. The mask then changes a feature by a
    fiftieth, and for hundreds of steps content enters at 8² alone. With 1.5 and .5 it has an effect at once.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        shape = (1, channels, 1, 1)
        self.scale_a = nn.Parameter(torch.full(shape, 1.5))
        self.scale_b = nn.Parameter(torch.full(shape, 0.5))
        self.shift_a = nn.Parameter(torch.full(shape, 0.01))
        self.shift_b = nn.Parameter(torch.full(shape, -0.01))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B,C,H,W), mask (B,C,H,W) or (B,1,H,W) -> (B,C,H,W)."""
        inside = self.scale_a * features * mask + self.shift_a
        outside = self.scale_b * features * (1 - mask) + self.shift_b
        return inside + outside


class SpatialNormalization(nn.Module):
    """SPADE (Park et al. 2019): BN(f)·(1 + γ) + β, where γ and β are maps that two convolutions make of the mask.

    The normalisation has no parameters of its own. Departure: between the convolutions there are as many channels
    as f has, where SPADE has 128 everywhere.
    """

    def __init__(self, channels: int, mask_channels: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.hidden = nn.Conv2d(mask_channels, channels, 3, padding=1)
        self.modulate = nn.Conv2d(channels, 2 * channels, 3, padding=1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B,C,H,W), mask (B,1,H,W) -> (B,C,H,W)."""
        hidden = F.leaky_relu(self.hidden(mask), SLOPE)
        scale, shift = self.modulate(hidden).chunk(2, dim=1)
        return self.norm(features) * (1 + scale) + shift


class Multiplication(nn.Module):
    """x·s with s = 2·sigmoid(MLP(f_style)) in (0, 2), one per channel: the paper's way (A.2).

    It neither adds nor normalises: a feature of zero stays zero for every style, so that style colours what
    the content has drawn and draws nothing itself.
    """

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.mlp = _build_mlp(style_dim, channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (B,C,H,W), style (B,D) -> (B,C,H,W)."""
        return x * (2 * self.mlp(style).sigmoid())[:, :, None, None]


class Addition(nn.Module):
    """x + MLP(f_style), one number per channel (Table 4)."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.mlp = _build_mlp(style_dim, channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (B,C,H,W), style (B,D) -> (B,C,H,W)."""
        return x + self.mlp(style)[:, :, None, None]


class AdaptiveNormalization(nn.Module):
    """AdaIN (Huang & Belongie 2017): (1 + γ)·IN(x) + β with γ, β = MLP(f_style) per channel (Table 4)."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.mlp = _build_mlp(style_dim, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (B,C,H,W), style (B,D) -> (B,C,H,W)."""
        scale, shift = self.mlp(style)[:, :, None, None].chunk(2, dim=1)
        return (1 + scale) * instance_norm(x) + shift


STYLES: dict[str, type[nn.Module] | None] = {
    "none": None,
    "adain": AdaptiveNormalization,
    "add": Addition,
    "multiply": Multiplication,
}


def _build_mlp(style_dim: int, outputs: int) -> nn.Sequential:
    """Build an MLP with torch's initialisation, whose outputs are small, so that factors are close to 1."""
    return nn.Sequential(nn.Linear(style_dim, style_dim), nn.LeakyReLU(SLOPE), nn.Linear(style_dim, outputs))
