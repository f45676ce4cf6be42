"""A report as a web page: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sketchforge.metrics.estimates import merge_missing
from sketchforge.metrics.sketches.result import SketchEvaluation
from sketchforge.report.components import (
    Section,
    note_html,
    notes_html,
    provenance_html,
    sections_page,
    table_html,
    tables_html,
)
from sketchforge.report.html import text, write_page
from sketchforge.report.images.samples import GRID_EXPLAINED, RANKED_EXPLAINED, grid_html, ranking_html
from sketchforge.report.provenance import MEASURES
from sketchforge.report.sketches.images import image_rows
from sketchforge.report.sketches.page import describe_shown
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.curves import Curves
from sketchforge.report.summary.tables import all_figures, paper_tables, runs_table, sketch_tables
from sketchforge.report.summary.text import describe_model, facts, folders_of, settings
from sketchforge.report.svg import COLOURS

TITLE = "sketchforge report"
XMLNS = ' xmlns="http://www.w3.org/2000/svg"'  # SVG files need it, inline SVG does not


def write_report_page(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. Raises SketchforgeError on damaged shards or a full disk."""
    write_page(path, report_page(report))


def report_page(report: Report) -> Iterator[str]:
    """Yield the page in pieces; equal reports give equal bytes."""
    sections = [
        Section("images", "What the models make", _render_images(report.models)),
        Section("tables", "Beside the paper", tables_html(paper_tables(report.models))),
        Section("samples", "Best and worst", _render_samples(report.models)),
        Section("curves", "Trainings", _render_trainings(report)),
        Section("sketches", "Sketches", _render_sketches(report.sketches)),
        Section("figures", "Every figure", _render_every_figure(report)),
        Section("missing", "What is missing", notes_html(report.gaps), len(merge_missing(report.gaps))),
        Section("made", "How this was made", _render_provenance(report)),
    ]
    return sections_page(TITLE, facts(report), sections)


def _render_images(models: Sequence[ModelFindings]) -> Iterator[str]:
    if not models:
        return
    yield f'<p class="faint">{GRID_EXPLAINED}</p>\n<div class="grids">\n'
    for model in models:
        yield from grid_html(model.name, describe_model(model), model.grid)
    yield "</div>\n"


def _render_samples(models: Sequence[ModelFindings]) -> Iterator[str]:
    if not models:
        return
    yield f'<p class="faint">{RANKED_EXPLAINED}</p>\n'
    for model in models:
        yield from ranking_html(model.name, model.ranking)


def _render_trainings(report: Report) -> Iterator[str]:
    table = runs_table(report.models)
    if table:
        yield from table_html(table)
    if report.curves:
        yield from _render_legend(report.curves[0].runs)
        yield '<div class="curves">\n'
        for curves in report.curves:
            yield from _render_curve(curves)
        yield f"</div>\n{note_html('A point is the mean of the steps since the one before.')}"


def _render_legend(runs: Sequence[str]) -> Iterator[str]:
    """Yield the colour of every run, once for all curves: beside the curves long names are shortened."""
    yield '<ul class="legend">\n'
    for number, name in enumerate(runs):
        colour = COLOURS[number % len(COLOURS)]
        line = f'<path d="M0 5h20" stroke="{colour}" stroke-width="5"/>'
        yield f'<li><svg viewBox="0 0 20 10" aria-hidden="true">{line}</svg>{text(name)}</li>\n'
    yield "</ul>\n"


def _render_curve(curves: Curves) -> Iterator[str]:
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{text(curves.title)}">'
    yield curves.svg().replace(XMLNS, "").rstrip()
    yield "</div>\n"


def _render_sketches(evaluations: Sequence[SketchEvaluation]) -> Iterator[str]:
    for number, evaluation in enumerate(evaluations):
        yield f"<h3>{text(folders_of(evaluation))}</h3>\n"
        yield from describe_shown(image_rows(evaluation))
        yield from tables_html(sketch_tables(evaluation, explained=not number))


def _render_every_figure(report: Report) -> Iterator[str]:
    yield from tables_html(all_figures(report.models))
    for row, block, reason in merge_missing(report.warnings):
        subject = text(": ".join(filter(None, (row, block))))
        yield f'<p class="note-below"><b>{subject}</b>: {text(reason)}</p>\n'


def _render_provenance(report: Report) -> Iterator[str]:
    yield from provenance_html(settings(report), report.commands)
    yield note_html(MEASURES)
