"""The figures of images as tables: every figure of one model, and the distances of image sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.images.result import BETTER, CHANCE, ImageEvaluation, ImageRow
from sketchforge.report.provenance import hardware, versions
from sketchforge.report.svg import scale_of
from sketchforge.report.tables import Cell, CellBar, Heading, Table, TableRow, digits, figure_cell
from sketchforge.utils.device import choose_device
from sketchforge.utils.text import count_noun

ARROWS = {"lower": "↓", "higher": "↑"}
COMPUTED_WITH = ("better", "pairs", "images", "features", "weights", "preprocessing")
HOW_TO_READ = (
    "Mismatched: the style is another image's; matched: the image's own. Chance, dashed in the bars: the "
    "sketch's own image in place of the image, or another sketch in place of its drawing.",
    "Intervals are 95 %, by the bootstrap over sketches or images; the reference stays as it is.",
)
WITHIN_ONE = ("sr_colour", "sr_texture", "sr", "sty_rec", "skt_rec_relative")  # figures between 0 and 1


def model_figures(
    found: ImageEvaluation, title: str, more: Sequence[TableRow] = (), explained: bool = True
) -> Table:
    """Every figure of one model, with chance's figure and what both were computed with.

    more: further rows. explained: whether notes say how to read the table.
    """
    chance = {
        row.titles[name]: figure
        for row in found.rows
        if row.name == CHANCE
        for name, figure in row.figures.items()
    }
    rows = [
        _build_figure_row(row, name, figure, chance.get(row.titles[name]))
        for row in found.rows
        if row.name != CHANCE
        for name, figure in row.figures.items()
    ]
    headings = (Heading("value"), Heading("chance"), *(Heading(name, words=True) for name in COMPUTED_WITH))
    return Table(title, "figure", headings, (*rows, *more), HOW_TO_READ if explained else ())


def _build_figure_row(row: ImageRow, name: str, figure: Estimate, chance: Estimate | None) -> TableRow:
    bar, chance_value = None, ""
    if chance is not None:
        low, high = scale_of([figure, chance])
        bar = CellBar(figure, (low, max(high, 1.0) if name in WITHIN_ONE else high), chance.value)
        chance_value = f"{chance.value:.{digits(figure.value)}f}"
    words = (BETTER[name], row.pairs, f"{row.count:,}", row.features, row.weights[:16], row.preprocessing)
    cells = (figure_cell(figure, bar=bar), Cell(chance_value), *map(Cell, words))
    return TableRow(row.titles[name], cells, row.note)


def distance_tables(found: ImageEvaluation) -> list[Table]:
    """A table for each network's features with a row for each set; the bars of a column have one scale."""
    tables = []
    for features in dict.fromkeys(row.features for row in found.rows):
        rows = [row for row in found.rows if row.features == features]
        titles = rows[0].titles
        scales = {name: scale_of([row.figures[name] for row in rows]) for name in titles}
        table_rows = []
        for row in rows:
            cells = [
                figure_cell(row.figures[name], bar=CellBar(row.figures[name], scale))
                for name, scale in scales.items()
            ]
            pairs = f"{row.pairs} pairs" if row.pairs else ""
            table_rows.append(TableRow(row.name, (*cells, Cell(f"{row.count:,}")), pairs))
        headings = [Heading(f"{title} {ARROWS[BETTER[name]]}") for name, title in titles.items()]
        weights_note = f"Weights {rows[0].weights[:16]}; {rows[0].preprocessing}."
        notes = (*dict.fromkeys(row.note for row in rows if row.note), weights_note)
        title = f"In the features of {features}"
        tables.append(Table(title, "set", (*headings, Heading("images")), tuple(table_rows), notes))
    return tables


# The settings that all pages on images show: options, sets, networks, hardware.


def image_settings(found: ImageEvaluation) -> list[tuple[str, dict[str, str]]]:
    """Titled lists of names and values: options, what was compared, hardware and versions."""
    device = choose_device(str(found.options["device"]))
    compared = {"reference": _describe_source(found)}
    for model in found.models:
        refined = ", refined" if model["refined"] else ""
        description = (
            f"{model['source']}, {model['size']} pixels{refined}, sketches of {model['sketches']}, "
            f"weights {str(model['digest'])[:16]}"
        )
        compared[f"model {model['name']}"] = description
    return [
        ("Settings", {name: _format_value(value) for name, value in found.options.items()}),
        ("What was compared", compared),
        ("Hardware and versions", versions(hardware(device), found.libraries)),
    ]


def describe_reference_set(found: ImageEvaluation) -> str:
    """The reference's name, number of images and sizes, as text."""
    reference = found.reference
    return f"{reference['name']} ({count_noun(reference['count'], 'image')}, {reference['sizes']})"


def _describe_source(evaluation: ImageEvaluation) -> str:
    reference = evaluation.reference
    count = f"{reference['count']:,} of {count_noun(reference['found'], 'image')}"
    return f"{reference['source']}, {count}, {reference['sizes']}"


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "not given" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
