"""HTML components of the report pages: sections, tables, rows of images, remarks, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from markupsafe import Markup

from sketchforge.metrics.estimates import MissingMetric, merge_missing
from sketchforge.report.html import ImageRow, asset, fill_template, image_uri, page
from sketchforge.report.svg import bar
from sketchforge.report.tables import Table


@dataclass(frozen=True)
class Section:
    """A section of a page; one without pieces is left out."""

    name: str  # its id, for links
    title: str
    pieces: Iterator[Markup]
    count: int | None = None  # shown beside the link to it


def sections_page(title: str, facts: Sequence[str], sections: Sequence[Section]) -> Iterator[Markup]:
    """Yield a whole page in pieces: title, a line of facts, links to the sections, the sections."""
    style = "".join(map(asset, ("sketches/sketches.css", "summary/summary.css", "print.css")))
    filled = [
        replace(section, pieces=chain([first], section.pieces))
        for section in sections
        if (first := next(section.pieces, None))
    ]
    return page(title, style, "", fill_template("sections.html", title=title, facts=facts, sections=filled))


def table_html(table: Table) -> Iterator[Markup]:
    """Yield a table under its title, with its notes; a table wider than the window scrolls by itself."""
    return fill_template("table.html", table=table, bar=bar)


def tables_html(tables: Sequence[Table]) -> Iterator[Markup]:
    return chain.from_iterable(map(table_html, tables))


def images_table(rows: Sequence[ImageRow], label: str, even: bool = False) -> Iterator[Markup]:
    """Yield rows of images under their headings; a table wider than the window scrolls by itself.

    even: whether all are shown in one size, whatever their own.
    """
    return fill_template("image_rows.html", rows=rows, label=label, even=even, image_uri=image_uri)


def notes_html(remarks: Sequence[MissingMetric]) -> Iterator[Markup]:
    """Yield missing metrics or warnings as a list; nothing where there are none."""
    return fill_template("notes.html", remarks=merge_missing(remarks)) if remarks else iter(())


def note_html(note: str, css: str = "note-below") -> Markup:
    """A paragraph; `css`: its class."""
    return Markup('<p class="{}">{}</p>\n').format(css, note)


def provenance_html(
    settings: Sequence[tuple[str, Mapping[str, str]]], commands: Sequence[str]
) -> Iterator[Markup]:
    """Yield the settings as titled lists, and the commands that measure the same figures."""
    return fill_template("provenance.html", settings=settings, commands=commands)
