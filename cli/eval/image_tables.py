"""The figures of `sketchforge eval images` and `eval compare` as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cli.tables import align
from sketchforge.utils.text import count_noun


def model_table(evaluation: Any) -> Iterator[str]:
    """Yield a line per figure of the one model; then notes, warnings and missing figures."""
    from sketchforge.metrics.images.result import BETTER, CHANCE
    from sketchforge.report.tables import digits

    (model,) = evaluation.models
    yield (
        f"{model['name']}, {model['size']} x {model['size']}, sketches of {model['sketches']}, against "
        f"{_describe_reference(evaluation.reference)}"
    )
    chance = {
        row.titles[name]: figure.value
        for row in evaluation.rows
        if row.name == CHANCE
        for name, figure in row.figures.items()
    }
    table = [["", "value [95 %]", "chance", "better", "pairs", "images"]]
    for row in evaluation.rows:
        for name, figure in row.figures.items() if row.name != CHANCE else ():
            title = row.titles[name]
            at_chance = f"{chance[title]:.{digits(figure.value)}f}" if title in chance else "-"
            table.append([title, format_cell(figure), at_chance, BETTER[name], row.pairs, str(row.count)])
    yield from align(table)
    yield ""
    yield "mismatched: the style is another image's; matched: the image's own"
    yield "chance: the sketch's own image in place of the generated one, or another sketch in place of its drawing"
    yield from _list_remarks(evaluation)


def comparison_tables(evaluation: Any) -> Iterator[str]:
    """Yield a table per network with a line per set; then notes, warnings and missing figures."""
    yield f"distances from {_describe_reference(evaluation.reference)}; lower is better"
    for model in evaluation.models:
        yield f"{model['name']}: sketches of {model['sketches']}"
    for features in dict.fromkeys(row.features for row in evaluation.rows):
        rows = [row for row in evaluation.rows if row.features == features]
        titles = rows[0].titles
        table = [["", *titles.values(), "n"]]
        for row in rows:
            table.append([row.name, *(format_cell(row.figures[name]) for name in titles), str(row.count)])
        yield from align(table)
        yield ""
    yield from _list_remarks(evaluation)


def format_cell(figure: Any) -> str:
    """Format a figure with three significant digits, its interval with as many decimals."""
    from sketchforge.report.tables import digits, format_decimals

    decimals = digits(figure.value)
    value = format_decimals(figure.value, decimals)
    if figure.low is None:
        return value
    return f"{value} [{format_decimals(figure.low, decimals)} {format_decimals(figure.high, decimals)}]"


def _describe_reference(reference: Any) -> str:
    return f"{reference['name']} ({count_noun(reference['count'], 'image')}, {reference['sizes']})"


def _list_remarks(evaluation: Any) -> Iterator[str]:
    from sketchforge.metrics.estimates import merge_missing

    yield "[95 %]: bootstrap over sketches or images; the reference stays as it is"
    notes: dict[str, list[str]] = {}
    for row in evaluation.rows:
        if row.note:
            titles = notes.setdefault(row.note, [])
            titles += [title for title in row.titles.values() if title not in titles]
    for note, titles in notes.items():
        yield f"note: {', '.join(titles)}: {note}"
    for kind, remarks in (("warning", evaluation.warnings), ("missing", evaluation.gaps)):
        for remark in merge_missing(remarks):
            yield ": ".join(filter(None, (kind, *remark)))
