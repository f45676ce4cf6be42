"""Losses of SEGIN beside the adversarial ones: image, features, mask, masked image, total variation.

Pure functions of tensors that return scalars, means over the batch. Shape letters: B batch, H, W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchforge.losses.absolute_error import absolute_error
from sketchforge.models.encoder import Encoder

FEATURE_TAP = "relu3_2"

# w1 to w6: reconstruction, features, adversarial, mask, masked image, total variation. The paper prints
# "w1=w4=100, w2=5e-6, w4=1.0, w5=w6=10": one index is wrong, and two readings give each weight a value, w3 = 1 with w4 = 100,
# or w3 = 100 with w4 = 1. This is the first, which is pix2pix's ratio of reconstruction to adversarial loss.
PUBLISHED_WEIGHTS = (100.0, 5e-6, 1.0, 100.0, 10.0, 10.0)
# w2 is read as the weight of a sum over the layer's numbers, those of VGG19 at 256²: of their mean, as `feature_error` has
# it, it would be nothing, and Table II says that the term counts as much as any.
SUMMED_FEATURES = 256 * 64 * 64


def feature_error(encoder: Encoder, output: Tensor, target: Tensor) -> Tensor:
    """L1 distance of the encoder's FEATURE_TAP of two images (B,3,H,W) in [-1, 1]; gradients reach `output` only.

    Raises ValueError where the shapes differ or the encoder has no such layer.
    """
    if output.shape != target.shape:
        return absolute_error(output, target)  # which says so
    with torch.no_grad():
        wanted = encoder(target, [FEATURE_TAP])[FEATURE_TAP]
    return absolute_error(encoder(output, [FEATURE_TAP])[FEATURE_TAP], wanted)


def mask_error(mask_logits: Tensor, mask: Tensor) -> Tensor:
    """L1 distance of the mask, sigmoid(mask_logits), to the true one, (B,1,H,W) in [0, 1]."""
    return absolute_error(mask_logits.sigmoid(), mask)


def masked_error(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L1 distance of mask ⊗ output and mask ⊗ target: images (B,3,H,W), mask (B,1,H,W) in [0, 1], the true one."""
    return absolute_error(output * mask, target * mask)


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, of rows plus of columns; (B,C,H,W). 0 for an even image."""
    rows = F.l1_loss(image[:, :, 1:], image[:, :, :-1])
    columns = F.l1_loss(image[..., 1:], image[..., :-1])
    return rows + columns
