"""The pen model: how a stroke becomes a line of varying width, and the named pens.

Lengths are in 1/256 of the image's side, so that a drawing looks the same at every size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .strokes import Stroke, arc_length

FINE_SIDE = 2048  # least side of the canvas on which lines are painted; at least 4 times the result
STEP = 1.4  # spacing of width samples along a stroke, 1/256 of the side
MIN_WIDTH = 0.5  # thinner lines would fade to grey at 256 pixels
MAX_SIDE = 8192  # greatest side of that canvas; bounds memory


@dataclass(frozen=True)
class Pen:
    """How a pen marks the paper.  Lengths in 1/256 of the image's side.

    width: width of a stroke of weight 1.
    taper: how far the width falls towards the ends of a stroke, 0 (blunt) to 1 (to a point).
    taper_length: distance over which it falls; at most 45 % of the stroke.
    pressure: relative depth of slow width variation along the stroke, 0 to 1.
    nib: flatness of a broad nib, 0 (round) to 1 (no width along the nib's edge).
    nib_angle: direction of the nib's edge in degrees.
    wobble: amplitude of a low-frequency sideways displacement.
    overshoot: distance by which open strokes run past their ends.
    gaps: share of each line left blank, 0 to 1.
    redraws: how many more times each stroke is drawn.
    redraw_offset: how far the repeats stray from the first.
    contrast: exponent applied to the weights; 0 makes all lines alike, above 1 exaggerates.
    ink: darkness of the line, 0 (none) to 1 (black).
    """

    width: float
    taper: float = 0.0
    taper_length: float = 14.0
    pressure: float = 0.0
    nib: float = 0.0
    nib_angle: float = -40.0
    wobble: float = 0.0
    overshoot: float = 0.0
    gaps: float = 0.0
    redraws: int = 0
    redraw_offset: float = 0.0
    contrast: float = 1.0
    ink: float = 1.0


PEN_TABLE: dict[str, Pen] = {
    "technical": Pen(width=1.3, contrast=0.25),
    "brush": Pen(width=3.1, taper=0.95, taper_length=70, pressure=0.45, contrast=0.9),
    "pencil": Pen(
        width=1.6, taper=0.5, taper_length=10, pressure=0.4, wobble=1.3, overshoot=0.8, contrast=0.7, ink=0.82
    ),
    "marker": Pen(width=3.4, contrast=0.6),
    "calligraphic": Pen(width=3.4, nib=0.95, nib_angle=-40, contrast=0.8),
    "doubled": Pen(
        width=1.0,
        taper=0.6,
        taper_length=12,
        wobble=0.7,
        overshoot=2.4,
        redraws=1,
        redraw_offset=1.5,
        contrast=0.5,
    ),
    "broken": Pen(width=1.8, gaps=0.2, taper=0.3, taper_length=6, contrast=0.6),
    "pressure": Pen(width=2.1, pressure=0.9, taper=0.4, contrast=1.7),
    "scratchy": Pen(
        width=0.62,
        taper=0.5,
        taper_length=8,
        wobble=0.6,
        overshoot=2.4,
        redraws=3,
        redraw_offset=1.2,
        contrast=0.5,
    ),
    "cartoon": Pen(width=2.5, pressure=0.15, contrast=1.7),
    "quill": Pen(width=2.3, nib=0.7, nib_angle=55, taper=0.75, taper_length=16, pressure=0.3, contrast=1.0),
    "architect": Pen(
        width=1.4, overshoot=5.5, wobble=0.35, taper=0.35, taper_length=8, pressure=0.2, contrast=1.4
    ),
}


def draw_strokes(strokes: list[Stroke], pen: Pen, size: int, rng: np.random.Generator) -> np.ndarray:
    """Rasterise unit-square strokes: uint8 (size, size), 0 = ink, 255 = paper, anti-aliased."""
    factor = max(1, min(max(4, -(-FINE_SIDE // size)), MAX_SIDE // size))
    side = size * factor
    canvas = np.full((side, side), 255, np.uint8)
    unit = side / 256
    ink = round(255 * (1 - pen.ink))
    for stroke in strokes:
        if stroke.area is not None:
            cv2.fillPoly(canvas, [_to_fixed_point(stroke.area * side)], ink if stroke.ink else 255, shift=4)
        if len(stroke.points) < 2:
            continue
        for repeat in range(1 + pen.redraws):
            path = _resample_path(stroke.points * 256)
            if path is None:
                break
            path = _distort_path(path, pen, rng, repeat > 0)
            width = _compute_widths(path, stroke.weight, pen, rng) * unit
            for part in _split_at_gaps(len(path), pen, rng):
                _paint(canvas, path[part] * unit, width[part], ink)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def _to_fixed_point(points: np.ndarray) -> np.ndarray:
    """Pixel coordinates with four fractional bits, as OpenCV's `shift=4` expects."""
    return np.round(points * 16).astype(np.int32)


def _resample_path(points: np.ndarray) -> np.ndarray | None:
    length = arc_length(points)
    if length[-1] < 0.3:
        return None
    distances = np.linspace(0, length[-1], max(3, int(length[-1] / STEP) + 2))
    return np.stack(
        [np.interp(distances, length, points[:, 0]), np.interp(distances, length, points[:, 1])], axis=1
    )


def _distort_path(path: np.ndarray, pen: Pen, rng: np.random.Generator, repeated: bool) -> np.ndarray:
    """Distort the path as a hand does: overshoot, wobble, and an offset from the first line when repeated."""
    closed = np.hypot(*(path[0] - path[-1])) < 1e-6
    # A hand overshoots long strokes; on short ones it would look like a mistake.
    reach = min(pen.overshoot, 0.09 * len(path) * STEP) * rng.uniform(0.5, 1.2)
    if reach > 0.2 and not closed:
        ends = path[[0, -1]] - path[[2, -3]]
        ends *= (reach / np.maximum(np.hypot(*ends.T), 1e-6))[:, None]
        path = np.concatenate([path[:1] + ends[:1], path, path[-1:] + ends[1:]])
    amplitude = pen.wobble + (pen.redraw_offset * 0.7 if repeated else 0.0)
    if amplitude:
        path = path + amplitude * np.stack([_sample_slow_noise(len(path), rng, closed) for _ in "xy"], axis=1)
    if repeated:
        path = path + rng.normal(0, pen.redraw_offset * 0.6, 2)
    return path


def _sample_slow_noise(count: int, rng: np.random.Generator, closed: bool = False) -> np.ndarray:
    """Sample smooth noise of unit order, float64 (count,); a wave is about 40/256 of the side long."""
    waves = max(1.0, count * STEP / 40)
    if closed:
        waves = round(waves)
    t = np.linspace(0, 2 * np.pi, count)
    a, b, c = rng.uniform(0, 2 * np.pi, 3)
    strength = rng.uniform(0.5, 1.0)
    return strength * (
        0.6 * np.sin(waves * t + a) + 0.4 * np.sin(2 * waves * t + b) + 0.15 * np.sin(4 * waves * t + c)
    )


def _compute_widths(path: np.ndarray, weight: float, pen: Pen, rng: np.random.Generator) -> np.ndarray:
    count = len(path)
    width = np.full(count, pen.width * weight**pen.contrast)
    if pen.pressure:
        width *= 1 + pen.pressure * 0.75 * _sample_slow_noise(count, rng)
    if pen.nib:
        along = np.gradient(path, axis=0)
        angle = np.arctan2(along[:, 1], along[:, 0]) - np.radians(pen.nib_angle)
        width *= 1 - pen.nib * (1 - np.abs(np.sin(angle)))
    if pen.taper:
        reach = min(pen.taper_length / STEP, 0.45 * count)
        from_end = np.minimum(np.arange(count), np.arange(count)[::-1])
        width *= 1 - pen.taper * (1 - np.sin(0.5 * np.pi * np.minimum(from_end / reach, 1)))
    return np.maximum(width, MIN_WIDTH)


def _split_at_gaps(count: int, pen: Pen, rng: np.random.Generator) -> list[slice]:
    """Split the samples into ranges that are drawn; one range of all unless the pen leaves gaps."""
    if not pen.gaps or count * STEP < 14:
        return [slice(0, count)]
    parts, start = [], 0
    while start < count:
        run = int(rng.uniform(10, 34) / STEP)
        parts.append(slice(start, min(count, start + run)))
        start += run + max(2, int(run * pen.gaps / (1 - pen.gaps)))
    return [part for part in parts if part.stop - part.start > 1]


def _paint(canvas: np.ndarray, path: np.ndarray, width: np.ndarray, ink: int) -> None:
    """Draw a line whose width changes, as runs of equal width on the fine canvas."""
    fixed = _to_fixed_point(path)
    # With fractional coordinates OpenCV paints only odd widths: 1, 3, 5, 7 pixels for thickness 1, 2, 3, 5.
    half = np.maximum(0, np.round((width - 1) / 2)).astype(int)
    thick = np.where(half < 2, half + 1, 2 * half - 1)
    edges = np.flatnonzero(np.diff(thick)) + 1
    for a, b in zip([0, *edges], [*edges, len(thick)], strict=True):
        # One sample of overlap on either side closes the seam between two widths.
        run = fixed[max(0, a - 1) : b + 1] if b - a < 2 else fixed[a : b + 1]
        cv2.polylines(canvas, [run], False, ink, int(thick[a]), shift=4)
