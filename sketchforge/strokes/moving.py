"""How a hand places, bends and straightens strokes, and where it lifts its pen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sketchforge.strokes.hands import Hand
from sketchforge.strokes.strokes import StrokeSet, smooth_path

FILL = 0.79  # longer side of the ink's box, where a hand fills the paper
LIFT_EVERY = 0.1  # of the side
LIFT = 0.008  # of the side: the gap that a lifted pen leaves on each side


@dataclass(frozen=True)
class Placement:
    """Where a hand puts a whole drawing, as sampled for it."""

    turn: float = 0.0  # degrees
    scale: tuple[float, float] = (1.0, 1.0)  # of x and y
    shift: tuple[float, float] = (0.0, 0.0)  # in x and y, shares of the side


def sample_placement(hand: Hand, rng: np.random.Generator) -> Placement:
    turn = rng.normal(0, 1) * hand.turn
    scale, difference = 1 + rng.normal(0, 1) * hand.scale, rng.normal(0, 1) * hand.anisotropy
    x, y = rng.normal(0, 1, 2) * hand.shift
    return Placement(turn, (scale + difference / 2, scale - difference / 2), (x, y))


def move_strokes(
    strokes: StrokeSet, hand: Hand, rng: np.random.Generator, placement: Placement | None = None
) -> StrokeSet:
    """Draw the strokes where the hand puts them: turned, scaled, shifted, bent by a smooth field, its own lines.

    placement: None: sampled here.
    """
    placement = placement or sample_placement(hand, rng)
    if not len(strokes):
        return strokes
    side = strokes.side
    points = strokes.points.astype(np.float64)
    points = points + _sample_field(strokes, hand, rng)
    height, width = strokes.size
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    angle = np.deg2rad(placement.turn)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((points - centre) * placement.scale) @ turn.T + centre + np.array(placement.shift) * side
    points += rng.normal(0, 1, points.shape) * hand.tremor * side
    moved = strokes.moved(points)
    if hand.smooth or hand.straighten:
        pieces = [
            _shape_line(piece, ring, hand, side) for piece, ring in zip(moved, moved.closed, strict=True)
        ]
        moved = StrokeSet.of(pieces, moved.closed, moved.size)
    if hand.fills_paper:
        moved = _fill_paper(moved)
    return moved


def _sample_field(strokes: StrokeSet, hand: Hand, rng: np.random.Generator) -> np.ndarray:
    """float64 (P,2): a smooth random displacement in pixels, from a coarse grid enlarged."""
    height, width = strokes.size
    shifts = []
    for _ in range(2):
        grid = rng.normal(0, 1, (hand.cells + 1, hand.cells + 1)).astype(np.float32)
        field = cv2.resize(grid, (64, 64), interpolation=cv2.INTER_CUBIC) * (hand.field * strokes.side)
        scaled = strokes.points * np.array([63 / max(1, width - 1), 63 / max(1, height - 1)], np.float32)
        shifts.append(strokes.moved(scaled).sample(field))
    return np.stack(shifts, 1).astype(np.float64)


def _shape_line(piece: np.ndarray, ring: bool, hand: Hand, side: int) -> np.ndarray:
    if hand.smooth and len(piece) > 3:
        piece = smooth_path(piece, max(hand.smooth / 2, 0.3), ring)
    if hand.straighten:
        corners = cv2.approxPolyDP(piece.astype(np.float32)[:, None], hand.straighten * side, False)[:, 0]
        piece = corners if len(corners) > 1 else piece
    return piece


def _fill_paper(strokes: StrokeSet) -> StrokeSet:
    """Centre the ink's box and enlarge it until its longer side is FILL of the paper's shorter one."""
    low, high = strokes.points.min(0), strokes.points.max(0)
    height, width = strokes.size
    scale = FILL * min(height, width) / max(float((high - low).max()), 1.0)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return strokes.moved((strokes.points - (low + high) / 2) * scale + middle)


def draw_lines(strokes: StrokeSet, hand: Hand, rng: np.random.Generator) -> StrokeSet:
    """The lines that the pen really draws: doubled, run on beyond their ends, lifted."""
    if not (hand.doubled or hand.lifts or hand.overshoot) or not len(strokes):
        return strokes
    side = strokes.side
    pieces: list[np.ndarray] = []
    for piece, ring in zip(strokes, strokes.closed, strict=True):
        lines = [piece]
        if rng.random() < hand.doubled:
            drift = rng.normal(0, 0.006 * side, (2, 2))
            along = np.linspace(0, 1, len(piece))[:, None]
            lines.append(piece + (1 - along) * drift[0] + along * drift[1])
        for line in lines:
            if hand.overshoot and not ring:
                line = _run_on(line, hand.overshoot * side * rng.random(2))
            pieces += _lift_pen(line, hand.lifts, side, rng) if hand.lifts else [line]
    return StrokeSet.of(pieces, np.zeros(len(pieces), bool), strokes.size)


def _run_on(line: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    before, after = line[0] - line[1], line[-1] - line[-2]
    before = before / max(float(np.linalg.norm(before)), 1e-6) * lengths[0]
    after = after / max(float(np.linalg.norm(after)), 1e-6) * lengths[1]
    return np.concatenate([[line[0] + before], line, [line[-1] + after]])


def _lift_pen(line: np.ndarray, probability: float, side: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a line where the pen is lifted; the gap is a few knots at most."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    chances = int(lengths[-1] / (LIFT_EVERY * side))
    cuts = np.sort(lengths[-1] * rng.random(chances)[rng.random(chances) < probability])
    pieces, begin = [], 0.0
    for end in [*cuts, lengths[-1] + LIFT * side]:
        inside = (lengths > begin) & (lengths < end - LIFT * side)
        at = np.concatenate([[begin], lengths[inside], [end - LIFT * side]])
        if at[-1] - at[0] > LIFT * side:
            pieces.append(np.stack([np.interp(at, lengths, line[:, axis]) for axis in (0, 1)], 1))
        begin = end + LIFT * side
    return pieces or [line]
