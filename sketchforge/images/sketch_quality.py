"""What a finished sketch is worth at a glance: its ink, the pieces it falls into, and whether it is blank.

Cheap enough for every sketch that is rendered. The measures that take a skeleton are in `metrics/sketches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BLANK = 0.001  # ink share below which a sketch counts as blank
INK_LEVEL = 127  # the lightest grey that counts as part of a line
_DECIMALS = 5  # of ink shares: a pixel of 256 × 256 is 0.000015


@dataclass(frozen=True)
class SketchQuality:
    """ink: mean darkness in [0, 1], in black and white the share of ink. components: 8-connected ones of its ink."""

    ink: float
    components: int

    @property
    def is_blank(self) -> bool:
        return self.ink < BLANK


def measure_quality(sketch: np.ndarray) -> SketchQuality:
    """Measure a sketch, uint8 HxW, 255 = paper. A pixel is ink for `components` where it is no lighter than INK_LEVEL."""
    import cv2

    ink = cv2.compare(sketch, INK_LEVEL, cv2.CMP_LE)  # type: ignore[call-overload]  # it takes numbers, too
    num_labels = cv2.connectedComponents(ink, connectivity=8)[0]
    return SketchQuality(1 - float(sketch.mean()) / 255, num_labels - 1)  # the paper is one, too


def describe_quality(measured: Sequence[SketchQuality]) -> dict[str, list[Any]]:
    """The measures of an image's sketches by column, in their order, as a sample's description has them."""
    return {
        "ink": [round(quality.ink, _DECIMALS) for quality in measured],
        "components": [quality.components for quality in measured],
        "blank": [quality.is_blank for quality in measured],
    }
