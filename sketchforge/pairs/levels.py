"""Levels of pixels and what networks are given for them."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor

_LEVELS = torch.arange(256).float().div_(127.5).sub_(1).numpy()  # float32 in [-1, 1] of each level


def normalized(pixels: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1], of any shape, on any device."""
    if pixels.device.type == "cpu" and pixels.is_contiguous() and pixels.numel():
        # The same numbers from a table: memory is gone through once, not three times.
        levels = torch.empty_like(pixels, dtype=torch.float32)
        cv2.LUT(pixels.view(1, -1).numpy(), _LEVELS, levels.view(1, -1).numpy())
        return levels
    return pixels.float().div_(127.5).sub_(1)
