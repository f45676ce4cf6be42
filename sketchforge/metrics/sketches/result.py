"""What a measurement of sketches comes to: rows of figures with their intervals, and gaps; its JSON form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchforge.metrics.estimates import LEVEL, RESAMPLINGS, Estimate, MissingMetric
from sketchforge.metrics.sketches.inputs import DrawingSet, SketchInput
from sketchforge.options import EvalSketchesOptions

FORMAT = "sketchforge-sketch-evaluation"
VERSION = 2
ENCODER = "builtin"
HALVINGS = 20  # of the references, for the floor
AUC_RUNS = 5  # of the two-sample test, each with a seed of its own; an AUC is their mean
PEOPLE = "people (each against the others)"  # the name of their row

CONTENT, REALISM, VARIETY, STROKES = "content", "realism", "variety", "strokes"  # the blocks
# Of Strokes, those that are summarised; those whose distribution is compared with the references'.
SUMMARISED = ("ink", "width", "relative_width", "straightness", "fragments", "short_share")
COMPARED = ("ink", "relative_width", "straightness", "fragments", "short_share")


@dataclass(frozen=True)
class Row:
    """One style, one shard folder (variety), one set of drawings, or the annotators."""

    kind: str  # style | folder | reference | people
    name: str
    source: str  # the folder
    images: int  # looked at
    figures: Mapping[str, Mapping[str, Estimate]]  # block -> name -> figure
    threshold: float | None = None  # of darkness, at which content's precision, recall and F (ODS) were taken
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)  # SUMMARISED -> of every sketch

    def figure(self, block: str, name: str) -> Estimate | None:
        return self.figures.get(block, {}).get(name)


@dataclass(frozen=True)
class SketchEvaluation:
    """All that was measured, and what it was measured with."""

    options: EvalSketchesOptions
    rows: tuple[Row, ...]
    gaps: tuple[MissingMetric, ...]
    encoder: str  # digest
    libraries: Mapping[str, str]
    shards: tuple[SketchInput, ...]
    annotations: tuple[Mapping[str, Path], ...]  # per shard set
    drawings: tuple[DrawingSet, ...]

    def of_kind(self, *kinds: str) -> list[Row]:
        return [row for row in self.rows if row.kind in kinds]


def as_json(evaluation: SketchEvaluation) -> dict[str, Any]:
    """The evaluation as a JSON object; numbers have six digits. Equal evaluations give equal objects."""
    options = evaluation.options
    rows = []
    for row in evaluation.rows:
        figures = {
            block: {name: _figure_json(figure) for name, figure in found.items()}
            for block, found in row.figures.items()
        }
        rows.append(
            {"kind": row.kind, "name": row.name, "source": row.source, "images": row.images, **figures}
            | ({} if row.threshold is None else {"threshold": row.threshold})
        )
    from sketchforge.metrics.sketches.boundaries import THRESHOLDS, TOLERANCE
    from sketchforge.metrics.sketches.features import kernel_distance_name
    from sketchforge.metrics.sketches.measure_sketch import PATCHES
    from sketchforge.metrics.sketches.variety import WIDTH

    return {
        "format": FORMAT,
        "version": VERSION,
        "options": {
            "shards": [str(path) for path in options.shards],
            "boundaries": str(options.boundaries) if options.boundaries else None,
            "references": [str(path) for path in options.references],
            "samples": options.samples,
        },
        "seed": options.seed,
        "counts": {
            "shards": [
                {
                    "source": str(one.path),
                    "samples": len(one.shards.keys),
                    "measured": len(one.chosen),
                    "annotated": len(found),
                }
                for one, found in zip(evaluation.shards, evaluation.annotations, strict=True)
            ],
            "references": [
                {"source": str(one.path), "drawings": one.num_found, "measured": len(one.drawings)}
                for one in evaluation.drawings
            ],
        },
        "thresholds": {
            "darkness": list(THRESHOLDS),
            "tolerance": TOLERANCE,
            "binarised": {str(one.path): _binarised(one) for one in evaluation.shards},
        },
        "methods": {
            "kid": kernel_distance_name(ENCODER),
            "patches": PATCHES,
            "vendi_width": WIDTH,
            "resamplings": RESAMPLINGS,
            "halvings": HALVINGS,
            "auc_runs": AUC_RUNS,
            "level": LEVEL,
        },
        "encoder": evaluation.encoder,
        "libraries": dict(evaluation.libraries),
        "rows": rows,
        "gaps": [{"row": gap.row, "block": gap.block, "reason": gap.reason} for gap in evaluation.gaps],
    }


def _figure_json(figure: Estimate) -> dict[str, float | int | None]:
    found = {name: _rounded(getattr(figure, name)) for name in ("value", "low", "high")}
    if figure.p10 is not None:
        found |= {name: _rounded(getattr(figure, name)) for name in ("p10", "p90")}
    return {**found, "images": figure.images}


def _binarised(one: SketchInput) -> dict[str, float] | None:
    return dict(zip(("threshold", "low_threshold"), one.thresholds, strict=True)) if one.thresholds else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
