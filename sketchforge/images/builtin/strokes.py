"""Geometry of line drawings: splines, arcs and clipping, all as polylines in image coordinates.

A point list is a float array of shape (N, 2) holding (x, y); y points down.  Subjects are authored on a
100 x 100 square; :class:`Stroke` carries the same curve in the unit square.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

SAMPLES_PER_SPAN = 12


@dataclass(frozen=True)
class Stroke:
    """One pen movement.

    points: (N, 2) float array in the unit square, N >= 2; an empty array means nothing is drawn.
    weight: relative width, 1 for an ordinary contour, more for outlines, less for detail.
    area: (M, 2) float array of a region to fill before the line is drawn, or None.
    ink: whether the area is filled with ink (True) or with paper, hiding what lies behind (False).
    """

    points: np.ndarray
    weight: float = 1.0
    area: np.ndarray | None = None
    ink: bool = False


def parse_points(text: str) -> tuple[np.ndarray, list[int], bool]:
    """Read ``"x,y x,y! ... z"``; ``!`` marks a sharp corner, a final ``z`` closes the curve.

    Returns the points (N, 2), the indices of the corners, and whether the curve is closed.
    """
    tokens = text.split()
    closed = tokens[-1] == "z"
    if closed:
        tokens.pop()
    corners = [i for i, token in enumerate(tokens) if token.endswith("!")]
    points = np.array([[float(v) for v in token.rstrip("!").split(",")] for token in tokens])
    return points, corners, closed


def catmull_rom(points: np.ndarray, closed: bool = False) -> np.ndarray:
    """Centripetal Catmull-Rom spline through `points` (N, 2); N >= 2 (3 when closed).

    Centripetal knots keep the curve free of loops and overshoot when the points are unevenly spaced.
    Returns a polyline; a closed one ends on its first point.
    """
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    step = np.sqrt(np.maximum(np.hypot(*np.diff(padded, axis=0).T), 1e-9))[:, None]
    slope = np.diff(padded, axis=0) / step
    before, after = step[:-1], step[1:]
    tangent = (slope[:-1] * after + slope[1:] * before) / (before + after)
    start, end = padded[1:-2, None], padded[2:-1, None]
    span = step[1:-1, None]
    t = np.linspace(0, 1, SAMPLES_PER_SPAN, endpoint=False)[None, :, None]
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * span * tangent[:-1, None]
        + (3 * t**2 - 2 * t**3) * end
        + (t**3 - t**2) * span * tangent[1:, None]
    )
    return np.concatenate([curve.reshape(-1, 2), padded[-2:-1]])


def spline_pieces(points: np.ndarray, corners: list[int], closed: bool) -> list[np.ndarray]:
    """Split a curve at its corners and smooth each piece; consecutive pieces share their end points."""
    if closed and not corners:
        return [catmull_rom(points, closed=True)]
    if closed:
        points = np.roll(points, -corners[0], axis=0)
        corners = [c - corners[0] for c in corners]
        points = np.concatenate([points, points[:1]])
    cuts = sorted({0, *corners, len(points) - 1})
    return [catmull_rom(points[a : b + 1]) for a, b in pairwise(cuts)]


def ellipse(
    cx: float, cy: float, rx: float, ry: float, rotation: float = 0.0, start: float = 0.0, end: float = 360.0
) -> np.ndarray:
    """Arc of an ellipse from `start` to `end` degrees (clockwise on the page, 0 = right), turned by
    `rotation` degrees about its centre."""
    count = max(8, int(abs(end - start) / 7))
    angle = np.radians(np.linspace(start, end, count))
    local = np.stack([rx * np.cos(angle), ry * np.sin(angle)], axis=1)
    return local @ rotation_matrix(rotation).T + (cx, cy)


def rotation_matrix(degrees: float) -> np.ndarray:
    """2 x 2 matrix turning clockwise on the page (y down)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])


def arc_length(points: np.ndarray) -> np.ndarray:
    """Distance along a polyline at each of its points, shape (N,)."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])


def resample(points: np.ndarray, count: int) -> np.ndarray:
    """`count` points at equal distances along a polyline."""
    length = arc_length(points)
    distances = np.linspace(0, length[-1], count)
    return np.stack([np.interp(distances, length, points[:, k]) for k in (0, 1)], axis=1)


def bumpy(points: np.ndarray, size: float, height: float) -> np.ndarray:
    """Row of round bumps of about `size` along a polyline, standing out on its left by `height`."""
    count = max(2, round(arc_length(points)[-1] / size))
    base = resample(points, count + 1)
    chord = np.diff(base, axis=0)
    normal = np.stack([chord[:, 1], -chord[:, 0]], axis=1)
    normal /= np.maximum(np.hypot(*normal.T), 1e-9)[:, None]
    # Uneven bumps look grown rather than stamped; a fixed pattern keeps the geometry deterministic.
    uneven = 1 + 0.3 * np.sin(np.arange(count) * 2.4)
    t = np.linspace(0, 1, 9)[None, :, None]
    bump = np.sin(np.pi * t) ** 0.7 * (height * uneven)[:, None, None] * normal[:, None]
    return (base[:-1, None] + t * chord[:, None] + bump).reshape(-1, 2)


def hatch_lines(area: np.ndarray, angle: float, gap: float) -> list[np.ndarray]:
    """Parallel lines `gap` apart at `angle` degrees, cut to the inside of the polygon `area` (M, 2)."""
    turn = rotation_matrix(-angle)
    local = area @ turn.T
    following = np.roll(local, -1, axis=0)
    lines = []
    for y in np.arange(local[:, 1].min() + gap / 2, local[:, 1].max(), gap):
        crosses = (local[:, 1] > y) != (following[:, 1] > y)
        a, b = local[crosses], following[crosses]
        xs = np.sort(a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1]))
        lines += [np.array([[x0, y], [x1, y]]) @ turn for x0, x1 in zip(xs[::2], xs[1::2], strict=False)]
    return lines
