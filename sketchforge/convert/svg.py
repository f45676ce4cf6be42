"""Drawings as SVG: FOLDER/HAND/KEY.svg, lines as paths with the width of the pen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sketchforge.convert.drawings import LineDrawing
from sketchforge.convert.file_names import name_folders
from sketchforge.strokes.stored import StoredHand
from sketchforge.utils.files import remove_abandoned, write_bytes

WIDTH_STEP = 0.5  # pixels: a line whose width changes becomes several paths, each of one width
THINNEST_STEPS = 2  # as pens are painted, a line is a pixel wide at least
STRAIGHT = 8 / 256  # of the side: a longer piece between two points is meant to be straight
CORNER = np.cos(np.deg2rad(60))  # of the turn from which a point is a corner


class SvgFolder:
    """Writes drawings into a folder, a file each."""

    def __init__(self, out: Path, names: Sequence[str]) -> None:
        self.folders = {
            name: out / folder for name, folder in zip(names, name_folders(names, "hand"), strict=True)
        }

    def has(self, key: str) -> bool:
        """Whether all drawings of a sample are there."""
        return all((folder / f"{key}.svg").is_file() for folder in self.folders.values())

    def add(self, drawing: LineDrawing) -> None:
        path = self.folders[drawing.hand.name] / f"{drawing.key}.svg"
        write_bytes(path, draw_svg(drawing.hand), sweep=False)


@contextmanager
def open_svg_folder(out: Path, names: Sequence[str]) -> Iterator[SvgFolder]:
    """Every file appears as soon as it is added."""
    writer = SvgFolder(out, names)
    for folder in writer.folders.values():
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
    yield writer


def draw_svg(hand: StoredHand) -> bytes:
    """The lines of a hand as an SVG file of the picture's size, UTF-8."""
    height, width = hand.lines.size
    paths = []
    for piece, begin in zip(hand.lines, hand.lines.offsets, strict=False):
        paths += _draw_line(
            piece.astype(np.float64) + 0.5, hand.widths[begin : begin + len(piece)], max(width, height)
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n'
        '<g fill="none" stroke="#000" stroke-linecap="round" stroke-linejoin="round">\n'
        + "".join(f"{path}\n" for path in paths)
        + "</g>\n</svg>\n"
    ).encode()


def _draw_line(points: np.ndarray, widths: np.ndarray, side: int) -> list[str]:
    """A path for each piece of a line that has one width; several pieces make a group."""
    steps = np.maximum(np.rint(np.minimum(widths[:-1], widths[1:]) / WIDTH_STEP), THINNEST_STEPS)
    if widths.min() == widths.max():
        return [_draw_path(points, 0, len(points) - 1, widths[0], side)]
    ends = [*(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
    begins = [0, *ends[:-1]]
    paths = [
        _draw_path(points, begin, end, steps[begin] * WIDTH_STEP, side)
        for begin, end in zip(begins, ends, strict=True)
    ]
    return [f"<g>{''.join(paths)}</g>"]


def _draw_path(points: np.ndarray, begin: int, end: int, width: float, side: int) -> str:
    """Points begin to end of a line: curves through them (Catmull-Rom), straight where they lie far apart."""
    tangents = _find_tangents(points)
    words = [f"M{_format(points[begin])}"]
    for number in range(begin, end):
        here, there = points[number], points[number + 1]
        length = float(np.linalg.norm(there - here))
        if length > STRAIGHT * side:
            words.append(f"L{_format(there)}")
            continue
        first = here + tangents[number] * length / 3
        second = there - tangents[number + 1] * length / 3
        words.append(f"C{_format(first)} {_format(second)} {_format(there)}")
    return f'<path stroke-width="{width:.4g}" d="{"".join(words)}"/>'


def _find_tangents(points: np.ndarray) -> np.ndarray:
    """float64 (n,2): the line's direction at each point, of length 1; 0 at ends and corners."""
    tangents = np.zeros_like(points)
    if len(points) > 2:
        steps = np.diff(points, axis=0)
        steps /= np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-9)
        mean = steps[:-1] + steps[1:]
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
        is_smooth = (steps[:-1] * steps[1:]).sum(1) > CORNER
        tangents[1:-1] = mean * is_smooth[:, None]
    return tangents


def _format(point: np.ndarray) -> str:
    return f"{_shorten(point[0])},{_shorten(point[1])}"


def _shorten(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
