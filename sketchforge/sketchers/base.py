"""Sketchers draw: RGB images in, N sketches of each out, one per style."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


def _do_nothing() -> None: ...


@dataclass(frozen=True)
class Drawing:
    """A batch that is being drawn; further batches can be started meanwhile.

    `images` yields the sketches of one image after the other, in order: uint8 (N,H,W) in grey, 255 = paper, 0
    = ink. It raises SketchforgeError where memory runs out or a sketch has values that are not finite.
    `cancel` drops the work that has not started; `images` must not be called after it.
    """

    images: Callable[[], Iterable[np.ndarray]]
    cancel: Callable[[], None] = _do_nothing

    def result(self) -> np.ndarray:
        """The sketches of all images, uint8 (B,N,H,W)."""
        import numpy as np

        return np.stack(list(self.images()))


class Sketcher(Protocol):
    """The interface of every drawing method.

    `styles` names its N sketches, in order. `digests` identifies its weights (name -> hex SHA-256); it is
    empty for a method without weights.
    """

    method: str
    styles: tuple[str, ...]
    digests: Mapping[str, str]

    def draw(self, pixels: np.ndarray) -> Drawing:
        """Start to draw images, uint8 (B,H,W,3) RGB. Raises the same SketchforgeErrors as the `Drawing`."""
        ...
