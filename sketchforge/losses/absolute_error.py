"""The L1 distance of images, which Style2Paints and SEGIN reconstruct by."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def absolute_error(output: Tensor, target: Tensor) -> Tensor:
    """The L1 distance of two images (B,C,H,W), as a mean over elements. Raises ValueError where shapes differ."""
    if output.shape != target.shape:  # torch would broadcast and return a number
        shapes = (",".join(map(str, tensor.shape)) for tensor in (output, target))
        raise ValueError("output is ({}), target ({}), expected equal shapes".format(*shapes))
    return F.l1_loss(output, target)
