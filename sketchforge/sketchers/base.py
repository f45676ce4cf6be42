"""Sketchers draw: RGB images in, N sketches of each out, one per style."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


def _nothing() -> None: ...


@dataclass(frozen=True)
class Drawing:
    """A batch that is being drawn, while others are begun.

    `images` gives the sketches of each image as they are done, in order, uint8 (N,H,W) in grey, 255 = paper, 0 = ink. It
    raises SketchforgeError when memory runs out, or what is drawn are not numbers. `cancel` gives up whatever has not
    been begun; nothing can be had of it then.
    """

    images: Callable[[], Iterable[np.ndarray]]
    cancel: Callable[[], None] = _nothing

    def result(self) -> np.ndarray:
        """All of them, uint8 (B,N,H,W)."""
        import numpy as np

        return np.stack(list(self.images()))


class Sketcher(Protocol):
    """What every method of drawing offers.

    `styles` names its N sketches, in order. `digests` identifies the weights it draws with (name -> hex
    SHA-256); empty where there are none.
    """

    method: str
    styles: tuple[str, ...]
    digests: Mapping[str, str]

    def draw(self, pixels: np.ndarray) -> Drawing:
        """Begin to draw uint8 (B,H,W,3) RGB. Raises SketchforgeError as the result does."""
        ...
