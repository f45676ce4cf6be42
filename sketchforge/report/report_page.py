"""A report as a web page: one file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sketchforge import files
from sketchforge.metrics.evaluation import Evaluation
from sketchforge.pictures import encode_jpeg
from sketchforge.report.curves import COLOURS
from sketchforge.report.model_samples import RankedPicture
from sketchforge.report.page import data_uri, page, template, text
from sketchforge.report.report_content import ModelFindings, Report, merged
from sketchforge.report.report_tables import all_figures, paper_tables, runs_table, sketch_tables
from sketchforge.report.report_words import MEASURES, facts, folders_of, settings
from sketchforge.report.run_curves import Curves
from sketchforge.report.sketch_page import pictures_table
from sketchforge.report.sketch_pictures import picture_rows
from sketchforge.report.tables import Cell, Heading, Table
from sketchforge.shards.writer import disk_errors

TITLE = "sketchforge report"
XMLNS = ' xmlns="http://www.w3.org/2000/svg"'  # of an SVG file; within a page nothing needs it


def write_report_page(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. Raises SketchforgeError on damaged shards or a full disk."""
    with (
        disk_errors(path),
        files.appearing(path) as partial,
        open(partial, "w", encoding="utf-8", errors="replace", newline="\n") as file,
    ):
        file.writelines(report_page(report))


def report_page(report: Report) -> Iterator[str]:
    """The page in pieces; equal reports give equal bytes."""
    style = template("sketch_page.css") + template("report_page.css")
    return page(TITLE, style, "", _body(report))


def _body(report: Report) -> Iterator[str]:
    sections = [
        ("pictures", "What the models make", _pictures(report.models)),
        ("tables", "Beside the paper", _tables(paper_tables(report.models))),
        ("samples", "Best and worst", _samples(report.models)),
        ("curves", "Trainings", _trainings(report)),
        ("sketches", "Sketches", _sketches(report.sketches)),
        ("figures", "Every figure", _every_figure(report)),
        ("missing", "What is missing", _missing(report)),
        ("made", "How this was made", _made(report)),
    ]
    shown = [(name, title, first, pieces) for name, title, pieces in sections if (first := next(pieces, ""))]
    yield f"<header>\n<h1>{TITLE}</h1>\n"
    yield f'<p class="faint">{" &#183; ".join(map(text, facts(report)))}</p>\n'
    yield '<nav aria-label="Sections">\n'
    for name, title, _, _ in shown:
        count = f" ({len(merged(report.gaps))})" if name == "missing" else ""
        yield f'<a href="#{name}">{title}{count}</a>\n'
    yield "</nav>\n</header>\n<main>\n"
    for name, title, first, pieces in shown:
        yield f'<section id="{name}">\n<h2>{title}</h2>\n{first}'
        yield from pieces
        yield "</section>\n"
    yield "</main>\n"


def _pictures(models: Sequence[ModelFindings]) -> Iterator[str]:
    if not models:
        return
    yield (
        '<p class="faint">Sketches at the left, drawn out in the styles of the images above; the same '
        "images in the same order, so that on the diagonal sketch and style match and everywhere else they "
        "do not.</p>\n"
        '<div class="grids">\n'
    )
    for model in models:
        alt = f"{model.name}: six sketches, each in the styles of six images"
        uri = data_uri("image/jpeg", encode_jpeg(model.grid))
        yield f"<figure>\n<figcaption><b>{text(model.name)}</b> "
        yield f'<span class="faint">{text(_told(model))}</span>'
        yield f'</figcaption>\n<img src="{uri}" alt="{text(alt)}" loading="lazy" decoding="async">\n'
        yield "</figure>\n"
    yield "</div>\n"


def _told(model: ModelFindings) -> str:
    size = model.evaluation.models[0]["size"]
    return f"{model.run.command}, {size} pixels, {model.steps} steps; {model.ground.described}"


def _tables(tables: Sequence[Table]) -> Iterator[str]:
    for table in tables:
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield f'<h3>{text(table.title)}</h3>\n<div class="wide" tabindex="0" role="region" '
    yield f'aria-label="{text(table.title)}">\n<table class="figures">\n<thead><tr>'
    yield f'<th scope="col">{text(table.corner)}</th>'
    for heading in table.headings:
        yield f'<th scope="col"{_kind(heading)}>{text(heading.title)}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in table.rows:
        about = f'<span class="ends">{text(row.about)}</span>' if row.about else ""
        kind = ' class="of-paper"' if row.published else ""
        name = text(row.name) if row.published else f"<b>{text(row.name)}</b>"
        yield f'<tr{kind}><th scope="row">{name}{about}</th>'
        for heading, cell in zip(table.headings, row.cells, strict=True):
            yield f"<td{_kind(heading)}>{_cell(cell, heading)}</td>"
        yield "</tr>\n"
    yield "</tbody>\n</table>\n</div>\n"
    for note in table.notes:
        yield f'<p class="note-below">{text(note)}</p>\n'


def _kind(heading: Heading) -> str:
    return ' class="paper"' if heading.published else ' class="words"' if heading.words else ""


def _cell(cell: Cell, heading: Heading) -> str:
    if not cell.value:
        return '<span class="faint">&#8211;</span>'
    if heading.words or heading.published:
        return text(cell.value)
    ends = f' <span class="ends">{text(cell.ends)}</span>' if cell.ends else ""
    return f"<b>{text(cell.value)}</b>{ends}"


def _samples(models: Sequence[ModelFindings]) -> Iterator[str]:
    if not models:
        return
    yield '<p class="faint">Sketch, picture and image: what the models make of sketches in the style of '
    yield "their own image.</p>\n"
    for model in models:
        mean = f"mean {model.ranking.figure.value:.4f} over {model.ranking.count:,} pictures"
        yield f"<h3>{text(model.name)} <small>by {text(model.ranking.title)}, {mean}</small></h3>\n"
        for what, pictures in (("best", model.ranking.best), ("worst", model.ranking.worst)):
            yield f'<div class="strips" role="group" aria-label="{text(model.name)}, {what}">\n'
            for place, one in enumerate(pictures, start=1):
                yield _strip(model, f"{what} {place}", one)
            yield "</div>\n"


def _strip(model: ModelFindings, rank: str, one: RankedPicture) -> str:
    uri = data_uri("image/jpeg", encode_jpeg(one.strip))
    alt = f"{one.key}: sketch, picture by {model.name}, image; {rank}, {one.value:.4f}"
    height, width = one.strip.shape[:2]
    return (
        f'<figure><img src="{uri}" alt="{text(alt)}" width="{width}" height="{height}" loading="lazy" '
        f'decoding="async"><figcaption><span class="rank">{rank}</span> <b>{one.value:.4f}</b> '
        f'<span class="faint">{text(one.key)}, {text(one.sketch)}</span></figcaption></figure>\n'
    )


def _trainings(report: Report) -> Iterator[str]:
    table = runs_table(report.models)
    if table:
        yield from _table(table)
    if report.curves:
        yield from _legend(report.curves[0].runs)
        yield '<div class="curves">\n'
        for curves in report.curves:
            yield from _curve(curves)
        yield '</div>\n<p class="note-below">A point is the mean of the steps since the one before.</p>\n'


def _legend(runs: Sequence[str]) -> Iterator[str]:
    """Whose colour is whose, once for all curves: beside them there may be no room for it."""
    yield '<ul class="legend">\n'
    for number, name in enumerate(runs):
        colour = COLOURS[number % len(COLOURS)]
        line = f'<path d="M0 5h20" stroke="{colour}" stroke-width="5"/>'
        yield f'<li><svg viewBox="0 0 20 10" aria-hidden="true">{line}</svg>{text(name)}</li>\n'
    yield "</ul>\n"


def _curve(curves: Curves) -> Iterator[str]:
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{text(curves.title)}">'
    yield curves.svg().replace(XMLNS, "").rstrip()
    yield "</div>\n"


def _sketches(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    for number, evaluation in enumerate(evaluations):
        yield f"<h3>{text(folders_of(evaluation))}</h3>\n"
        yield from pictures_table(picture_rows(evaluation))
        for table in sketch_tables(evaluation, explained=not number):
            yield from _table(table)


def _every_figure(report: Report) -> Iterator[str]:
    for table in all_figures(report.models):
        yield from _table(table)
    for whose, what, why in merged(report.warnings):
        where = text(": ".join(filter(None, (whose, what))))
        yield f'<p class="note-below"><b>{where}</b>: {text(why)}</p>\n'


def _missing(report: Report) -> Iterator[str]:
    gaps = merged(report.gaps)
    if not gaps:
        return
    yield '<ul class="gaps">\n'
    for whose, what, why in gaps:
        yield f"<li><strong>{text(': '.join(filter(None, (whose, what))))}</strong>: {text(why)}</li>\n"
    yield "</ul>\n"


def _made(report: Report) -> Iterator[str]:
    for title, values in settings(report):
        yield f"<h3>{text(title)}</h3>\n<dl>\n"
        for name, value in values.items():
            yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n"
        yield "</dl>\n"
    if report.commands:
        yield '<h3>Commands that measure the same</h3>\n<pre class="wide" tabindex="0">'
        yield text("\n".join(report.commands))
        yield "</pre>\n"
    yield f'<p class="note-below">{text(MEASURES)}</p>\n'
