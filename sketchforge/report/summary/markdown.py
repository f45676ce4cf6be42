"""A report as Markdown: tables and text, and images in a folder beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from sketchforge.images.contact_sheet import contact_sheet
from sketchforge.images.encode import encode_jpeg
from sketchforge.metrics.estimates import merge_missing
from sketchforge.report.images.samples import (
    GRID_EXPLAINED,
    RANKED_EXPLAINED,
    describe_ranking,
    grid_alt,
    strip_alt,
)
from sketchforge.report.provenance import MEASURES
from sketchforge.report.sketches.images import image_rows
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.tables import (
    all_figures,
    paper_tables,
    ranking_table,
    runs_table,
    sketch_tables,
)
from sketchforge.report.summary.text import describe_model, facts, folders_of, settings
from sketchforge.report.tables import Cell, Table
from sketchforge.utils.markdown import escape, fence

SHEET_CELL = 128  # pixels


@dataclass(frozen=True)
class _Images:
    """The image files that the document shows so far."""

    folder: str
    files: dict[str, bytes] = field(default_factory=dict)  # name -> contents

    def add(self, name: str, data: bytes, alt: str) -> str:
        """Add a file of this name with the bytes `data`; return the Markdown that shows it."""
        self.files[name] = data
        return f"![{escape(alt)}]({quote(os.fsencode(self.folder))}/{name})"


def report_markdown(report: Report, folder: str) -> tuple[str, dict[str, bytes]]:
    """(the document, its image files: name -> bytes); it expects the files in `folder`, beside itself.

    Equal reports give equal text and files. Raises SketchforgeError on damaged shards.
    """
    images = _Images(folder)
    return "\n".join(_render_lines(report, images)) + "\n", images.files


def _render_lines(report: Report, images: _Images) -> Iterator[str]:
    yield "# sketchforge report"
    yield ""
    yield escape(" · ".join(facts(report)))
    if report.models:
        yield from ["", "## What the models make", "", GRID_EXPLAINED]
    for number, model in enumerate(report.models, start=1):
        yield from ["", f"**{escape(model.name)}**: {escape(describe_model(model))}", ""]
        yield images.add(f"made-{number}.jpg", encode_jpeg(model.grid), grid_alt(model.name))
    yield from _render_section("Beside the paper", paper_tables(report.models))
    yield from _render_section("Best and worst", filter(None, [ranking_table(report)]))
    if report.models:
        yield from ["", RANKED_EXPLAINED]
    for number, model in enumerate(report.models, start=1):
        yield from ["", f"**{escape(model.name)}** {escape(describe_ranking(model.ranking))}", ""]
        yield from _render_strips(number, model, images)
    yield from _render_section("Trainings", filter(None, [runs_table(report.models)]))
    if report.curves:
        yield from ["", "Where the curves end:", ""]
        for curves in report.curves:
            last_values = ", ".join(f"{name} {points[-1][1]:.4g}" for name, points in curves.lines.items())
            yield escape(f"- {curves.title}: {last_values}")
        yield ""
    for number, curves in enumerate(report.curves, start=1):
        yield images.add(f"curve-{number}.svg", curves.svg().encode(errors="replace"), curves.title)
    if report.sketches:
        yield from ["", "## Sketches"]
    for number, evaluation in enumerate(report.sketches):
        rows = image_rows(evaluation)
        sheet = contact_sheet(
            [[image.pixels for image in row] for row in rows],
            [image.heading for image in rows[0]],
            SHEET_CELL,
        )
        alt = f"{folders_of(evaluation)}; {len(rows)} of them in rows"
        yield from ["", escape(folders_of(evaluation)), ""]
        yield images.add(f"sketches-{number + 1}.jpg", encode_jpeg(sheet), alt)
        for table in sketch_tables(evaluation, explained=not number):
            yield from _render_table(table)
    yield from _render_section("Every figure", all_figures(report.models))
    for title, remarks in (("To be read with care", report.warnings), ("What is missing", report.gaps)):
        if remarks:
            yield from ["", f"## {title}", ""]
        for row, block, reason in merge_missing(remarks):
            yield f"- **{escape(': '.join(filter(None, (row, block))))}**: {escape(reason)}"
    yield from ["", "## How this was made"]
    for title, values in settings(report):
        yield from ["", f"### {title}", ""]
        yield from (f"- {escape(name)}: {escape(value)}" for name, value in values.items())
    if report.commands:
        yield from ["", "### Commands that measure the same", "", *fence(list(report.commands))]
    yield from ["", escape(MEASURES)]


def _render_strips(number: int, model: ModelFindings, images: _Images) -> Iterator[str]:
    for end, ranked in (("best", model.ranking.best), ("worst", model.ranking.worst)):
        for rank, image in enumerate(ranked, start=1):
            alt = strip_alt(model.name, f"{end} {rank}", image)
            yield images.add(f"{end}-{number}-{rank}.jpg", encode_jpeg(image.strip), alt)


def _render_section(title: str, tables: Iterable[Table]) -> Iterator[str]:
    for number, table in enumerate(tables):
        if not number:
            yield from ["", f"## {title}"]
        yield from _render_table(table)


def _render_table(table: Table) -> Iterator[str]:
    yield from ["", f"### {escape(table.title)}", ""]
    yield _join_cells([table.corner, *(heading.title for heading in table.headings)])
    yield "|---" * (1 + len(table.headings)) + "|"
    for row in table.rows:
        name = f"{row.name} ({row.detail})" if row.detail else row.name
        yield _join_cells([name, *map(_format_cell, row.cells)])
    for note in table.notes:
        yield from ["", escape(note)]


def _format_cell(cell: Cell) -> str:
    return f"{cell.value} ({cell.interval})" if cell.interval else cell.value


def _join_cells(cells: list[str]) -> str:
    return "| " + " | ".join(map(escape, cells)) + " |"
