"""A report as Markdown: its tables and words, without the pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sketchforge.report.report_content import Report, merged
from sketchforge.report.report_tables import (
    all_figures,
    paper_tables,
    ranking_table,
    runs_table,
    sketch_tables,
)
from sketchforge.report.report_words import MEASURES, facts, folders_of, settings
from sketchforge.report.tables import Cell, Table


def report_markdown(report: Report) -> str:
    """The whole document; equal reports give equal text."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "# sketchforge report"
    yield ""
    yield escaped(" · ".join(facts(report)))
    sections = [
        ("Beside the paper", paper_tables(report.models)),
        ("Best and worst", [ranking_table(report)]),
        ("Trainings", [runs_table(report.models)]),
    ]
    for title, tables in sections:
        yield from _section(title, [table for table in tables if table])
    if report.curves:
        yield from ["", "Where the curves end:", ""]
        for curves in report.curves:
            ends = ", ".join(f"{name} {points[-1][1]:.4g}" for name, points in curves.lines.items())
            yield escaped(f"- {curves.title}: {ends}")
    if report.sketches:
        yield from ["", "## Sketches"]
    for number, evaluation in enumerate(report.sketches):
        yield from ["", escaped(folders_of(evaluation))]
        for table in sketch_tables(evaluation, explained=not number):
            yield from _table(table)
    yield from _section("Every figure", all_figures(report.models))
    for title, remarks in (("To be read with care", report.warnings), ("What is missing", report.gaps)):
        if remarks:
            yield from ["", f"## {title}", ""]
        for whose, what, why in merged(remarks):
            yield f"- **{escaped(': '.join(filter(None, (whose, what))))}**: {escaped(why)}"
    yield from ["", "## How this was made"]
    for title, values in settings(report):
        yield from ["", f"### {title}", ""]
        yield from (f"- {escaped(name)}: {escaped(value)}" for name, value in values.items())
    if report.commands:
        fence = "`" * (
            1 + max(2, *(len(run) for run in re.findall("`+", "\n".join(["", *report.commands])) or [""]))
        )
        yield from ["", "### Commands that measure the same", "", fence, *report.commands, fence]
    yield from ["", escaped(MEASURES)]


def _section(title: str, tables: list[Table]) -> Iterator[str]:
    if tables:
        yield from ["", f"## {title}"]
    for table in tables:
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield from ["", f"### {escaped(table.title)}", ""]
    yield _line([table.corner, *(heading.title for heading in table.headings)])
    yield "|---" * (1 + len(table.headings)) + "|"
    for row in table.rows:
        name = f"{row.name} ({row.about})" if row.about else row.name
        yield _line([name, *map(_shown, row.cells)])
    for note in table.notes:
        yield from ["", escaped(note)]


def _shown(cell: Cell) -> str:
    return f"{cell.value} ({cell.ends})" if cell.ends else cell.value


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(value: str) -> str:
    """Text that Markdown takes as it is: nothing in it is markup, and it stays on its line."""
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", " ".join(value.split()))
