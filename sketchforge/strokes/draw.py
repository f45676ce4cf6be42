"""Ten hands draw a picture: sketches and pixels in, one sketch of each hand out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sketchforge.strokes.choosing import StrokeFeatures, choose_strokes, describe_strokes, weigh_strokes
from sketchforge.strokes.consensus import merge_sketches
from sketchforge.strokes.hands import Hand
from sketchforge.strokes.moving import Placement, draw_lines, move_strokes, sample_placement
from sketchforge.strokes.painting import ink_lines, paint_lines
from sketchforge.strokes.strokes import StrokeSet
from sketchforge.strokes.tracing import trace
from sketchforge.utils.seeding import numpy_generator


@dataclass(frozen=True)
class TracedPicture:
    """A picture's strokes and what is known of them."""

    strokes: StrokeSet
    features: StrokeFeatures
    darkness: np.ndarray  # float32 HxW
    foreground: np.ndarray  # float32 HxW in [0, 1]


@dataclass(frozen=True)
class HandDrawing:
    """What one hand has drawn of a picture."""

    sketch: np.ndarray  # uint8 HxW in grey, 255 = paper
    taken: np.ndarray  # int64: the numbers of the strokes that it took
    lines: StrokeSet  # the lines of ink that its pen left, in the strokes' own pixels
    widths: np.ndarray  # float64 (P,): of the ink at the lines' points, in the same pixels
    hand: Hand
    placement: Placement

    def describe(self) -> dict[str, Any]:
        """Who drew and how, as JSON values: the hand, what was sampled for it, its parameters but for those of 0."""
        parameters = {
            name: value
            for name, value in dataclasses.asdict(self.hand).items()
            if value and name not in ("name", "number")
        }
        turn, *pairs = dataclasses.astuple(self.placement)
        scale, shift = ([round(float(value), 4) + 0.0 for value in pair] for pair in pairs)
        return {
            "hand": self.hand.name,
            "number": self.hand.number,
            "strokes": len(self.taken),
            "turn": round(float(turn), 2) + 0.0,  # no -0.0
            "scale": scale,
            "shift": shift,
            "parameters": parameters,
        }


def trace_picture(greys: np.ndarray, foreground: np.ndarray) -> TracedPicture:
    """Trace the strokes of a picture.

    greys: uint8 (N,H,W), 255 = paper. foreground: float32 in [0, 1], of any size, 1 where the subject is.
    """
    darkness, ink = merge_sketches(greys)
    strokes = trace(darkness)
    foreground = _fit(foreground, darkness.shape)
    features = describe_strokes(strokes, darkness, ink, foreground)
    return TracedPicture(strokes, features, darkness, foreground)


def draw_hands(
    picture: TracedPicture, hands: Sequence[Hand], seed: int, key: str, size: tuple[int, int]
) -> list[HandDrawing]:
    """Draw a traced picture in each hand, on paper of `size` (height, width).

    What is random comes from `seed`, `key` and the hand's name, whichever hands draw beside it.
    """
    return [draw_hand(picture, hand, seed, f"{key} {hand.name}", size) for hand in hands]


def draw_hand(picture: TracedPicture, hand: Hand, seed: int, key: str, size: tuple[int, int]) -> HandDrawing:
    rng = numpy_generator(seed, "hand", key)
    salience = weigh_strokes(picture.features, picture.strokes.closed, hand, rng)
    taken = choose_strokes(salience, hand.keep)
    placement = sample_placement(hand, rng)
    moved = move_strokes(picture.strokes.select(taken), hand, rng, placement)
    lines = draw_lines(moved, hand, rng)
    darkness = lines.sample(picture.darkness) if hand.pressure else None
    lines, widths = ink_lines(lines, hand, darkness, rng)
    return HandDrawing(paint_lines(lines, widths, size), taken, lines, widths, hand, placement)


def _fit(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR)
