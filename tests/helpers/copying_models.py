"""Models whose answers are known, for what measures models."""

from __future__ import annotations

from torch import Tensor


class Copies:
    """Gives back one of the two that it is given, "style" or "sketch"; f_style is the mean colour."""

    size, digest, refines, takes_grey, metadata = 64, "none", False, False, {}

    def __init__(self, what: str) -> None:
        self.what = what

    def style_vectors(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) + 1

    def synthesize_tensors(self, sketches: Tensor, images: Tensor, keys: object = None) -> Tensor:
        return images if self.what == "style" else sketches.expand(-1, 3, -1, -1)
