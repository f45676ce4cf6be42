"""Tables and lists of facts for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def align(table: Sequence[Sequence[str]]) -> list[str]:
    """Format a line per row: the first column left-aligned, the others right-aligned, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def fact(name: str, value: str, width: int, indent: int = 0) -> str:
    """Format a line of a list of facts: the name in `width` characters, then the value."""
    return f"{' ' * indent}{name:<{width}}{value}".rstrip()
