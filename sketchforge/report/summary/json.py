"""A report as JSON: every measurement in full, and the tables as page and Markdown show them."""

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
from sketchforge.report.summary.verdict import verdict
from sketchforge.report.tables import Table

FORMAT, VERSION = "sketchforge-report", 3


def report_json(report: Report) -> dict[str, Any]:
    """The report as a JSON object. Numbers have six significant digits; values in `tables` are strings."""
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
        "verdict": [remark._asdict() for remark in verdict(report)],
        "seed": options.seed,
        "samples": options.samples,
        "sketches": [as_json(evaluation) for evaluation in report.sketches],
        "models": [_convert_model(model) for model in report.models],
        "curves": [
            {
                "command": curves.command,
                "name": curves.name,
                "lines": {
                    run: [[step, _round(value)] for step, value in points]
                    for run, points in curves.lines.items()
                },
            }
            for curves in report.curves
        ],
        "tables": [_convert_table(table) for table in tables if table],
        "gaps": [_convert_gap(gap) for gap in report.gaps],
        "warnings": [_convert_gap(warning) for warning in report.warnings],
        "commands": list(report.commands),
        "hardware": dict(report.hardware),
        "libraries": dict(report.libraries),
    }


def _convert_model(model: ModelFindings) -> dict[str, Any]:
    ranking = model.ranking
    return {
        "name": model.name,
        "run": str(model.run.folder),
        "command": model.run.command,
        "recipe": dict(model.recipe),
        "measured_on": {
            "shards": str(model.evaluation_set.folder.path),
            "split": model.evaluation_set.folder.split,
            "images": model.evaluation_set.images,
        },
        "evaluation": image_json(model.evaluation),
        "ranking": {
            "error": ranking.title,
            "mean": _convert_estimate(ranking.figure),
            "images": ranking.count,
            "best": [_convert_image(image) for image in ranking.best],
            "worst": [_convert_image(image) for image in ranking.worst],
        },
    }


def _convert_image(image: RankedImage) -> dict[str, Any]:
    return {"key": image.key, "sketch": image.sketch, "error": _round(image.value)}


def _convert_estimate(figure: Estimate) -> dict[str, Any]:
    values = {name: getattr(figure, name) for name in ("value", "low", "high")}
    return {name: None if value is None else _round(value) for name, value in values.items()} | {
        "images": figure.images
    }


def _convert_table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": [heading.title for heading in table.headings],
        "published": [heading.title for heading in table.headings if heading.published],
        "rows": [
            {"name": row.name, "detail": row.detail, "values": [cell.value for cell in row.cells]}
            for row in table.rows
        ],
        "notes": list(table.notes),
        "folded": _convert_table(table.folded) if table.folded else None,
    }


def _convert_gap(gap: MissingMetric) -> dict[str, str]:
    return {"row": gap.row, "figure": gap.block, "reason": gap.reason}


def _round(value: float) -> float:
    return float(f"{value:.6g}")
