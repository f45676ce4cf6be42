"""A report as a web page: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

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
from sketchforge.report.html import fill_template, write_page
from sketchforge.report.images.samples import GRID_EXPLAINED, RANKED_EXPLAINED, grid_html, ranking_html
from sketchforge.report.provenance import MEASURES
from sketchforge.report.sketches.images import image_rows
from sketchforge.report.sketches.page import describe_shown
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.tables import all_figures, paper_tables, runs_table, sketch_tables
from sketchforge.report.summary.text import describe_model, describe_verdict, facts, folders_of, settings
from sketchforge.report.svg import COLOURS

TITLE = "sketchforge report"
XMLNS = ' xmlns="http://www.w3.org/2000/svg"'  # SVG files need it, inline SVG does not


def write_report_page(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. Raises SketchforgeError on damaged shards or a full disk."""
    write_page(path, report_page(report))


def report_page(report: Report) -> Iterator[Markup]:
    """Yield the page in pieces; equal reports give equal bytes."""
    sections = [
        Section(
            "verdict", "Verdict", fill_template("summary/verdict.html", remarks=describe_verdict(report))
        ),
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


def _render_images(models: Sequence[ModelFindings]) -> Iterator[Markup]:
    if not models:
        return
    yield note_html(GRID_EXPLAINED, "faint")
    yield Markup('<div class="grids">\n')
    for model in models:
        yield from grid_html(model.name, model.size, describe_model(model), model.grid)
    yield Markup("</div>\n")


def _render_samples(models: Sequence[ModelFindings]) -> Iterator[Markup]:
    if not models:
        return
    yield note_html(RANKED_EXPLAINED, "faint")
    for model in models:
        yield from ranking_html(model.name, model.size, model.ranking)


def _render_trainings(report: Report) -> Iterator[Markup]:
    table = runs_table(report.models)
    if table:
        yield from table_html(table)
    if report.curves:
        # Beside the curves long names are shortened.
        names = report.curves[0].runs
        yield from fill_template(
            "summary/trainings.html",
            runs=[(COLOURS[number % len(COLOURS)], name) for number, name in enumerate(names)],
            curves=[
                (curves.title, Markup(curves.svg().replace(XMLNS, "").rstrip())) for curves in report.curves
            ],
        )


def _render_sketches(evaluations: Sequence[SketchEvaluation]) -> Iterator[Markup]:
    for number, evaluation in enumerate(evaluations):
        yield Markup("<h3>{}</h3>\n").format(folders_of(evaluation))
        yield from describe_shown(image_rows(evaluation))
        yield from tables_html(sketch_tables(evaluation, explained=not number))


def _render_every_figure(report: Report) -> Iterator[Markup]:
    yield from tables_html(all_figures(report.models))
    for row, block, reason in merge_missing(report.warnings):
        subject = ": ".join(filter(None, (row, block)))
        yield Markup('<p class="note-below"><b>{}</b>: {}</p>\n').format(subject, reason)


def _render_provenance(report: Report) -> Iterator[Markup]:
    yield from provenance_html(settings(report), report.commands)
    yield note_html(MEASURES)
