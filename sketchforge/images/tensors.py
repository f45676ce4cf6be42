"""The only conversions between stored images, uint8 in 0..255, and inputs of networks, float32.

sketchforge's networks take images in [-1, 1]. Sketches that they return, and other projects' networks, use
[0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

_LEVELS = (
    torch.arange(256).float().div_(127.5).sub_(1).numpy()
)  # float32 (256,): the value in [-1, 1] of each level
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def normalize_pixels(pixels: Tensor) -> Tensor:
    """Levels in 0..255, uint8 or (fractional) float32 -> float32 in [-1, 1]; any shape, any device."""
    if pixels.dtype == torch.float32:
        return pixels.div(127.5).sub_(1)
    if pixels.device.type == "cpu" and pixels.is_contiguous() and pixels.numel():
        # The same numbers from a table: one pass over memory instead of three.
        levels = torch.empty_like(pixels, dtype=torch.float32)
        cv2.LUT(pixels.view(1, -1).numpy(), _LEVELS, levels.view(1, -1).numpy())
        return levels
    return pixels.float().div_(127.5).sub_(1)


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [0, 1], of any shape, on any device."""
    return pixels.float() / 255


def from_unit(sketches: Tensor) -> Tensor:
    """float in [0, 1] -> uint8 in 0..255, rounded and clipped to the range; any shape, any device."""
    return sketches.float().mul(255).round().clamp(0, 255).byte()


def to_tensor(image: np.ndarray) -> Tensor:
    """uint8 HxWxC or BxHxWxC in 0..255 -> float32 (B, C, H, W) in [-1, 1], B = 1 for a single image."""
    if image.dtype != np.uint8 or image.ndim not in (3, 4):
        raise ValueError(f"expected uint8 HWC or BHWC, found {image.dtype} of shape {image.shape}")
    # A copy: torch warns of read-only arrays.
    batch = torch.from_numpy(np.array(image if image.ndim == 4 else image[None]))
    return normalize_pixels(batch.permute(0, 3, 1, 2).contiguous())


def to_grey(images: Tensor) -> Tensor:
    """Float (B,3,H,W) of any range -> (B,1,H,W): luma, as cv2's; (B,1,H,W) is returned as it is."""
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def to_uint8(batch: Tensor) -> np.ndarray:
    """float (B, C, H, W) in [-1, 1] -> uint8 BxHxWxC, rounded, values outside the range clipped."""
    levels = batch.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    return levels.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
