"""Builder with which the subjects are authored: curves, symmetry, hatching, strands, leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .strokes import (
    Stroke,
    bumpy,
    catmull_rom,
    ellipse,
    hatch_lines,
    parse_points,
    resample,
    rotation_matrix,
    spline_pieces,
)

PAPER, INK, NONE = "paper", "ink", "none"


class Sketch:
    """Collects strokes on a 100 x 100 square (y down), painted in order.

    Closed curves hide what was drawn before them (fill PAPER) unless `fill` differs; open curves do not.
    A weight `w` of 0 fills without an outline.
    """

    def __init__(self) -> None:
        self.strokes: list[Stroke] = []
        self._matrix = np.eye(2)
        self._shift = np.zeros(2)
        self._mirror_x: float | None = None

    def curve(self, text: str, w: float = 1.0, fill: str | None = None) -> None:
        """Smooth curve through ``"x,y x,y! ... z"`` (see :func:`strokes.parse_points`)."""
        points, corners, closed = parse_points(text)
        self._add(spline_pieces(points, corners, closed), w, fill or (PAPER if closed else NONE))

    def lines(self, text: str, w: float = 1.0, fill: str | None = None) -> None:
        """Straight segments through the points of `text`."""
        points, _, closed = parse_points(text)
        self._add(
            spline_pieces(points, list(range(len(points))), closed), w, fill or (PAPER if closed else NONE)
        )

    def oval(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float | None = None,
        rot: float = 0.0,
        arc: tuple[float, float] = (0, 360),
        w: float = 1.0,
        fill: str | None = None,
    ) -> None:
        """Ellipse, or the part of it between two angles in degrees (0 = right, 90 = down)."""
        full = arc[1] - arc[0] >= 360
        self._add(
            [ellipse(cx, cy, rx, rx if ry is None else ry, rot, *arc)], w, fill or (PAPER if full else NONE)
        )

    def dot(self, x: float, y: float, r: float = 0.8, fill: str = INK) -> None:
        """Round spot of ink, or of bare paper, without an outline."""
        self._add([ellipse(x, y, r, r)], 0, fill)

    def strands(self, first: str, last: str, n: int, w: float = 0.6, trim: float = 0.0) -> None:
        """`n` curves blended between two guide curves (guides not drawn); `trim` shortens the ends of
        every other strand by that share, so that bundles do not end on a common edge."""
        a, b = (resample(catmull_rom(parse_points(t)[0]), 40) for t in (first, last))
        for k in range(n):
            f = (k + 1) / (n + 1)
            cut = int(40 * trim * (1 + (k * 7) % 5) / 5)
            self._add([(a * (1 - f) + b * f)[cut // 2 : 40 - cut]], w, NONE)

    def hatch(self, text: str, angle: float = 45.0, gap: float = 2.0, w: float = 0.5) -> None:
        """Parallel shading lines inside a closed spline."""
        points, corners, _ = parse_points(text)
        area = np.concatenate(spline_pieces(points, corners, True))
        for line in hatch_lines(area, angle, gap):
            if np.hypot(*(line[1] - line[0])) > gap * 0.6:
                self._add([line], w, NONE)

    def bumps(
        self, text: str, size: float = 4.0, height: float = 1.6, w: float = 1.0, fill: str | None = None
    ) -> None:
        """Scalloped line along a spline, bulging to the left of its direction (foliage, cloud, wool)."""
        points, corners, closed = parse_points(text)
        path = np.concatenate(spline_pieces(points, corners, closed))
        self._add([bumpy(path, size, height)], w, fill or (PAPER if closed else NONE))

    def leaf(
        self, x: float, y: float, angle: float, length: float, width: float, veins: int = 3, w: float = 0.9
    ) -> None:
        """Pointed leaf growing from (x, y) towards `angle` degrees (0 = right, 90 = down)."""
        h = width / 2
        with self.at(x, y, rot=angle):
            self.curve(
                f"0,0! {length * 0.3},{-h * 0.9} {length * 0.6},{-h * 0.8} {length},0! "
                f"{length * 0.6},{h * 0.85} {length * 0.3},{h} z",
                w,
            )
            self.curve(f"0,0 {length * 0.5},{h * 0.12} {length * 0.9},0", w * 0.7)
            for k in range(veins):
                t = length * (0.2 + 0.55 * k / max(veins - 1, 1))
                reach = h * (0.62 - 0.25 * k / max(veins, 1))
                self.curve(f"{t},0 {t + length * 0.1},{-reach}", w * 0.5)
                self.curve(f"{t},0 {t + length * 0.1},{reach}", w * 0.5)

    def bricks(
        self, x0: float, y0: float, x1: float, y1: float, row: float = 3.0, w: float = 0.5, keep: int = 1
    ) -> None:
        """Patch of brick joints; every `keep`-th joint only, so that a wall is suggested, not tiled."""
        for r, y in enumerate(np.arange(y0, y1, row)):
            for c, x in enumerate(np.arange(x0 + (r % 2) * row, x1 - row, 2 * row)):
                if (r * 3 + c * 2) % keep == 0:
                    self.lines(f"{x},{y} {x + 2 * row},{y} {x + 2 * row},{min(y + row, y1)}", w)

    @contextmanager
    def mirror(self, x: float) -> Iterator[None]:
        """Everything drawn inside is repeated reflected about the vertical line at `x`."""
        self._mirror_x = x
        yield
        self._mirror_x = None

    @contextmanager
    def at(
        self, x: float, y: float, scale: float = 1.0, rot: float = 0.0, stretch: float = 1.0
    ) -> Iterator[None]:
        """Local coordinates: origin at (x, y), scaled, turned by `rot` degrees, x stretched
        (a negative stretch reflects)."""
        saved = self._matrix, self._shift
        self._shift = self._shift + self._matrix @ np.array([x, y], float)
        self._matrix = self._matrix @ rotation_matrix(rot) @ np.diag([scale * stretch, scale])
        yield
        self._matrix, self._shift = saved

    def _add(self, pieces: list[np.ndarray], w: float, fill: str) -> None:
        transformed = [piece @ self._matrix.T + self._shift for piece in pieces]
        self._append(transformed, w, fill)
        if self._mirror_x is not None:
            axis = 2 * self._mirror_x
            self._append([np.stack([axis - p[:, 0], p[:, 1]], axis=1) for p in transformed], w, fill)

    def _append(self, pieces: list[np.ndarray], w: float, fill: str) -> None:
        if fill != NONE:
            self.strokes.append(Stroke(np.empty((0, 2)), w, np.concatenate(pieces) / 100, fill == INK))
        if w > 0:
            self.strokes += [Stroke(piece / 100, w) for piece in pieces if len(piece) > 1]
