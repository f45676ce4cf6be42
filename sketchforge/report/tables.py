"""A table of formatted cells, for any output: a page, Markdown or a terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sketchforge.metrics.estimates import Estimate


@dataclass(frozen=True)
class Heading:
    title: str
    published: bool = False  # whether the column holds the paper's figures
    words: bool = False  # whether the column holds text rather than numbers


@dataclass(frozen=True)
class CellBar:
    """A figure to draw on a scale, where lengths say more than numbers; only pages show it."""

    figure: Estimate
    scale: tuple[float, float]  # (low, high)
    mark: float | None = None  # the value to compare the figure with


@dataclass(frozen=True)
class Cell:
    value: str = ""  # empty: no value
    interval: str = ""  # the confidence interval, as "0.1 to 0.2"
    bar: CellBar | None = None


@dataclass(frozen=True)
class TableRow:
    name: str
    cells: tuple[Cell, ...]
    detail: str = ""  # in small print below the name
    published: bool = False  # whether it holds the paper's figures only


@dataclass(frozen=True)
class Table:
    title: str
    corner: str  # heading of the column of names
    headings: tuple[Heading, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()
    folded: Table | None = None  # to look up; a page shows it closed, below this one

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.headings):
                raise ValueError(f"{row.name}: {len(row.cells)} cells, but {len(self.headings)} headings")


def figure_cell(
    figure: Estimate | None, factor: float = 1, decimals: int | None = None, bar: CellBar | None = None
) -> Cell:
    """A cell of `factor` times a figure and its interval; decimals None: as many as show three digits."""
    if figure is None:
        return Cell()
    if decimals is None:
        decimals = digits(factor * figure.value)
    interval = ""
    if figure.low is not None and figure.high is not None:
        low, high = (format_decimals(factor * bound, decimals) for bound in (figure.low, figure.high))
        interval = f"{low} to {high}"
    return Cell(format_decimals(factor * figure.value, decimals), interval, bar)


def format_decimals(value: float, decimals: int) -> str:
    """A value with so many decimals; what rounds to zero has no sign."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def digits(value: float) -> int:
    """The decimals that show three digits of a value, at most four."""
    return 4 if abs(value) < 0.01 else min(4, max(0, 2 - math.floor(math.log10(abs(value)))))
