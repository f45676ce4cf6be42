"""Sketchers draw: RGB images in, N sketches of each out, one per style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Sketcher(Protocol):
    """What every method of drawing offers.

    `styles` names its N sketches, in order. `digests` identifies the weights it draws with (name -> hex
    SHA-256); empty where there are none.
    """

    method: str
    styles: tuple[str, ...]
    digests: Mapping[str, str]

    def draw(self, images: torch.Tensor) -> torch.Tensor:
        """float32 (B, 3, H, W) in [-1, 1], on the sketcher's device -> float (B, N, 1, H, W) in [0, 1].

        1 is paper and 0 is ink.
        """
        ...
