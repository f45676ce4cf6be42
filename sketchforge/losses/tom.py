"""Losses of TOM beside the adversarial ones (paper section 3): Eqs. 4 and 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from sketchforge.models.features import adain, gram


def content_loss(sketch: Tensor, photo: Tensor, drawing: Tensor) -> Tensor:
    """Eq. 6's ‖f_target − f̂‖² with Eq. 4's target, as a mean over elements.

    sketch: E(G(photo)), photo: E(photo), drawing: E(drawing), all (B,C,H,W) at one tap.
    """
    return F.mse_loss(sketch, adain(photo, drawing))


def _keep(value: Tensor) -> Tensor:
    return value


def gram_loss(
    sketches: Mapping[str, Tensor],
    drawings: Mapping[str, Tensor],
    average: Callable[[Tensor], Tensor] = _keep,
) -> Tensor:
    """Squared difference of the batches' mean Gram matrices, relative to the drawings', averaged over taps.

    {tap: (B,C,H,W)}. Departure: not in the paper; the authors' code adds a Gram term (weight 2000 on matrices
    normalised by the element count). Dividing by the drawings' own size makes one weight fit every tap and
    encoder, and comparing batch means leaves each drawing its own style.

    average: where a batch is divided among processes, takes the mean of a part to that of the whole batch.
    """
    total = next(iter(sketches.values())).new_zeros(())
    for tap, features in sketches.items():
        target = average(gram(drawings[tap]).mean(0))
        total = total + (average(gram(features).mean(0)) - target).square().sum() / target.square().sum()
    return total / len(sketches)
