"""Ten hands draw a picture: sketches and pixels in, one sketch of each hand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketchforge.strokes.choosing import StrokeFeatures, choose_strokes, describe_strokes, weigh_strokes
from sketchforge.strokes.consensus import merge_sketches
from sketchforge.strokes.foreground import find_foreground
from sketchforge.strokes.hands import Hand
from sketchforge.strokes.moving import draw_lines, move_strokes
from sketchforge.strokes.painting import paint_strokes
from sketchforge.strokes.strokes import StrokeSet
from sketchforge.strokes.tracing import trace
from sketchforge.utils.seeding import numpy_generator


@dataclass(frozen=True)
class TracedPicture:
    """A picture's strokes and what is known of them."""

    strokes: StrokeSet
    features: StrokeFeatures
    darkness: np.ndarray  # float32 HxW
    coverage: float  # share of the picture that is foreground


def trace_picture(greys: np.ndarray, pixels: np.ndarray) -> TracedPicture:
    """Trace the strokes of a picture. greys: uint8 (N,H,W), 255 = paper; pixels: uint8 HxWx3 RGB of any size."""
    darkness, agreement = merge_sketches(greys)
    strokes = trace(darkness)
    foreground = _fit(find_foreground(pixels), darkness.shape)
    features = describe_strokes(strokes, darkness, agreement, foreground)
    return TracedPicture(strokes, features, darkness, float(foreground.mean()))


def draw_hands(
    picture: TracedPicture, hands: Sequence[Hand], seed: int, key: str, size: tuple[int, int]
) -> np.ndarray:
    """Draw a traced picture in each hand: uint8 (N,H,W) of `size`, in grey, 255 = paper."""
    return np.stack(
        [draw_hand(picture, hand, seed, f"{key} {number}", size) for number, hand in enumerate(hands)]
    )


def draw_hand(picture: TracedPicture, hand: Hand, seed: int, key: str, size: tuple[int, int]) -> np.ndarray:
    rng = numpy_generator(seed, "hand", key)
    salience = weigh_strokes(picture.features, picture.strokes.closed, hand, rng)
    chosen = picture.strokes.select(choose_strokes(salience, hand.keep))
    lines = draw_lines(move_strokes(chosen, hand, rng), hand, rng)
    darkness = lines.sample(picture.darkness) if hand.pressure else None
    return paint_strokes(lines, hand, darkness, rng, size)


def _fit(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR)
