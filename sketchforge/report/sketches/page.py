"""The evaluation of sketches as a web page: figures with intervals, distributions, images, gaps.

`sketches.html` is the page; here is what stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.sketches.inputs import distinct_names
from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY, Row, SketchEvaluation
from sketchforge.report.components import images_table, note_html
from sketchforge.report.html import asset, fill_template, page, write_page
from sketchforge.report.sketches.images import SIZES_EXPLAINED, ImageRow, image_rows
from sketchforge.report.sketches.tables import COLUMNS, IN_TRAINING_SET, MEASURED, NEUTRAL, Column
from sketchforge.report.svg import bar, key_to_mark, plot, scale_of
from sketchforge.utils.text import count_noun

BASELINES = {
    CONTENT: "what people reach, each against the others.",
    REALISM: "the floor: one half of the human drawings against the other, mean over 20 halvings.",
    VARIETY: "two people's drawings of one photo.",
    STROKES: "the human drawings; under distance the floor, one half of them against the other.",
}


class _Cell(NamedTuple):
    value: str
    interval: str
    percentiles: str
    bar: Markup


class _TableRow(NamedTuple):
    name: str
    kind: str
    is_marked: bool
    cells: Sequence[_Cell | None]
    images: int


class _Table(NamedTuple):
    columns: Sequence[Column]
    rows: Sequence[_TableRow]


class _Block(NamedTuple):
    """A section of figures; None: nothing measured."""

    name: str
    measured: str  # what it measures
    figures: _Table | None
    distances: _Table | None = None  # from the human drawings
    baseline: str = ""  # what the mark on the bars is
    notes: Sequence[str] = ()


class _Distributions(NamedTuple):
    headings: Sequence[tuple[str, str]]  # and the range of the scale
    rows: Sequence[tuple[Row, Sequence[Markup]]]


def write_sketch_page(path: Path, evaluation: SketchEvaluation) -> None:
    """Write the page, whole or not at all. Raises SketchforgeError on damaged shards or a full disk."""
    write_page(path, sketch_page(evaluation, image_rows(evaluation)))


def sketch_page(evaluation: SketchEvaluation, images: Sequence[ImageRow]) -> Iterator[Markup]:
    """Yield the page in pieces; equal evaluations and images give equal bytes."""
    title = " and ".join(distinct_names([sketch_input.path for sketch_input in evaluation.shards]))
    people = next(iter(evaluation.of_kind("reference")), None)
    body = fill_template(
        "sketches/sketches.html",
        title=title,
        facts=_list_facts(evaluation),
        gaps=evaluation.gaps,
        shown=describe_shown(images),
        blocks=[_describe_block(block, evaluation) for block in MEASURED],
        distributions=_draw_distributions(evaluation, people),
        people=people,
        notes=list(_list_notes(evaluation)),
        key_to_mark=key_to_mark,
    )
    return page(f"{title} - measured", asset("sketches/sketches.css") + asset("print.css"), "", body)


def _list_facts(evaluation: SketchEvaluation) -> list[str]:
    num_sketches = sum(
        len(sketch_input.chosen) * len(sketch_input.styles) for sketch_input in evaluation.shards
    )
    facts = [count_noun(num_sketches, "sketch"), f"seed {evaluation.options.seed}"]
    return facts + [
        f"{count_noun(len(drawing_set.drawings), 'drawing')} of {drawing_set.path.resolve().name}"
        for drawing_set in evaluation.drawings
    ]


def describe_shown(rows: Sequence[ImageRow]) -> Iterator[Markup]:
    """Yield images beside their sketches, as a table."""
    yield from images_table(rows, "Some of the images")
    yield note_html(SIZES_EXPLAINED, "faint")
    if any("(drawings)" in image.heading for image in rows[0]):
        yield note_html("Human drawings are of the photo beside them where there are such.", "faint")


def _describe_block(block: str, evaluation: SketchEvaluation) -> _Block:
    rows = [row for row in evaluation.rows if row.figures.get(block)]
    columns = [column for column in COLUMNS if column.block == block]
    if not rows:
        return _Block(block, MEASURED[block], None)
    baseline = _find_baseline(block, evaluation)
    compared = [row for row in rows if any(name.startswith("distance") for name in row.figures[block])]
    distances = [
        Column(
            block=block,
            name=f"distance_{column.name}",
            heading=column.heading.split(",")[0],
            factor=1,
            decimals=2,
            explained="",
        )
        for column in columns
        if any(row.figure(block, f"distance_{column.name}") for row in compared)
    ]
    notes = [IN_TRAINING_SET] if block == CONTENT and any(row.is_marked for row in rows) else []
    notes += [f"Medians over sketches. {NEUTRAL}"] if block == STROKES else []
    return _Block(
        block,
        MEASURED[block],
        _build_table(columns, rows, baseline),
        _build_table(distances, compared, baseline) if compared else None,
        BASELINES[block] if baseline else "",
        notes,
    )


def _find_baseline(block: str, evaluation: SketchEvaluation) -> Row | None:
    """The human baseline that a block's bars are marked with; None where it was not measured."""
    rows = evaluation.of_kind({CONTENT: "people", VARIETY: "pairs"}.get(block, "reference"))
    return rows[0] if rows and rows[0].figures.get(block) else None


def _build_table(columns: Sequence[Column], rows: Sequence[Row], baseline: Row | None) -> _Table:
    scales = [
        column.bounds
        or scale_of([figure for row in rows if (figure := row.figure(column.block, column.name))])
        for column in columns
    ]
    filled = []
    for row in rows:
        figures = [row.figure(column.block, column.name) for column in columns]
        marks = [baseline.figure(column.block, column.name) if baseline else None for column in columns]
        cells = [
            None if figure is None else _format_cell(figure, column, scale, mark)
            for figure, column, scale, mark in zip(figures, columns, scales, marks, strict=True)
        ]
        is_marked = row.is_marked and columns[0].block == CONTENT
        images = max((figure.images for figure in figures if figure), default=0)
        filled.append(_TableRow(row.name, row.kind, is_marked, cells, images))
    return _Table(columns, filled)


def _format_cell(
    figure: Estimate, column: Column, scale: tuple[float, float], mark: Estimate | None
) -> _Cell:
    def number(value: float) -> str:
        return f"{column.factor * value:.{column.decimals}f}"

    interval = percentiles = ""
    if figure.low is not None and figure.high is not None:
        interval = f"{number(figure.low)} to {number(figure.high)}"
    if figure.p10 is not None and figure.p90 is not None:
        percentiles = f"10th {number(figure.p10)}, 90th {number(figure.p90)}"
    drawn = bar(figure, scale, None if mark is None else mark.value)
    return _Cell(number(figure.value), interval, percentiles, drawn)


def _draw_distributions(evaluation: SketchEvaluation, people: Row | None) -> _Distributions:
    """A histogram over sketches for every style and measure, over that of the human drawings."""
    rows = [row for row in evaluation.rows if row.values]
    columns = [column for column in COLUMNS if column.block == STROKES]
    ranges, headings = [], []
    for column in columns:
        values = np.concatenate([np.asarray(row.values.get(column.name, ()), float) for row in rows])
        low, high = np.percentile(values, (0, 99)) if len(values) else (0.0, 1.0)
        low, high = (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)
        ranges.append((low, high))
        interval = " to ".join(f"{column.factor * end:.{column.decimals}f}" for end in (low, high))
        headings.append((column.heading, interval))

    def draw(row: Row, column: Column, bounds: tuple[float, float]) -> Markup:
        people_values = None if people is None else people.values.get(column.name, ())
        label = f"{row.name}: distribution of {column.heading}"
        return plot(row.values.get(column.name, ()), people_values, bounds, label)

    plots = [[draw(row, *scaled) for scaled in zip(columns, ranges, strict=True)] for row in rows]
    return _Distributions(headings, list(zip(rows, plots, strict=True)))


def _list_notes(evaluation: SketchEvaluation) -> Iterator[tuple[str, str]]:
    """What was measured: (kind, description)."""
    for source in evaluation.shards:
        count = f"{len(source.chosen):,} of {count_noun(len(source.shards.keys), 'image')}"
        yield "sketches", f"{source.path}, {count}, {count_noun(len(source.styles), 'style')}"
    for drawing_set in evaluation.drawings:
        yield (
            "human drawings",
            f"{drawing_set.path}, {len(drawing_set.drawings):,} of {drawing_set.num_found:,}",
        )
    if evaluation.options.boundaries:
        counts = ", ".join(f"{len(annotations):,}" for annotations in evaluation.annotations)
        yield "boundaries", f"{evaluation.options.boundaries}, {counts} images"
    yield "libraries", ", ".join(f"{name} {version}" for name, version in evaluation.libraries.items())
    yield "encoder", f"builtin, {evaluation.encoder}"
