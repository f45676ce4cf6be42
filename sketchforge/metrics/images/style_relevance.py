"""Style relevance (SR): has an image the colours and textures of its style image? (Zhang et al., CVPR 2020)

Zhang et al. (CoCosNet) compare low-level VGG features, relu1_2 and relu2_2, by their cosine. Taken as public
practice has it: of each tap the channels' means stand for colour, their variances for texture. The single
figure of the paper's tables is taken to be the mean of both, and all three are given.

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

    Cosines, averaged over TAPS; 1 for equal images, and never below 0, as features are not. The two may
    differ in height and width. Raises ValueError for batches that differ in size and for an encoder without
    these taps.
    """
    if len(output) != len(style):
        raise ValueError(f"{len(output)} outputs and {len(style)} style images, expected one for each")
    made, wanted = encoder(output, TAPS), encoder(style, TAPS)
    colour = torch.stack([_cosine(made[tap].mean((2, 3)), wanted[tap].mean((2, 3))) for tap in TAPS]).mean(0)
    texture = torch.stack([_cosine(_variance(made[tap]), _variance(wanted[tap])) for tap in TAPS]).mean(0)
    return {"colour": colour, "texture": texture, "relevance": (colour + texture) / 2}


def _variance(x: Tensor) -> Tensor:
    """(B,C,H,W) -> (B,C), over positions."""
    return x.var(dim=(2, 3), unbiased=False)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """(B,C) twice -> (B,); two vectors of zeros agree: flat images have no texture, and the same one."""
    both_empty = (a.norm(dim=1) < 1e-12) & (b.norm(dim=1) < 1e-12)
    return torch.where(both_empty, 1.0, F.cosine_similarity(a, b, dim=1, eps=1e-12))
