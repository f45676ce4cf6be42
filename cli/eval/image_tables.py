"""The figures of `sketchforge eval images` and `eval compare` as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cli.tables import aligned


def model_table(found: Any) -> Iterator[str]:
    """A line per figure of one model; then what is missing and what to be careful about."""
    from sketchforge.metrics.images.result import BETTER, CHANCE
    from sketchforge.report.tables import digits

    (model,) = found.models
    yield f"{model['name']}, {model['size']} x {model['size']}, against {_described(found.reference)}"
    chance = {
        row.titles[name]: figure.value
        for row in found.rows
        if row.name == CHANCE
        for name, figure in row.figures.items()
    }
    table = [["", "value [95 %]", "chance", "better", "pairs", "images"]]
    for row in found.rows:
        for name, figure in row.figures.items() if row.name != CHANCE else ():
            title = row.titles[name]
            without = f"{chance[title]:.{digits(figure.value)}f}" if title in chance else "-"
            table.append([title, shown(figure), without, BETTER[name], row.pairs, str(row.count)])
    yield from aligned(table)
    yield ""
    yield "mismatched: the style is another image's; matched: the image's own"
    yield "chance: the sketch's own image in place of the image, or another sketch in place of its drawing"
    yield from _remarks(found)


def comparison_tables(found: Any) -> Iterator[str]:
    """A table per network, a line per set."""
    yield f"distances from {_described(found.reference)}; lower is better"
    for features in dict.fromkeys(row.features for row in found.rows):
        rows = [row for row in found.rows if row.features == features]
        titles = rows[0].titles
        table = [["", *titles.values(), "n"]]
        for row in rows:
            table.append([row.name, *(shown(row.figures[name]) for name in titles), str(row.count)])
        yield from aligned(table)
        yield ""
    yield from _remarks(found)


def shown(figure: Any) -> str:
    """Three digits, the interval with as many decimals."""
    from sketchforge.report.tables import digits

    decimals = digits(figure.value)
    interval = "" if figure.low is None else f" [{figure.low:.{decimals}f} {figure.high:.{decimals}f}]"
    return f"{figure.value:.{decimals}f}{interval}"


def _described(reference: Any) -> str:
    return f"{reference['name']} ({reference['count']} images, {reference['sizes']})"


def _remarks(found: Any) -> Iterator[str]:
    from sketchforge.metrics.estimates import merge_missing

    yield "[95 %]: bootstrap over sketches or images; the reference stays as it is"
    notes: dict[str, list[str]] = {}
    for row in found.rows:
        if row.note:
            titles = notes.setdefault(row.note, [])
            titles += [title for title in row.titles.values() if title not in titles]
    for note, titles in notes.items():
        yield f"note: {', '.join(titles)}: {note}"
    for kind, remarks in (("warning", found.warnings), ("missing", found.gaps)):
        for told in merge_missing(remarks):
            yield ": ".join(filter(None, (kind, *told)))
