"""A report as Markdown: tables and text, and images in a folder beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sketchforge.images.contact_sheet import add_caption, contact_sheet, describe_fidelity
from sketchforge.images.encode import encode_jpeg, encode_png_rgb
from sketchforge.metrics.estimates import merge_missing
from sketchforge.metrics.sketches.result import SketchEvaluation
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
from sketchforge.report.summary.curves import Curves
from sketchforge.report.summary.tables import (
    all_figures,
    paper_tables,
    ranking_table,
    runs_table,
    sketch_tables,
)
from sketchforge.report.summary.text import describe_model, describe_verdict, facts, folders_of, settings
from sketchforge.utils.markdown import Markdown, escape, fill_markdown

SHEET_CELL = 256  # pixels; larger sketches are reduced


@dataclass(frozen=True)
class _Images:
    """The image files that the document shows so far."""

    folder: str
    files: dict[str, bytes] = field(default_factory=dict)  # name -> contents

    def add(self, name: str, data: bytes, alt: str) -> Markdown:
        """Add a file of this name with the bytes `data`; return what shows it."""
        self.files[name] = data
        return Markdown(f"![{escape(alt)}]({quote(os.fsencode(self.folder))}/{name})")


def report_markdown(report: Report, folder: str) -> tuple[str, dict[str, bytes]]:
    """(the document, its image files: name -> bytes); it expects the files in `folder`, beside itself.

    Equal reports give equal text and files. Raises SketchforgeError on damaged shards.
    """
    images, tables = _Images(folder), paper_tables(report.models)
    remarks = (("To be read with care", report.warnings), ("What is missing", report.gaps))
    text = fill_markdown(
        Path(__file__).parent,
        "report.md.jinja",
        facts=" · ".join(facts(report)),
        verdict=describe_verdict(report),
        grid_explained=Markdown(GRID_EXPLAINED),
        ranked_explained=Markdown(RANKED_EXPLAINED),
        models=[_describe(model, number, images) for number, model in enumerate(report.models, start=1)],
        paper_tables=tables,
        published_tables=[table.folded for table in tables if table.folded],
        ranking_tables=list(filter(None, [ranking_table(report)])),
        run_tables=list(filter(None, [runs_table(report.models)])),
        curves=[
            _describe_curves(curves, number, images) for number, curves in enumerate(report.curves, start=1)
        ],
        sketches=[
            _describe_sketches(evaluation, number, images)
            for number, evaluation in enumerate(report.sketches, start=1)
        ],
        all_figures=list(all_figures(report.models)),
        remarks=[
            (
                title,
                [
                    (": ".join(filter(None, (row, block))), reason)
                    for row, block, reason in merge_missing(missing)
                ],
            )
            for title, missing in remarks
        ],
        settings=list(settings(report)),
        commands=list(report.commands),
        measures=MEASURES,
    )
    return text, images.files


def _describe(model: ModelFindings, number: int, images: _Images) -> dict[str, Any]:
    return {
        "name": model.name,
        "description": describe_model(model),
        "grid": images.add(f"made-{number}.jpg", encode_jpeg(model.grid), grid_alt(model.name, model.size)),
        "ranking": describe_ranking(model.ranking),
        "strips": list(_show_strips(number, model, images)),
    }


def _show_strips(number: int, model: ModelFindings, images: _Images) -> Iterator[Markdown]:
    for end, ranked in (("best", model.ranking.best), ("worst", model.ranking.worst)):
        for rank, image in enumerate(ranked, start=1):
            alt = strip_alt(model.name, f"{end} {rank}", image)
            yield images.add(f"{end}-{number}-{rank}.jpg", encode_jpeg(image.strip), alt)


def _describe_curves(curves: Curves, number: int, images: _Images) -> dict[str, Any]:
    last_values = ", ".join(f"{name} {points[-1][1]:.4g}" for name, points in curves.lines.items())
    image = images.add(f"curve-{number}.svg", curves.svg().encode(errors="replace"), curves.title)
    return {"ends": f"{curves.title}: {last_values}", "image": image}


def _describe_sketches(evaluation: SketchEvaluation, number: int, images: _Images) -> dict[str, Any]:
    rows = image_rows(evaluation)
    sketches = [
        image.pixels for row in rows for image in row if image.pixels is not None and image.pixels.ndim == 2
    ]
    cell = min(SHEET_CELL, max(max(sketch.shape) for sketch in sketches))
    sheet = contact_sheet(
        [[image.pixels for image in row] for row in rows], [image.heading for image in rows[0]], cell
    )
    fidelity = describe_fidelity(sketches, cell)
    alt = f"{folders_of(evaluation)}; {len(rows)} of them in rows; {fidelity}"
    return {
        "folders": f"{folders_of(evaluation)}; below, {fidelity}",
        "sheet": images.add(f"sketches-{number}.png", encode_png_rgb(add_caption(sheet, alt)), alt),
        "tables": list(sketch_tables(evaluation, explained=number == 1)),
    }
