"""How a hand places, bends and straightens strokes, and where it lifts its pen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sketchforge.strokes.hands import Hand
from sketchforge.strokes.strokes import StrokeSet, smooth_paths

FILL = 0.79  # longer side of the ink's box, where a hand fills the paper
DOUBLED_STD = 0.010  # of the side: how far a line that is drawn again lies beside itself
# Smoothing and straightening spare small forms, eyes and mouths: in full they come to lines of this many times their
# reach.
SMALL = 10
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
    if hand.smooth:
        sigma = max(hand.smooth / 2, 0.3)
        smooth = smooth_paths(moved.points, moved.offsets, moved.closed, sigma)
        share = np.minimum(1, np.diff(moved.offsets) / (SMALL * sigma))[moved.owner, None] ** 2
        moved = moved.moved(moved.points + share * (smooth - moved.points))
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


def fill_paper(strokes: StrokeSet, side: float) -> StrokeSet:
    """Centre the ink's box and enlarge it until its longer side is FILL of `side`, the paper's shorter one in pixels."""
    if not len(strokes):
        return strokes
    low, high = strokes.points.min(0), strokes.points.max(0)
    height, width = strokes.size
    scale = FILL * side / max(float((high - low).max()), 1.0)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return strokes.moved((strokes.points - (low + high) / 2) * scale + middle)


def draw_lines(strokes: StrokeSet, hand: Hand, rng: np.random.Generator) -> StrokeSet:
    """The lines that the pen really draws: straightened, doubled, run on beyond their ends, lifted.

    A hand that straightens and runs on draws each side of its polygons by itself, as by a ruler.
    """
    if not (hand.straighten or hand.doubled or hand.lifts or hand.overshoot) or not len(strokes):
        return strokes
    side = strokes.side
    pieces: list[np.ndarray] = []
    for piece, ring in zip(strokes.rows(), strokes.closed, strict=True):
        lines = [piece]
        if hand.straighten:
            corners = _find_corners(piece, ring, hand.straighten * side)
            lines = _split_sides(corners) if hand.overshoot else [corners]
        if rng.random() < hand.doubled:
            lines += [_draw_beside(line, rng.normal(0, DOUBLED_STD * side, (2, 2))) for line in lines]
        for line in lines:
            if hand.overshoot and (hand.straighten or not ring):
                line = _run_on(line, hand.overshoot * side * (2 * rng.random(2) - 1))
            pieces += _lift_pen(line, hand.lifts, side, rng) if hand.lifts else [line]
    return StrokeSet.of(pieces, np.zeros(len(pieces), bool), strokes.size)


def _find_corners(line: np.ndarray, ring: bool, tolerance: float) -> np.ndarray:
    """The points of a line between which it is straight, within the tolerance or a SMALLth of its length."""
    steps = np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1)
    tolerance = min(tolerance, float(steps.sum()) / SMALL)
    points = np.ascontiguousarray(line[: len(line) - ring, :2], np.float32)
    corners = cv2.approxPolyDP(points[:, None], tolerance, bool(ring))[:, 0]
    numbers = (points == corners[:, None]).all(-1).argmax(1)
    if ring:
        numbers = np.append(numbers, numbers[0])
    return line[numbers] if len(corners) > 1 else line


def _split_sides(corners: np.ndarray) -> list[np.ndarray]:
    return [corners[number : number + 2] for number in range(len(corners) - 1)]


def _draw_beside(line: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """A line again, its ends beside the first one's by drift, (2,2)."""
    again, along = line.copy(), np.linspace(0, 1, len(line))[:, None]
    again[:, :2] += (1 - along) * drift[0] + along * drift[1]
    return again


def _run_on(line: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """A line longer at its ends by `lengths`, (2,), in pixels; where that is negative the end is met."""
    ends = line[[0, -1]].copy()
    outward = ends[:, :2] - line[[1, -2], :2]
    ends[:, :2] += outward / np.maximum(np.linalg.norm(outward, axis=1), 1e-6)[:, None] * lengths[:, None]
    begin, end = (ends[[number]] if lengths[number] > 0 else ends[:0] for number in (0, 1))
    return np.concatenate([begin, line, end])


def _lift_pen(line: np.ndarray, probability: float, side: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a line where the pen is lifted; the gap is a few knots at most."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1))])
    chances = int(lengths[-1] / (LIFT_EVERY * side))
    cuts = np.sort(lengths[-1] * rng.random(chances)[rng.random(chances) < probability])
    if not len(cuts):
        return [line]
    pieces, begin = [], 0.0
    for end in [*cuts, lengths[-1] + LIFT * side]:
        inside = (lengths > begin) & (lengths < end - LIFT * side)
        at = np.concatenate([[begin], lengths[inside], [end - LIFT * side]])
        if at[-1] - at[0] > LIFT * side:
            pieces.append(
                np.stack([np.interp(at, lengths, line[:, axis]) for axis in range(line.shape[1])], 1)
            )
        begin = end + LIFT * side
    return pieces or [line]
