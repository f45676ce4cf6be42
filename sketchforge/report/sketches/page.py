"""The evaluation of sketches as a web page: figures with intervals, distributions, images, gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.sketches.inputs import distinct_names
from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY, Row, SketchEvaluation
from sketchforge.report.components import images_table
from sketchforge.report.html import page, template, text, write_page
from sketchforge.report.sketches.images import ImageRow, image_rows
from sketchforge.report.sketches.tables import COLUMNS, IN_TRAINING_SET, MEASURED, NEUTRAL, Column
from sketchforge.report.svg import bar, key_to_mark, plot, scale_of
from sketchforge.utils.text import count_noun


def write_sketch_page(path: Path, evaluation: SketchEvaluation) -> None:
    """Write the page, whole or not at all. Raises SketchforgeError on damaged shards or a full disk."""
    write_page(path, sketch_page(evaluation, image_rows(evaluation)))


def sketch_page(evaluation: SketchEvaluation, images: Sequence[ImageRow]) -> Iterator[str]:
    """Yield the page in pieces; equal evaluations and images give equal bytes."""
    title = " and ".join(distinct_names([sketch_input.path for sketch_input in evaluation.shards]))
    return page(
        f"{title} - measured", template("sketches/sketches.css"), "", _render_body(title, evaluation, images)
    )


def _render_body(title: str, evaluation: SketchEvaluation, images: Sequence[ImageRow]) -> Iterator[str]:
    yield f'<header>\n<h1>{text(title)} <small>measured</small></h1>\n<p class="faint">'
    num_sketches = sum(
        len(sketch_input.chosen) * len(sketch_input.styles) for sketch_input in evaluation.shards
    )
    facts = [f"{count_noun(num_sketches, 'sketch')}", f"seed {evaluation.options.seed}"]
    facts += [
        f"{count_noun(len(drawing_set.drawings), 'drawing')} of {drawing_set.path.resolve().name}"
        for drawing_set in evaluation.drawings
    ]
    yield " &#183; ".join(map(text, facts))
    yield "</p>\n</header>\n<main>\n"
    yield from _render_gaps(evaluation)
    yield "<section>\n<h2>Some of the images</h2>\n"
    yield from describe_shown(images)
    yield "</section>\n"
    for block in MEASURED:
        yield from _render_block(block, evaluation)
    yield from _render_distributions(evaluation)
    yield from _render_notes(evaluation)
    yield "</main>\n"


def _render_gaps(evaluation: SketchEvaluation) -> Iterator[str]:
    if not evaluation.gaps:
        return
    yield '<section>\n<h2>Not measured</h2>\n<ul class="gaps">\n'
    for gap in evaluation.gaps:
        subject = ": ".join(part for part in (gap.row, gap.block) if part)
        yield f"<li><strong>{text(subject)}</strong>: {text(gap.reason)}</li>\n"
    yield "</ul>\n</section>\n"


def describe_shown(rows: Sequence[ImageRow]) -> Iterator[str]:
    """Yield images beside their sketches, as a table."""
    yield from images_table(rows, "Some of the images")
    if any("(drawings)" in image.heading for image in rows[0]):
        yield '<p class="faint">Human drawings are of the photo beside them where there are such.</p>\n'


def _render_block(block: str, evaluation: SketchEvaluation) -> Iterator[str]:
    rows = [row for row in evaluation.rows if row.figures.get(block)]
    columns = [column for column in COLUMNS if column.block == block]
    yield f'<section id="{block}">\n<h2>{block.capitalize()} <small>{text(MEASURED[block])}</small></h2>\n'
    if not rows:
        yield '<p class="faint">Not measured, see above.</p>\n</section>\n'
        return
    baseline = _find_baseline(block, evaluation)
    yield from _render_table(columns, rows, baseline)
    compared = [row for row in rows if any(name.startswith("distance") for name in row.figures[block])]
    if compared:
        yield "<h3>Distance from the human drawings</h3>\n"
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
        yield from _render_table(distances, compared, baseline)
        yield (
            '<p class="faint">Wasserstein distance between the distributions over sketches, in '
            "inter-quartile ranges of the human drawings'. Lower is better, down to the floor.</p>\n"
        )
    if baseline:
        yield f'<p class="faint">{key_to_mark()} '
        yield {
            CONTENT: "what people reach, each against the others.",
            REALISM: "the floor: one half of the human drawings against the other, mean over 20 halvings.",
            VARIETY: "two people's drawings of one photo.",
            STROKES: "the human drawings; under distance the floor, one half of them against the other.",
        }[block]
        yield "</p>\n"
    yield "<dl>\n"
    for column in columns:
        yield f"<div><dt>{text(column.heading)}</dt><dd>{text(column.explained)}</dd></div>\n"
    yield "</dl>\n"
    if block == CONTENT and any(row.is_marked for row in rows):
        yield f'<p class="faint">{text(IN_TRAINING_SET)}</p>\n'
    if block == STROKES:
        yield f'<p class="faint">Medians over sketches. {text(NEUTRAL)}</p>\n'
    yield "</section>\n"


def _find_baseline(block: str, evaluation: SketchEvaluation) -> Row | None:
    """The human baseline that a block's bars are marked with; None where it was not measured."""
    rows = evaluation.of_kind({CONTENT: "people", VARIETY: "pairs"}.get(block, "reference"))
    return rows[0] if rows and rows[0].figures.get(block) else None


def _render_table(columns: Sequence[Column], rows: Sequence[Row], baseline: Row | None) -> Iterator[str]:
    yield '<div class="wide" tabindex="0" role="region" aria-label="Figures">\n<table class="figures">\n'
    yield '<thead><tr><th scope="col">set</th>'
    for column in columns:
        yield f'<th scope="col">{text(column.heading)}</th>'
    yield '<th scope="col">images</th></tr></thead>\n<tbody>\n'
    scales = [
        column.bounds
        or scale_of([figure for row in rows if (figure := row.figure(column.block, column.name))])
        for column in columns
    ]
    for row in rows:
        yield f'<tr class="{row.kind}"><th scope="row">{text(row.name)}{_mark(row, columns)}</th>'
        counts = []
        for column, scale in zip(columns, scales, strict=True):
            figure = row.figure(column.block, column.name)
            baseline_figure = baseline.figure(column.block, column.name) if baseline else None
            yield f"<td>{_render_cell(figure, column, scale, baseline_figure)}</td>"
            counts += [figure.images] if figure else []
        yield f"<td>{max(counts, default=0):,}</td></tr>\n"
    yield "</tbody>\n</table>\n</div>\n"


def _mark(row: Row, columns: Sequence[Column]) -> str:
    return " *" if row.is_marked and columns[0].block == CONTENT else ""


def _render_cell(
    figure: Estimate | None, column: Column, scale: tuple[float, float], baseline: Estimate | None
) -> str:
    if figure is None:
        return '<span class="faint">&#8211;</span>'

    def number(value: float) -> str:
        return f"{column.factor * value:.{column.decimals}f}"

    interval = percentiles = ""
    if figure.low is not None and figure.high is not None:
        interval = f'<span class="ends">{number(figure.low)} to {number(figure.high)}</span>'
    if figure.p10 is not None and figure.p90 is not None:
        percentiles = f'<span class="ends">10th {number(figure.p10)}, 90th {number(figure.p90)}</span>'
    return (
        f"<b>{number(figure.value)}</b> {interval}"
        f"{bar(figure, scale, None if baseline is None else baseline.value)}{percentiles}"
    )


def _render_distributions(evaluation: SketchEvaluation) -> Iterator[str]:
    """Yield a histogram over sketches for every style and measure, over that of the human drawings."""
    rows = [row for row in evaluation.rows if row.values]
    people = next(iter(evaluation.of_kind("reference")), None)
    columns = [column for column in COLUMNS if column.block == STROKES]
    yield '<section id="distributions">\n<h2>Strokes, sketch by sketch</h2>\n'
    yield '<div class="wide" tabindex="0" role="region" aria-label="Distributions">\n'
    yield '<table class="figures">\n'
    yield '<thead><tr><th scope="col">set</th>'
    ranges = []
    for column in columns:
        values = np.concatenate([np.asarray(row.values.get(column.name, ()), float) for row in rows])
        low, high = np.percentile(values, (0, 99)) if len(values) else (0.0, 1.0)
        low, high = (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)
        ranges.append((low, high))
        interval = " to ".join(f"{column.factor * end:.{column.decimals}f}" for end in (low, high))
        yield f'<th scope="col">{text(column.heading)}<span class="ends">{interval}</span></th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in rows:
        yield f'<tr class="{row.kind}"><th scope="row">{text(row.name)}</th>'
        for column, bounds in zip(columns, ranges, strict=True):
            people_values = None if people is None else people.values.get(column.name, ())
            label = f"{row.name}: distribution of {column.heading}"
            yield f"<td>{plot(row.values.get(column.name, ()), people_values, bounds, label)}</td>"
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</div>\n<p class='faint'>Line: sketches of the set."
    if people is not None:
        yield f" Filled: {text(people.name)}."
    yield " What lies beyond the 99th percentile of all is put at the end of the scale.</p>\n</section>\n"


def _render_notes(evaluation: SketchEvaluation) -> Iterator[str]:
    options = evaluation.options
    rows = [
        (
            "sketches",
            str(source.path),
            f"{len(source.chosen):,} of {count_noun(len(source.shards.keys), 'image')}, "
            f"{count_noun(len(source.styles), 'style')}",
        )
        for source in evaluation.shards
    ]
    rows += [
        (
            "human drawings",
            str(drawing_set.path),
            f"{len(drawing_set.drawings):,} of {drawing_set.num_found:,}",
        )
        for drawing_set in evaluation.drawings
    ]
    if options.boundaries:
        counts = ", ".join(f"{len(annotations):,}" for annotations in evaluation.annotations)
        rows.append(("boundaries", str(options.boundaries), f"{counts} images"))
    yield "<section>\n<h2>What was measured</h2>\n<dl>\n"
    for kind, path, count in rows:
        yield f"<div><dt>{kind}</dt><dd>{text(path)}, {text(count)}</dd></div>\n"
    libraries = ", ".join(f"{name} {version}" for name, version in evaluation.libraries.items())
    yield f"<div><dt>libraries</dt><dd>{text(libraries)}</dd></div>\n"
    yield f"<div><dt>encoder</dt><dd>builtin, {text(evaluation.encoder)}</dd></div>\n</dl>\n"
    yield (
        '<p class="faint">Intervals hold the middle 95 % of 1,000 percentile-bootstrap resamplings over '
        "images; the human drawings that others are compared with stay as they are. Two sets whose intervals "
        "overlap may still differ: they were measured on the same images.</p>\n</section>\n"
    )
