"""A report as JSON: every measurement in full, beside the tables as page and Markdown show them."""

from __future__ import annotations

from typing import Any

from sketchforge.metrics.estimates import Estimate, MissingMetric
from sketchforge.metrics.images.result import image_json
from sketchforge.metrics.sketches.result import as_json
from sketchforge.report.images.samples import RankedImage
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.tables import (
    all_figures,
    paper_tables,
    ranking_table,
    runs_table,
    sketch_tables,
)
from sketchforge.report.tables import Table

FORMAT, VERSION = "sketchforge-report", 2


def report_json(report: Report) -> dict[str, Any]:
    """The report as a JSON object; numbers have six digits, but for those in `tables`, which are words."""
    options = report.options
    tables = [
        *paper_tables(report.models),
        ranking_table(report),
        runs_table(report.models),
        *(table for evaluation in report.sketches for table in sketch_tables(evaluation)),
        *all_figures(report.models),
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "seed": options.seed,
        "samples": options.samples,
        "sketches": [as_json(evaluation) for evaluation in report.sketches],
        "models": [_model(model) for model in report.models],
        "curves": [
            {
                "command": curves.command,
                "name": curves.name,
                "lines": {
                    run: [[step, _rounded(value)] for step, value in points]
                    for run, points in curves.lines.items()
                },
            }
            for curves in report.curves
        ],
        "tables": [_table(table) for table in tables if table],
        "gaps": [_told(gap) for gap in report.gaps],
        "warnings": [_told(warning) for warning in report.warnings],
        "commands": list(report.commands),
        "hardware": dict(report.hardware),
        "libraries": dict(report.libraries),
    }


def _model(model: ModelFindings) -> dict[str, Any]:
    ranking = model.ranking
    return {
        "name": model.name,
        "run": str(model.run.folder),
        "command": model.run.command,
        "recipe": dict(model.recipe),
        "measured_on": {"shards": str(model.ground.folder.path), "images": model.ground.images},
        "evaluation": image_json(model.evaluation),
        "ranking": {
            "error": ranking.title,
            "mean": _figure(ranking.figure),
            "images": ranking.count,
            "best": [_image(one) for one in ranking.best],
            "worst": [_image(one) for one in ranking.worst],
        },
    }


def _image(one: RankedImage) -> dict[str, Any]:
    return {"key": one.key, "sketch": one.sketch, "error": _rounded(one.value)}


def _figure(figure: Estimate) -> dict[str, Any]:
    interval = {name: getattr(figure, name) for name in ("value", "low", "high")}
    return {name: None if end is None else _rounded(end) for name, end in interval.items()} | {
        "images": figure.images
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": [heading.title for heading in table.headings],
        "published": [heading.title for heading in table.headings if heading.published],
        "rows": [
            {"name": row.name, "detail": row.detail, "values": [cell.value for cell in row.cells]}
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def _told(gap: MissingMetric) -> dict[str, str]:
    return {"row": gap.row, "figure": gap.block, "reason": gap.reason}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
