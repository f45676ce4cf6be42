"""Curves over training steps as SVG documents; bars and histograms as inline SVG of pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

from sketchforge.metrics.estimates import Estimate

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 28, 36  # margins: numbers at the left and below, names at the right
LETTER = 6.2  # width of a letter of names, at most in the mean; longer names take a wider margin
# Dark enough on white, and apart for the colour-blind (Okabe & Ito; grey in place of their yellow).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#888888")

Points = Sequence[tuple[float, float]]


def curves_svg(series: Mapping[str, Sequence[Points]], title: str, x_label: str) -> str:
    """Draw an SVG document: a colour for every name, a line for each of its runs.

    series: name -> runs, each of points (x, y) with x ascending; of one point, a dot. Values that are not finite are
    left out.
    The y axis begins at 0, or at a round number below 0 where there are negative values. A name without runs
    is not shown, but takes a colour, so that the names after it keep theirs from one image to the next.
    Raises ValueError where there is no finite point.
    """
    points = [point for runs in series.values() for run in runs for point in run if math.isfinite(point[1])]
    if not points:
        raise ValueError("curves need at least one point")
    x_ticks = ticks(max(x for x, _ in points))
    y_ticks = ticks_between(min(y for _, y in points), max(y for _, y in points))
    low, high = y_ticks[0], y_ticks[-1]
    shown = [name for name, runs in series.items() if runs]
    end = WIDTH - max(RIGHT, math.ceil(32 + LETTER * max(map(len, shown))))

    def to_pixels(x: float, y: float) -> tuple[float, float]:
        across, up = x / x_ticks[-1], (y - low) / (high - low)
        return LEFT + across * (end - LEFT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="16" font-size="13">{escape(title)}</text>',
        f'<text x="{(LEFT + end) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>',
    ]
    for tick in y_ticks:
        _, y = to_pixels(0, tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{end}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, y = to_pixels(tick, low)
        parts.append(f'<text x="{x:.1f}" y="{y + 15:.1f}" text-anchor="middle">{tick:g}</text>')
    num_named = 0
    for number, (name, runs) in enumerate(series.items()):
        if not runs:
            continue
        colour = COLOURS[number % len(COLOURS)]
        for run in runs:
            places = [to_pixels(x, y) for x, y in run if math.isfinite(y)]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            if len(places) == 1:
                (x, top) = places[0]
                parts.append(f'<circle cx="{x:.1f}" cy="{top:.1f}" r="3" fill="{colour}"/>')
        y = TOP + 14 + 16 * num_named
        num_named += 1
        parts.append(f'<path d="M{end + 10} {y - 4}h16" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{end + 32}" y="{y}">{escape(name)}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def ticks(largest: float) -> list[float]:
    """0 and up to six round numbers above it; the last is `largest` or the next beyond it."""
    if largest <= 0:
        return [0.0, 1.0]
    rough = largest / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    return [round(step * count, 12) for count in range(math.ceil(largest / step - 1e-9) + 1)]


def ticks_between(smallest: float, largest: float) -> list[float]:
    """As `ticks`; a negative `smallest` adds steps of the same size below 0 until they reach it."""
    if smallest >= 0:
        return ticks(largest)
    step = ticks(max(largest, -smallest))[1]
    below, above = math.ceil(-smallest / step - 1e-9), math.ceil(max(largest, 0) / step - 1e-9)
    return [round(step * count, 12) for count in range(-below, above + 1)]


# Inline SVG of pages: figures with interval and mark on one scale, and histograms.

BINS = 24


def key_to_mark() -> Markup:
    """The mark of `bar` alone, for a legend."""
    return Markup(f'<svg class="key" viewBox="0 0 12 16" aria-hidden="true">{_draw_mark(6)}</svg>')


def scale_of(figures: Sequence[Estimate]) -> tuple[float, float]:
    """(low, high) of a scale that holds 0, the figures and their intervals."""
    ends = [
        value for figure in figures for value in (figure.value, figure.low, figure.high) if value is not None
    ]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    return (low, high) if high > low else (low, low + 1)


def bar(figure: Estimate, scale: tuple[float, float], mark: float | None) -> Markup:
    """Draw a dot for the value, a bar for the interval, and a mark for what the figure is compared with.

    The drawing spans `scale`, (low, high), from left to right.
    """

    def to_x(value: float) -> float:
        return round(4 + 112 * (value - scale[0]) / (scale[1] - scale[0]), 1)

    shapes = ['<line class="axis" x1="4" y1="12" x2="116" y2="12"/>']
    if mark is not None:
        shapes.append(_draw_mark(to_x(mark)))
    if figure.low is not None and figure.high is not None:
        width = max(1, to_x(figure.high) - to_x(figure.low))
        shapes.append(f'<rect class="interval" x="{to_x(figure.low)}" y="5" width="{width:.1f}" height="6"/>')
    shapes.append(f'<circle class="value" cx="{to_x(figure.value)}" cy="8" r="3"/>')
    return Markup(f'<svg class="bar" viewBox="0 0 120 16" aria-hidden="true">{"".join(shapes)}</svg>')


def plot(
    values: Sequence[float], people: Sequence[float] | None, bounds: tuple[float, float], label: str
) -> Markup:
    """Draw the histogram of `values` as a line over the filled one of `people`, both at full height."""
    shapes = [] if people is None else [f'<path class="people" d="{_draw_histogram(people, bounds)}z"/>']
    shapes.append(f'<path class="style" d="{_draw_histogram(values, bounds)}"/>')
    opening = f'<svg class="plot" viewBox="0 0 120 40" role="img" aria-label="{escape(label)}">'
    return Markup(f"{opening}{''.join(shapes)}</svg>")


def _draw_mark(x: float) -> str:
    return f'<line class="floor" x1="{x}" y1="1" x2="{x}" y2="15"/>'


def _draw_histogram(values: Sequence[float], bounds: tuple[float, float]) -> str:
    """The steps of a histogram as an SVG path over 120 x 40; the highest bin reaches the top."""
    clipped = np.clip(np.asarray(values, float), *bounds)
    counts = np.histogram(clipped, bins=BINS, range=bounds)[0]
    heights = 39 - 36 * counts / max(1, counts.max())
    width = 120 / BINS
    steps = "".join(f"V{height:.1f}H{(index + 1) * width:.0f}" for index, height in enumerate(heights))
    return f"M0 39{steps}V39"
