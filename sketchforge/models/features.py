"""Statistics of feature maps: TOM's measures of content and style.

Shape letters: B batch, C channels, H, W height and width. All functions are differentiable and keep the
dtype.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Added to variances: a constant channel has no structure to keep, and its quotient must stay finite ([C]:
# 1e-5).
EPSILON = 1e-5


def channel_mean_std(features: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, Tensor]:
    """(B,C,H,W) -> means and standard deviations over H, W, each (B,C,1,1), from the unbiased variance."""
    mean = features.mean(dim=(2, 3), keepdim=True)
    return mean, _compute_std(features - mean, epsilon)


def _compute_std(centred: Tensor, epsilon: float) -> Tensor:
    # torch.var takes one pass and ten times as long on a CPU.
    degrees_of_freedom = centred.shape[2] * centred.shape[3] - 1
    return (centred.square().sum(dim=(2, 3), keepdim=True) / degrees_of_freedom + epsilon).sqrt()


def instance_norm(features: Tensor, epsilon: float = EPSILON) -> Tensor:
    """IN of Eq. 4: every channel of every image with mean 0 and standard deviation 1 over H, W.

    epsilon is added to the variance: channels whose std is below its square root stay weak.
    """
    centred = features - features.mean(dim=(2, 3), keepdim=True)
    return centred / _compute_std(centred, epsilon)


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Eq. 4, f_target = σ(style)·IN(content) + μ(style) (Huang & Belongie 2017); (B,C,H,W) and (B,C,h,w)."""
    mean, std = channel_mean_std(style)
    return std * instance_norm(content) + mean


def gram(features: Tensor) -> Tensor:
    """(B,C,H,W) -> (B,C,C): inner products of channels, averaged over H·W, so independent of the size."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def upper_triangle(matrices: Tensor) -> Tensor:
    """(B,C,C) symmetric -> (B, C(C+1)/2): the entries on and above the diagonal."""
    rows, columns = torch.triu_indices(matrices.shape[1], matrices.shape[1], device=matrices.device)
    return matrices[:, rows, columns]


def content_correlation(features: Tensor, reference: Tensor) -> Tensor:
    """(B,): how far two maps (B,C,H,W) are active at the same positions.

    Contrast and brightness do not count.

    Pearson correlation over H, W per channel, averaged over channels: 1 for the same layout, 0 for an
    unrelated one.
    """
    normalized, normalized_reference = instance_norm(features), instance_norm(reference)
    num_positions = normalized.shape[2] * normalized.shape[3]
    return (normalized * normalized_reference).sum(dim=(2, 3)).div(num_positions - 1).mean(dim=1)
