"""Ten hands draw a picture: sketches and pixels in, one sketch of each hand out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from sketchforge.strokes.choosing import (
    StrokeFeatures,
    choose_strokes,
    describe_strokes,
    find_features,
    weigh_strokes,
)
from sketchforge.strokes.consensus import merge_sketches
from sketchforge.strokes.faces import cover_faces, find_faces, lift_faces, mark_faces
from sketchforge.strokes.hands import Hand
from sketchforge.strokes.moving import Placement, draw_lines, fill_paper, move_strokes, sample_placement
from sketchforge.strokes.painting import ink_lines, paint_lines
from sketchforge.strokes.strokes import StrokeSet
from sketchforge.strokes.tone import Tone, draw_tone, find_forms, measure_tone
from sketchforge.strokes.tracing import trace
from sketchforge.utils.seeding import numpy_generator


@dataclass(frozen=True)
class TracedPicture:
    """A picture's strokes, and what is known of it."""

    strokes: StrokeSet
    features: StrokeFeatures
    darkness: np.ndarray  # float32 HxW
    foreground: np.ndarray  # float32 HxW in [0, 1]
    tone: Tone


@dataclass(frozen=True)
class HandDrawing:
    """What one hand has drawn of a picture."""

    sketch: np.ndarray  # uint8 HxW in grey, 255 = paper
    taken: np.ndarray  # int64: the numbers of the strokes that it took
    # Of ink that its pen left, those of tone last; in the strokes' own pixels, beyond the picture, too.
    lines: StrokeSet
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


def trace_picture(greys: np.ndarray, foreground: np.ndarray, pixels: np.ndarray) -> TracedPicture:
    """Trace the strokes of a picture.

    greys: uint8 (N,H,W), 255 = paper. foreground: float32 in [0, 1], of any size, 1 where the subject is. pixels:
    uint8 RGB, of any size.
    """
    darkness, ink = merge_sketches(greys)
    covers = cover_faces(find_faces(pixels), darkness.shape)
    darkness = lift_faces(darkness, covers)
    strokes = trace(darkness)
    foreground = _fit(foreground, darkness.shape)
    tone = measure_tone(pixels, foreground)
    forms, contrast = (_fit(layer, darkness.shape) for layer in (find_forms(tone), tone.contrast))
    faces = mark_faces(covers, darkness.shape)
    features = describe_strokes(strokes, darkness, ink, foreground, forms, contrast, faces)
    strokes = replace(strokes, darkness=strokes.sample(darkness))
    return TracedPicture(strokes, features, darkness, foreground, tone)


def draw_hands(
    picture: TracedPicture,
    hands: Sequence[Hand],
    seed: int,
    key: str,
    size: tuple[int, int],
    paper: tuple[int, int] | None = None,
) -> list[HandDrawing]:
    """Draw a traced picture in each hand, `size` (height, width) in pixels.

    paper: (height, width) of the sketches, in whose middle the picture lies, as `pad_white` puts it; a hand that
    fills the paper fills all of it. None: the picture's own. What is random comes from `seed`, `key` and the hand's
    name, whichever hands draw beside it.
    """
    return [draw_hand(picture, hand, seed, f"{key} {hand.name}", size, paper or size) for hand in hands]


def draw_hand(
    picture: TracedPicture,
    hand: Hand,
    seed: int,
    key: str,
    size: tuple[int, int],
    paper: tuple[int, int],
) -> HandDrawing:
    rng = numpy_generator(seed, "hand", key)
    salience = weigh_strokes(picture.features, picture.strokes.closed, hand, rng)
    taken = np.union1d(choose_strokes(salience, hand.keep), find_features(picture.features))
    tone = draw_tone(picture.tone, hand, picture.strokes.size, rng)
    placement = sample_placement(hand, rng)
    moved = move_strokes(picture.strokes.select(taken).followed_by(tone), hand, rng, placement)
    scale = max(size) / moved.side
    if hand.fills_paper:
        moved = fill_paper(moved, min(paper) / scale)
    strokes, shade = moved.select(np.arange(len(taken))), moved.select(np.arange(len(taken), len(moved)))
    lines = draw_lines(strokes, hand, rng)
    lines, widths = ink_lines(lines, hand, lines.darkness, rng)
    if len(shade):
        shading = replace(hand, pen=hand.tone_pen, pressure=0.0, taper=0.0)
        shade, shade_widths = ink_lines(shade, shading, None, rng)
        lines = StrokeSet.of([*lines, *shade], np.append(lines.closed, shade.closed), lines.size)
        widths = np.concatenate([widths, shade_widths])
    corner = [(paper[axis] - size[axis]) // 2 / scale for axis in (1, 0)]
    placed = replace(
        lines,
        points=lines.points + np.array(corner, np.float32),
        size=(round(paper[0] / scale), round(paper[1] / scale)),
    )
    return HandDrawing(paint_lines(placed, widths, paper), taken, lines, widths, hand, placement)


def _fit(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR)
