"""The figures of `sketchforge eval sketches` as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cli.tables import align

# By block: (name of the figure, heading, factor, decimals).
COLUMNS: dict[str, list[tuple[str, str, float, int]]] = {
    "content": [
        ("f_ods", "F (ODS)", 1, 3),
        ("f_ois", "F (OIS)", 1, 3),
        ("precision", "precision", 1, 3),
        ("recall", "recall", 1, 3),
    ],
    "realism": [("auc", "AUC", 1, 3), ("kid", "KID ×1000", 1000, 1)],
    "variety": [("vendi", "Vendi", 1, 2), ("shared", "shared lines", 1, 3)],
    "strokes": [
        ("ink", "ink %", 100, 1),
        ("width", "width px", 1, 1),
        ("straightness", "straight", 1, 2),
        ("fragments", "fragments", 1, 0),
        ("short_share", "short %", 100, 1),
    ],
}
DISTANCES = [
    ("relative_width", "width", 1, 1) if column[0] == "width" else column for column in COLUMNS["strokes"]
]


def tables(evaluation: Any) -> Iterator[str]:
    """Yield the tables, in blocks, each with a line on how to read it; then what is missing."""
    from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY

    styles, people = evaluation.of_kind("style"), evaluation.of_kind("people")
    references = evaluation.of_kind("reference")
    blocks = (
        (CONTENT, "agreement with people's boundaries, 0 to 1, higher is better", [*styles, *people]),
        (
            REALISM,
            "told from drawings by people: AUC (0.5: not at all) and KID, lower is better",
            styles + references,
        ),
        (
            VARIETY,
            "of pen and ink (Vendi), higher is better; of lines (share in common), lower is better",
            evaluation.of_kind("folder", "pairs"),
        ),
        (STROKES, "median over sketches [95 %]", styles + references),
    )
    for block, explanation, rows in blocks:
        columns = [column for column in COLUMNS[block] if any(row.figure(block, column[0]) for row in rows)]
        measured = [row for row in rows if row.figures.get(block)]
        if not measured or not columns:
            continue
        yield f"{block}: {explanation}"
        yield from _format_table(block, columns, measured)
        if block == CONTENT and people:
            yield "people: each annotator against the others"
        if block == CONTENT and any(row.is_marked for row in measured):
            yield "*: published weights learnt from BSDS500; its train and val are in their training set"
        if block == STROKES:
            yield "10th to 90th percentile over sketches"
            yield from _format_table(block, columns, measured, _format_percentiles)
            compared = [row for row in measured if row.figure(block, f"distance_{DISTANCES[0][0]}")]
            if compared:
                yield "distance from the references' distribution in its inter-quartile ranges, lower is better"
                yield from _format_table(
                    block,
                    [(f"distance_{name}", heading.split()[0], 1, 1) for name, heading, _, _ in DISTANCES],
                    compared,
                )
        yield ""
    if references:
        yield f"the floor is {references[0].name}: one half against the other, over 20 halvings"
    yield "[95 %]: percentile bootstrap over images; n: images"
    for gap in evaluation.gaps:
        yield f"missing: {': '.join(part for part in (gap.row, gap.block, gap.reason) if part)}"


def _format_table(
    block: str, columns: Sequence[Any], rows: Sequence[Any], cell: Callable[..., str] | None = None
) -> list[str]:
    """Format one line per row: its name, its figures, and n, the largest number of images behind one of them.

    cell: formats a figure with its factor and decimals; None: value and interval.
    """
    cell = cell or _format_interval
    table = [["", *(heading for _, heading, _, _ in columns), "n"]]
    for row in rows:
        figures = [row.figure(block, name) for name, _, _, _ in columns]
        cells = [
            cell(figure, factor, decimals) if figure else "-"
            for figure, (_, _, factor, decimals) in zip(figures, columns, strict=True)
        ]
        counts = [figure.images for figure in figures if figure]
        mark = " *" if block == "content" and row.is_marked else ""
        table.append(["people" if row.kind == "people" else row.name + mark, *cells, str(max(counts))])
    return align(table)


def _format_interval(figure: Any, factor: float, decimals: int) -> str:
    value, low, high = (
        _format_number(number, factor, decimals) for number in (figure.value, figure.low, figure.high)
    )
    return f"{value} [{low} {high}]" if low else value


def _format_percentiles(figure: Any, factor: float, decimals: int) -> str:
    return f"{_format_number(figure.p10, factor, decimals)} to {_format_number(figure.p90, factor, decimals)}"


def _format_number(value: float | None, factor: float, decimals: int) -> str:
    if value is None:
        return ""
    from sketchforge.report.tables import format_decimals

    return format_decimals(factor * value, decimals if abs(factor * value) < 100 else 0)
