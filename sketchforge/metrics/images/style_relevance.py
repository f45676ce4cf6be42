"""Style relevance (SR): the similarity of an image to its style image in colour and texture.

Zhang et al. (CoCosNet, CVPR 2020) compare low-level VGG features, relu1_2 and relu2_2, by their cosine. As in
public practice, the channels' means of each tap stand for colour, their variances for texture. The single
figure of the paper's tables is taken to be the mean of both. All three are returned.

Shape letters: B batch, C channels, H, W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchforge.models.encoder import Encoder

TAPS = ("relu1_2", "relu2_2")


@torch.no_grad()
def style_relevance(encoder: Encoder, output: Tensor, style: Tensor) -> dict[str, Tensor]:
    """output, style (B,3,H,W) float in [-1, 1] -> "colour", "texture" and their mean "relevance", (B,) each.

    Cosines, averaged over TAPS: 1 for equal images, never below 0, since features are not negative. Output
    and style may differ in height and width. Raises ValueError for batches that differ in size and for an
    encoder without these taps.
    """
    if len(output) != len(style):
        raise ValueError(f"{len(output)} outputs and {len(style)} style images, expected one for each")
    output_taps, style_taps = encoder(output, TAPS), encoder(style, TAPS)
    colour = torch.stack(
        [_compute_cosine(output_taps[tap].mean((2, 3)), style_taps[tap].mean((2, 3))) for tap in TAPS]
    ).mean(0)
    texture = torch.stack(
        [
            _compute_cosine(_compute_variance(output_taps[tap]), _compute_variance(style_taps[tap]))
            for tap in TAPS
        ]
    ).mean(0)
    return {"colour": colour, "texture": texture, "relevance": (colour + texture) / 2}


def _compute_variance(x: Tensor) -> Tensor:
    """(B,C,H,W) -> (B,C), over positions."""
    return x.var(dim=(2, 3), unbiased=False)


def _compute_cosine(a: Tensor, b: Tensor) -> Tensor:
    """(B,C) twice -> (B,); 1 for two vectors of zeros: two flat images have equal texture."""
    both_empty = (a.norm(dim=1) < 1e-12) & (b.norm(dim=1) < 1e-12)
    return torch.where(both_empty, 1.0, F.cosine_similarity(a, b, dim=1, eps=1e-12))
