"""Inline SVG of pages: figures with interval and mark to one scale, and histograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sketchforge.metrics.evaluation import Figure
from sketchforge.report.page import text

BINS = 24


def key_to_mark() -> str:
    """The mark by itself, for a legend."""
    return f'<svg class="key" viewBox="0 0 12 16" aria-hidden="true">{_mark(6)}</svg>'


def scale_of(figures: Sequence[Figure]) -> tuple[float, float]:
    """The ends of a scale for figures and their intervals; 0 is on it."""
    ends = [value for one in figures for value in (one.value, one.low, one.high) if value is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    return (low, high) if high > low else (low, low + 1)


def bar(figure: Figure, scale: tuple[float, float], mark: float | None) -> str:
    """A dot for the value, a bar for the interval, a mark for what it is compared with; `scale` from left to
    right."""

    def at(value: float) -> float:
        return round(4 + 112 * (value - scale[0]) / (scale[1] - scale[0]), 1)

    shapes = ['<line class="axis" x1="4" y1="12" x2="116" y2="12"/>']
    if mark is not None:
        shapes.append(_mark(at(mark)))
    if figure.low is not None and figure.high is not None:
        width = max(1, at(figure.high) - at(figure.low))
        shapes.append(f'<rect class="interval" x="{at(figure.low)}" y="5" width="{width:.1f}" height="6"/>')
    shapes.append(f'<circle class="value" cx="{at(figure.value)}" cy="8" r="3"/>')
    return f'<svg class="bar" viewBox="0 0 120 16" aria-hidden="true">{"".join(shapes)}</svg>'


def plot(
    values: Sequence[float], people: Sequence[float] | None, bounds: tuple[float, float], label: str
) -> str:
    """The histogram of values as a line over the filled one of people, both to their own height."""
    shapes = [] if people is None else [f'<path class="people" d="{_histogram(people, bounds)}z"/>']
    shapes.append(f'<path class="style" d="{_histogram(values, bounds)}"/>')
    opening = f'<svg class="plot" viewBox="0 0 120 40" role="img" aria-label="{text(label)}">'
    return f"{opening}{''.join(shapes)}</svg>"


def _mark(x: float) -> str:
    return f'<line class="floor" x1="{x}" y1="1" x2="{x}" y2="15"/>'


def _histogram(values: Sequence[float], bounds: tuple[float, float]) -> str:
    """The steps of a histogram as an SVG path over 120 x 40, its highest bin at the top."""
    found = np.clip(np.asarray(values, float), *bounds)
    counts = np.histogram(found, bins=BINS, range=bounds)[0]
    heights = 39 - 36 * counts / max(1, counts.max())
    width = 120 / BINS
    steps = "".join(f"V{height:.1f}H{(index + 1) * width:.0f}" for index, height in enumerate(heights))
    return f"M0 39{steps}V39"
