"""HTML components of the report pages: sections, tables, rows of images, remarks, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sketchforge.metrics.estimates import MissingMetric, merge_missing
from sketchforge.report.html import ImageRow, image_uri, page, template, text
from sketchforge.report.svg import bar
from sketchforge.report.tables import Cell, Heading, Table


@dataclass(frozen=True)
class Section:
    """A section of a page; one without pieces is left out."""

    name: str  # its id, for links
    title: str
    pieces: Iterator[str]
    count: int | None = None  # shown beside the link to it


def sections_page(title: str, facts: Sequence[str], sections: Sequence[Section]) -> Iterator[str]:
    """Yield a whole page in pieces: title, a line of facts, links to the sections, the sections."""
    style = template("sketches/sketches.css") + template("summary/summary.css")
    return page(title, style, "", _render_body(title, facts, sections))


def _render_body(title: str, facts: Sequence[str], sections: Sequence[Section]) -> Iterator[str]:
    filled = [(section, first) for section in sections if (first := next(section.pieces, ""))]
    yield f"<header>\n<h1>{text(title)}</h1>\n"
    yield f'<p class="faint">{" &#183; ".join(map(text, facts))}</p>\n'
    yield '<nav aria-label="Sections">\n'
    for section, _ in filled:
        count = "" if section.count is None else f" ({section.count})"
        yield f'<a href="#{section.name}">{section.title}{count}</a>\n'
    yield "</nav>\n</header>\n<main>\n"
    for section, first in filled:
        yield f'<section id="{section.name}">\n<h2>{section.title}</h2>\n{first}'
        yield from section.pieces
        yield "</section>\n"
    yield "</main>\n"


def table_html(table: Table) -> Iterator[str]:
    """Yield a table under its title, with its notes; a table wider than the window scrolls by itself."""
    yield f'<h3>{text(table.title)}</h3>\n<div class="wide" tabindex="0" role="region" '
    yield f'aria-label="{text(table.title)}">\n<table class="figures">\n<thead><tr>'
    yield f'<th scope="col">{text(table.corner)}</th>'
    for heading in table.headings:
        yield f'<th scope="col"{_format_class(heading)}>{text(heading.title)}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in table.rows:
        detail = f'<span class="ends">{text(row.detail)}</span>' if row.detail else ""
        row_class = ' class="of-paper"' if row.published else ""
        name = text(row.name) if row.published else f"<b>{text(row.name)}</b>"
        yield f'<tr{row_class}><th scope="row">{name}{detail}</th>'
        for heading, cell in zip(table.headings, row.cells, strict=True):
            yield f"<td{_format_class(heading)}>{_render_cell(cell, heading)}</td>"
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</div>\n"
    for note in table.notes:
        yield note_html(note)


def tables_html(tables: Sequence[Table]) -> Iterator[str]:
    for table in tables:
        yield from table_html(table)


def _format_class(heading: Heading) -> str:
    return ' class="paper"' if heading.published else ' class="words"' if heading.words else ""


def _render_cell(cell: Cell, heading: Heading) -> str:
    if not cell.value:
        return '<span class="faint">&#8211;</span>'
    if heading.words or heading.published:
        return text(cell.value)
    interval = f' <span class="ends">{text(cell.interval)}</span>' if cell.interval else ""
    bar_svg = bar(cell.bar.figure, cell.bar.scale, cell.bar.mark) if cell.bar else ""
    return f"<b>{text(cell.value)}</b>{interval}{bar_svg}"


def images_table(rows: Sequence[ImageRow], label: str, even: bool = False) -> Iterator[str]:
    """Yield rows of images under their headings; a table wider than the window scrolls by itself.

    even: whether all are shown in one size, whatever their own.
    """
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{text(label)}">\n'
    yield f'<table class="images{" even" if even else ""}">\n<thead><tr>'
    for image in rows[0]:
        yield f'<th scope="col">{text(image.heading)}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in rows:
        yield "<tr>"
        for image in row:
            content = "none" if image.pixels is None else _render_image(image_uri(image.pixels), image.alt)
            yield f"<td>{content}</td>"
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</div>\n"


def _render_image(uri: str, alt: str) -> str:
    return f'<img src="{uri}" alt="{text(alt)}" loading="lazy" decoding="async">'


def notes_html(remarks: Sequence[MissingMetric]) -> Iterator[str]:
    """Yield missing metrics or warnings as a list; nothing where there are none."""
    if not remarks:
        return
    yield '<ul class="gaps">\n'
    for row, block, reason in merge_missing(remarks):
        yield f"<li><strong>{text(': '.join(filter(None, (row, block))))}</strong>: {text(reason)}</li>\n"
    yield "</ul>\n"


def note_html(note: str) -> str:
    return f'<p class="note-below">{text(note)}</p>\n'


def provenance_html(
    settings: Sequence[tuple[str, Mapping[str, str]]], commands: Sequence[str]
) -> Iterator[str]:
    """Yield the settings as titled lists, and the commands that measure the same figures."""
    for title, values in settings:
        yield f"<h3>{text(title)}</h3>\n<dl>\n"
        for name, value in values.items():
            yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n"
        yield "</dl>\n"
    if commands:
        subject = "Commands that measure" if len(commands) > 1 else "The command that measures"
        yield f'<h3>{subject} the same</h3>\n<pre class="wide" tabindex="0">'
        yield text("\n".join(commands))
        yield "</pre>\n"
