"""From pixels to tensors and back, for sketchers that are networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from sketchforge.errors import SketchforgeError
from sketchforge.images.tensors import from_unit, to_tensor
from sketchforge.sketchers.base import Drawing


def draw_on(
    device: torch.device, sketches: Callable[[Tensor], Tensor], pixels: np.ndarray, method: str
) -> Drawing:
    """uint8 (B,H,W,3) RGB, drawn by a function float32 (B,3,H,W) in [-1, 1] -> float (B,N,1,H,W) in [0, 1].

    On CUDA all of it is begun at once, the way back included, so that the device goes on with the next batch.
    """
    with drawing_errors(pixels, device), torch.inference_mode():
        grey, sound = to_levels(sketches(to_tensor(pixels).to(device)))
        if device.type != "cuda":
            return Drawing(lambda: check_pixels(grey, sound, method))
        # Copies that do not wait go to pinned memory, and are there when the event has passed.
        found = grey.to("cpu", non_blocking=True), sound.to("cpu", non_blocking=True)
        there = torch.cuda.current_stream(device).record_event()

    def images() -> np.ndarray:
        with drawing_errors(pixels, device):
            there.synchronize()
        return check_pixels(*found, method)

    return Drawing(images)


def to_levels(sketches: Tensor) -> tuple[Tensor, Tensor]:
    """float (B,N,1,H,W) in [0, 1] -> uint8 (B,N,H,W), and bool (): whether all of them are numbers."""
    return from_unit(sketches)[:, :, 0], torch.isfinite(sketches).all()


def check_pixels(grey: Tensor, sound: Tensor, method: str) -> np.ndarray:
    """`levels` as an array. Raises SketchforgeError where they were not numbers."""
    if not sound:
        raise SketchforgeError(f"{method} drew values that are not numbers; train it anew")
    return grey.cpu().numpy()


@contextmanager
def drawing_errors(pixels: np.ndarray, device: torch.device) -> Iterator[None]:
    """Say of a device that runs out of memory, in one line, what would help."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            count, height, width = pixels.shape[:3]
            raise SketchforgeError(
                f"out of memory drawing {count} images of {width} x {height} on {device}; lower --batch-size or --size"
            ) from error
        raise
