"""The exponential moving average (EMA) of a network's weights; training saves the EMA."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def ema_update(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the EMA's weights and buffers towards the model's: ema = decay·ema + (1-decay)·model."""
    for ema_value, value in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if value.is_floating_point():
            ema_value.lerp_(value, 1 - decay)
        else:
            ema_value.copy_(value)  # counters


def warmed_up_decay(number: int, decay: float) -> float:
    """The decay of step `number`: (number + 1) / (number + 10), at most `decay`.

    Early on this averages over the last ninth of the steps so far, so that short runs average, too.
    """
    return min(decay, (number + 1) / (number + 10))
