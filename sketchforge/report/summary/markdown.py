"""A report as Markdown: its tables and words, and images that lie in a folder beside it."""

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
    """The images that the document shows so far."""

    folder: str
    files: dict[str, bytes] = field(default_factory=dict)  # name -> contents

    def shown(self, name: str, data: bytes, alt: str) -> str:
        """The Markdown of an image, which is `data` in a file of this name."""
        self.files[name] = data
        return f"![{escape(alt)}]({quote(os.fsencode(self.folder))}/{name})"


def report_markdown(report: Report, folder: str) -> tuple[str, dict[str, bytes]]:
    """The whole document, and the files that it expects in `folder`, beside itself, by their names.

    Equal reports give equal text and files. Raises SketchforgeError on damaged shards.
    """
    images = _Images(folder)
    return "\n".join(_lines(report, images)) + "\n", images.files


def _lines(report: Report, images: _Images) -> Iterator[str]:
    yield "# sketchforge report"
    yield ""
    yield escape(" · ".join(facts(report)))
    if report.models:
        yield from ["", "## What the models make", "", GRID_EXPLAINED]
    for number, model in enumerate(report.models, start=1):
        yield from ["", f"**{escape(model.name)}**: {escape(describe_model(model))}", ""]
        yield images.shown(f"made-{number}.jpg", encode_jpeg(model.grid), grid_alt(model.name))
    yield from _section("Beside the paper", paper_tables(report.models))
    yield from _section("Best and worst", filter(None, [ranking_table(report)]))
    if report.models:
        yield from ["", RANKED_EXPLAINED]
    for number, model in enumerate(report.models, start=1):
        yield from ["", f"**{escape(model.name)}** {escape(describe_ranking(model.ranking))}", ""]
        yield from _strips(number, model, images)
    yield from _section("Trainings", filter(None, [runs_table(report.models)]))
    if report.curves:
        yield from ["", "Where the curves end:", ""]
        for curves in report.curves:
            interval = ", ".join(f"{name} {points[-1][1]:.4g}" for name, points in curves.lines.items())
            yield escape(f"- {curves.title}: {interval}")
        yield ""
    for number, curves in enumerate(report.curves, start=1):
        yield images.shown(f"curve-{number}.svg", curves.svg().encode(errors="replace"), curves.title)
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
        yield images.shown(f"sketches-{number + 1}.jpg", encode_jpeg(sheet), alt)
        for table in sketch_tables(evaluation, explained=not number):
            yield from _table(table)
    yield from _section("Every figure", all_figures(report.models))
    for title, remarks in (("To be read with care", report.warnings), ("What is missing", report.gaps)):
        if remarks:
            yield from ["", f"## {title}", ""]
        for whose, what, why in merge_missing(remarks):
            yield f"- **{escape(': '.join(filter(None, (whose, what))))}**: {escape(why)}"
    yield from ["", "## How this was made"]
    for title, values in settings(report):
        yield from ["", f"### {title}", ""]
        yield from (f"- {escape(name)}: {escape(value)}" for name, value in values.items())
    if report.commands:
        yield from ["", "### Commands that measure the same", "", *fence(report.commands)]
    yield from ["", escape(MEASURES)]


def _strips(number: int, model: ModelFindings, images: _Images) -> Iterator[str]:
    for what, ranked in (("best", model.ranking.best), ("worst", model.ranking.worst)):
        for place, one in enumerate(ranked, start=1):
            alt = strip_alt(model.name, f"{what} {place}", one)
            yield images.shown(f"{what}-{number}-{place}.jpg", encode_jpeg(one.strip), alt)


def _section(title: str, tables: Iterable[Table]) -> Iterator[str]:
    for number, table in enumerate(tables):
        if not number:
            yield from ["", f"## {title}"]
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield from ["", f"### {escape(table.title)}", ""]
    yield _line([table.corner, *(heading.title for heading in table.headings)])
    yield "|---" * (1 + len(table.headings)) + "|"
    for row in table.rows:
        name = f"{row.name} ({row.detail})" if row.detail else row.name
        yield _line([name, *map(_shown, row.cells)])
    for note in table.notes:
        yield from ["", escape(note)]


def _shown(cell: Cell) -> str:
    return f"{cell.value} ({cell.interval})" if cell.interval else cell.value


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(map(escape, cells)) + " |"
