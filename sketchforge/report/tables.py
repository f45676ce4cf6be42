"""A table as words, for whatever shows it: a page, Markdown or a terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sketchforge.metrics.estimates import Estimate


@dataclass(frozen=True)
class Heading:
    title: str
    published: bool = False  # a column of the paper's figures
    words: bool = False  # of text rather than numbers


@dataclass(frozen=True)
class CellBar:
    """A figure to be drawn to a scale, where lengths tell more than numbers do; pages alone show it."""

    figure: Estimate
    scale: tuple[float, float]  # its ends
    mark: float | None = None  # what the figure is to be compared with


@dataclass(frozen=True)
class Cell:
    value: str = ""  # empty: there is none
    interval: str = ""  # of the interval, "0.1 to 0.2"
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
    corner: str  # heading of the names
    headings: tuple[Heading, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.headings):
                raise ValueError(f"{row.name}: {len(row.cells)} cells, but {len(self.headings)} headings")


def figure_cell(
    figure: Estimate | None, factor: float = 1, decimals: int | None = None, bar: CellBar | None = None
) -> Cell:
    """A figure and its interval; decimals None: as many as give three digits."""
    if figure is None:
        return Cell()
    if decimals is None:
        decimals = digits(factor * figure.value)
    interval = ""
    if figure.low is not None and figure.high is not None:
        interval = f"{factor * figure.low:.{decimals}f} to {factor * figure.high:.{decimals}f}"
    return Cell(f"{factor * figure.value:.{decimals}f}", interval, bar)


def digits(value: float) -> int:
    """Decimals that show three digits of a value, four at most."""
    return 4 if abs(value) < 0.01 else min(4, max(0, 2 - math.floor(math.log10(abs(value)))))
