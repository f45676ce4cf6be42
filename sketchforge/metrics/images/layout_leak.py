"""How much of a style image's layout gets into a model's images: the layout leak.

A style image mirrored has the same style and another layout. So an image made of the same sketch should not
change, and as much as it does, relative to what another image's style changes, the model has taken the
style's layout.

Shape letters: B batch, S side of the images, D length of f_style.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# Sketches (B,1,S,S) and style images (B,3,S,S) -> images (B,3,S,S), all in [-1, 1].
Synthesize = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def layout_changes(
    synthesize: Synthesize, sketches: Tensor, images: Tensor, others: Tensor
) -> dict[str, Tensor]:
    """Mean squared differences, (B,) each, on [-1, 1]; arguments as for `synthesize`.

    images: of the sketches. others: the style images of other samples.
    "error", "error_mirrored", "error_turned": between the image and what is made of its sketch in its own
    style, in that of the image mirrored, and turned upside down.
    "change_mirrored", "change_other": between what is made in its own style and in the mirrored image's, and
    in the other image's.
    """
    own = synthesize(sketches, images)
    mirrored, turned = synthesize(sketches, images.flip(3)), synthesize(sketches, images.flip(2, 3))
    other, target = synthesize(sketches, others), images.to(own.device)
    pairs = {
        "error": (own, target),
        "error_mirrored": (mirrored, target),
        "error_turned": (turned, target),
        "change_mirrored": (mirrored, own),
        "change_other": (other, own),
    }
    return {name: (one - another).square().mean((1, 2, 3)) for name, (one, another) in pairs.items()}


def leak_ratio(change_mirrored: float, change_other: float) -> float:
    """0: the layout of a style does not matter; 1: as much as which image it is. 0 where nothing matters."""
    return change_mirrored / change_other if change_other else 0.0


@torch.no_grad()
def style_cosines(encode: Callable[[Tensor], Tensor], images: Tensor, others: Tensor) -> dict[str, Tensor]:
    """Cosines of f_style, (B,) each: of images (B,3,S,S) with themselves mirrored, turned, and with others.

    encode: images -> f_style (B,D).
    """
    own = encode(images)
    pairs = {"mirrored": images.flip(3), "turned": images.flip(2, 3), "other": others}
    return {name: F.cosine_similarity(own, encode(other), dim=1) for name, other in pairs.items()}
