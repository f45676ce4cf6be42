"""Distances of sets of pictures from a reference as a web page: pictures, distances, warnings, gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sketchforge.metrics.evaluation import merged
from sketchforge.metrics.image_evaluation import ImageEvaluation
from sketchforge.options import EvalCompareOptions
from sketchforge.report.commands import compare_command
from sketchforge.report.compared_pictures import compared_rows
from sketchforge.report.image_tables import distance_tables
from sketchforge.report.image_words import image_settings, reference_told
from sketchforge.report.page import write_page
from sketchforge.report.page_parts import (
    Section,
    made_html,
    note_html,
    pictures_table,
    remarks_html,
    sections_page,
    tables_html,
)
from sketchforge.report.page_pictures import PictureRow
from sketchforge.report.report_words import MEASURES

BESIDE = (
    "The reference's pictures at the left. Those of each set are spread evenly over it; a model's are of "
    "sketches in the styles of other images."
)
HOW_TO_READ = (
    "Dots are the figures, bars the 95 % intervals, by the bootstrap over pictures, or over the sketches that a "
    "model drew out; the reference stays as it is. A column has one scale, with 0 on it. Lower is better."
)


def write_comparison_page(path: Path, found: ImageEvaluation, options: EvalCompareOptions) -> None:
    """Read some pictures of each set and write the page, whole or not at all.

    Raises SketchforgeError on damaged data or a full disk.
    """
    write_page(path, comparison_page(found, compared_rows(options), compare_command(options)))


def comparison_page(found: ImageEvaluation, pictures: Sequence[PictureRow], command: str) -> Iterator[str]:
    """The page in pieces; equal evaluations and pictures give equal bytes."""
    sets = len(found.options["sets"])
    facts = [f"{sets} set{'' if sets == 1 else 's'} of pictures", f"seed {found.options['seed']}"]
    sections = [
        Section("distances", "Distances", _distances(found)),
        Section("pictures", "Some of the pictures", _pictures(pictures)),
        Section("care", "To be read with care", remarks_html(found.warnings), len(merged(found.warnings))),
        Section("missing", "What is missing", remarks_html(found.gaps), len(merged(found.gaps))),
        Section("made", "How this was made", _made(found, command)),
    ]
    return sections_page(f"Distances from {reference_told(found)}", facts, sections)


def _distances(found: ImageEvaluation) -> Iterator[str]:
    tables = distance_tables(found)
    if tables:
        yield from tables_html(tables)
        yield note_html(HOW_TO_READ)


def _pictures(rows: Sequence[PictureRow]) -> Iterator[str]:
    yield f'<p class="faint">{BESIDE}</p>\n'
    yield from pictures_table(rows, "Some of the pictures", even=True)


def _made(found: ImageEvaluation, command: str) -> Iterator[str]:
    yield from made_html(image_settings(found), [command])
    yield note_html(MEASURES)
