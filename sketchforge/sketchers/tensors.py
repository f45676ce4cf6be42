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
from sketchforge.utils.text import count_noun

MIN_DRAWN_SIDE = 16  # pixels: coarse maps have a side of an eighth, and their borders are mirrored

CPU_PIXELS = 1024 * 512  # that are drawn at once on a CPU, or a single image


def draw_on(
    device: torch.device,
    sketches: Callable[[Tensor], Tensor],
    pixels: np.ndarray,
    method: str,
    multiple: int = 1,
) -> Drawing:
    """Draw uint8 (B,H,W,3) RGB by `sketches`: float32 (B,3,H,W) in [-1, 1] -> float (B,N,1,H,W) in [0, 1].

    multiple: as `extend_sides` takes it.

    On CUDA all work is enqueued at once, the copy to the CPU included, so that the device can go on with the
    next batch. On a CPU a batch of large images is drawn in parts: an interruption waits for the end of a
    convolution, which for all of them takes many seconds.
    """
    height, width = pixels.shape[1:3]
    with drawing_errors(pixels, device), torch.inference_mode():
        images = to_tensor(extend_sides(pixels, multiple)).to(device)
        at_once = max(1, CPU_PIXELS // (height * width)) if device.type == "cpu" else len(images)
        parts = images.split(at_once)
        grey, finite = to_levels(torch.cat([sketches(part) for part in parts]))
        grey = grey[..., :height, :width]
        if device.type != "cuda":
            return Drawing(lambda: check_pixels(grey, finite, method))
        # Non-blocking copies go to pinned memory, and are complete once the event has passed.
        copies = grey.to("cpu", non_blocking=True), finite.to("cpu", non_blocking=True)
        copies_done = torch.cuda.current_stream(device).record_event()

    def wait() -> np.ndarray:
        with drawing_errors(pixels, device):
            copies_done.synchronize()
        return check_pixels(*copies, method)

    return Drawing(wait)


def extend_sides(pixels: np.ndarray, multiple: int = 1) -> np.ndarray:
    """Repeat the last rows and columns of uint8 (B,H,W,3) until each side is a multiple, MIN_DRAWN_SIDE at least."""
    sides = [max(MIN_DRAWN_SIDE, -(-side // multiple) * multiple) for side in pixels.shape[1:3]]
    missing = [(0, wanted - side) for wanted, side in zip(sides, pixels.shape[1:3], strict=True)]
    return np.pad(pixels, ((0, 0), *missing, (0, 0)), mode="edge") if any(map(any, missing)) else pixels


def to_levels(sketches: Tensor) -> tuple[Tensor, Tensor]:
    """float (B,N,1,H,W) in [0, 1] -> uint8 (B,N,H,W), and bool (): whether all of them are finite."""
    return from_unit(sketches)[:, :, 0], torch.isfinite(sketches).all()


def check_pixels(grey: Tensor, sound: Tensor, method: str) -> np.ndarray:
    """Convert `to_levels`' uint8 values to an array. Raises SketchforgeError where `sound` is False."""
    if not sound:
        raise SketchforgeError(f"{method} drew values that are not numbers; train it anew")
    return grey.cpu().numpy()


@contextmanager
def drawing_errors(pixels: np.ndarray, device: torch.device) -> Iterator[None]:
    """Turn an out-of-memory error into a SketchforgeError whose one line names the options that help."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            count, height, width = pixels.shape[:3]
            raise SketchforgeError(
                f"out of memory drawing {count_noun(count, 'image')} of {width} x {height} on {device}; "
                "lower --batch-size or --size"
            ) from error
        raise
