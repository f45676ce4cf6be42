"""Strokes to pixels, by the hand's pen: width, taper, pressure, gaps."""

from __future__ import annotations

import cv2
import numpy as np

from sketchforge.strokes.hands import Hand
from sketchforge.strokes.strokes import StrokeSet

SUPERSAMPLING = 3
INK_LEVEL = 0.5  # a painted pixel is ink where the pen covers half of it
_SHIFT = 4  # bits of fraction in OpenCV's coordinates
# What OpenCV's smooth lines really cover, in pixels: a thickness of 1 gives 1.3, one of 2k gives 1.3 + 2.05 k.
_THINNEST, _STEP = 1.3, 2.05
GAP = 0.012  # of the side: the length of a piece that the pen leaves out


def paint_strokes(
    strokes: StrokeSet,
    hand: Hand,
    darkness: np.ndarray | None,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> np.ndarray:
    """Paint strokes on white paper of `size` (height, width): uint8 HxW in grey, 255 = paper, 0 = ink.

    darkness: float32 (P,) in [0, 1] at the strokes' points, which the pressure follows; None: even pressure.
    """
    return paint_lines(*ink_lines(strokes, hand, darkness, rng), size)


def ink_lines(
    strokes: StrokeSet, hand: Hand, darkness: np.ndarray | None, rng: np.random.Generator
) -> tuple[StrokeSet, np.ndarray]:
    """The lines of ink that the hand's pen leaves of strokes, gaps cut out, and the width at each of their points.

    darkness: as `paint_strokes` takes it. Returns the lines and float64 (P,), in the strokes' own pixels.
    """
    if not len(strokes):
        return strokes, np.zeros(0)
    widths = _pen_widths(strokes, hand, darkness, rng)
    if not hand.gaps:
        return strokes, widths
    drawn = _drawn_segments(strokes, hand, rng) & ~_is_last(strokes)
    begins = np.flatnonzero(drawn & ~np.append(False, drawn[:-1]))
    ends = np.flatnonzero(drawn & ~np.append(drawn[1:], False)) + 2
    spans = list(zip(begins, ends, strict=True))
    pieces = [strokes.points[begin:end] for begin, end in spans]
    lines = StrokeSet.of(pieces, np.zeros(len(pieces), bool), strokes.size)
    return lines, np.concatenate([widths[begin:end] for begin, end in spans] or [np.zeros(0)])


def paint_lines(lines: StrokeSet, widths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Paint lines of ink on white paper of `size`: uint8 HxW in grey. widths: (P,), in the lines' own pixels."""
    height, width = size
    if not len(lines):
        return np.full(size, 255, np.uint8)
    scale = SUPERSAMPLING * max(size) / lines.side
    paper = np.full((height * SUPERSAMPLING, width * SUPERSAMPLING), 255, np.uint8)
    # At least 1.1 pixels of the finished sketch: in black and white a thinner line would vanish between two pixels.
    widths = np.maximum(2 * np.round((widths * scale - _THINNEST) / _STEP), 2).astype(np.int32)
    # A point's centre is at its coordinate plus a half, on either grid.
    points = np.round(((lines.points + 0.5) * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)
    segment_widths = np.minimum(widths, np.append(widths[1:], widths[-1:]))
    drawn = ~_is_last(lines)
    for pen in np.unique(segment_widths[drawn]):
        here = drawn & (segment_widths == pen)
        begins = np.flatnonzero(here & ~np.append(False, here[:-1]))
        ends = np.flatnonzero(here & ~np.append(here[1:], False)) + 1
        runs = [points[begin : end + 1] for begin, end in zip(begins, ends, strict=True)]
        cv2.polylines(paper, runs, False, 0, int(pen), cv2.LINE_AA, _SHIFT)
    return cv2.resize(paper, (width, height), interpolation=cv2.INTER_AREA)


def _is_last(strokes: StrokeSet) -> np.ndarray:
    """bool (P,): whether a point ends its stroke, so that no segment begins there."""
    last = np.zeros(len(strokes.points), bool)
    last[strokes.offsets[1:] - 1] = True
    return last


def _pen_widths(
    strokes: StrokeSet, hand: Hand, darkness: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """float64 (P,): the width at each point, in the strokes' own pixels."""
    owner = strokes.owner
    widths = np.full(len(strokes.points), hand.pen * strokes.side)
    widths *= np.exp(rng.normal(0, 1, len(strokes)) * hand.width_std)[owner]
    counts = np.diff(strokes.offsets)
    if hand.taper:
        along = (np.arange(len(owner)) - strokes.offsets[:-1][owner]) / np.maximum(counts - 1, 1)[owner]
        widths *= 1 - hand.taper * (1 - np.sin(np.pi * along.clip(0, 1)) ** 0.6)
    if hand.pressure and darkness is not None:
        widths *= 1 - hand.pressure + hand.pressure * (0.4 + 1.2 * darkness)
    return widths


def _drawn_segments(strokes: StrokeSet, hand: Hand, rng: np.random.Generator) -> np.ndarray:
    """bool (P,): whether the segment that begins at each point is drawn, and not one that the pen leaves out."""
    drawn = np.ones(len(strokes.points), bool)
    if hand.gaps:
        run = max(1, round(GAP * strokes.side / max(float(np.mean(_steps(strokes))), 1e-6)))
        starts = rng.random(len(drawn)) < hand.gaps / run
        for offset in range(run):
            drawn[offset:] &= ~starts[: len(starts) - offset]
    return drawn


def _steps(strokes: StrokeSet) -> np.ndarray:
    return np.linalg.norm(np.diff(strokes.points, axis=0), axis=1).clip(0, strokes.side / 16)
