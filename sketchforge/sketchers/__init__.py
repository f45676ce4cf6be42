"""Sketchers draw: RGB images in, N sketches of each out, one per style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Sketcher(Protocol):
    """What every method of drawing offers.

    `styles` names its N sketches, in order. `digests` identifies the weights it draws with (name -> hex
    SHA-256); empty where there are none.
    """

    method: str
    styles: tuple[str, ...]
    digests: Mapping[str, str]

    def draw(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (B,H,W,3) RGB -> uint8 (B,N,H,W) in grey, 255 = paper, 0 = ink.

        Raises SketchforgeError when memory runs out, or what is drawn are not numbers.
        """
        ...
