"""The exponential moving average (EMA) of a network's weights, which is what a training keeps."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def ema_update(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Pull the average's weights and buffers towards the model's: ema = decay·ema + (1-decay)·model."""
    for old, new in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if new.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)  # counters


def warmed_up_decay(number: int, decay: float) -> float:
    """Over the last ninth of the steps so far, until that is more than `decay` says: short runs average, too."""
    return min(decay, (number + 1) / (number + 10))
