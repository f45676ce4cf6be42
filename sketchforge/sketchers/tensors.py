"""From pixels to tensors and back, for sketchers that are networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sketchforge.errors import SketchforgeError
from sketchforge.images import to_tensor


@torch.inference_mode()
def drawn_pixels(sketches: Callable[[Tensor], Tensor], pixels: np.ndarray, device: torch.device, method: str) -> np.ndarray:
    """uint8 (B,H,W,3) RGB -> uint8 (B,N,H,W), 255 = paper, by a function of tensors:
    float32 (B,3,H,W) in [-1, 1] on `device` -> float (B,N,1,H,W) in [0, 1].

    Raises SketchforgeError when the device runs out of memory, or values are not numbers.
    """
    try:
        drawn = sketches(to_tensor(pixels).to(device))
        if not bool(torch.isfinite(drawn).all()):
            raise SketchforgeError(f"{method} drew values that are not numbers; train it anew")
        return drawn.float().mul(255).round().clamp(0, 255).byte()[:, :, 0].cpu().numpy()
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            count, height, width = pixels.shape[:3]
            raise SketchforgeError(
                f"out of memory drawing {count} images of {width} x {height} on {device}; lower --batch-size or --size"
            ) from error
        raise
