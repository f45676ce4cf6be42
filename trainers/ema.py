"""The exponential moving average (EMA) of a network's weights; training saves the EMA."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def ema_update(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the EMA's weights and buffers towards the model's: ema = decay·ema + (1-decay)·model."""
    pairs = list(zip(ema.state_dict().values(), model.state_dict().values(), strict=True))
    floats = [pair for pair in pairs if pair[1].is_floating_point()]
    counters = [pair for pair in pairs if not pair[1].is_floating_point()]
    # A few kernels for all tensors of a GPU, not one for each of hundreds.
    if floats:
        torch._foreach_lerp_([mean for mean, _ in floats], [value for _, value in floats], 1 - decay)
    if counters:
        torch._foreach_copy_([mean for mean, _ in counters], [value for _, value in counters])


def warmed_up_decay(number: int, decay: float) -> float:
    """The decay of step `number`: (number + 1) / (number + 10), at most `decay`.

    Early on this averages over the last ninth of the steps so far, so that short runs average, too.
    """
    return min(decay, (number + 1) / (number + 10))
