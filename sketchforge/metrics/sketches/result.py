"""The result of a measurement of sketches: rows of estimates, and missing metrics; its JSON form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchforge.metrics.estimates import LEVEL, RESAMPLINGS, Estimate, MissingMetric
from sketchforge.metrics.sketches.inputs import DrawingSet, SketchInput
from sketchforge.options import EvalSketchesOptions

FORMAT = "sketchforge-sketch-evaluation"
VERSION = 3
ENCODER = "builtin"
HALVINGS = 20  # of the references, for the human baseline
AUC_RUNS = 5  # of the two-sample test, each with its own seed; the AUC is their mean
PEOPLE = "people (each against the others)"  # the name of their row
PAIRS = "people (drawings of one photo)"  # the name of theirs

CONTENT, REALISM, VARIETY, STROKES = "content", "realism", "variety", "strokes"  # the blocks
# The fields of Strokes that are summarised, and those whose distribution is compared with the references'.
SUMMARISED = ("ink", "width", "relative_width", "straightness", "fragments", "short_share")
COMPARED = ("ink", "relative_width", "straightness", "fragments", "short_share")


@dataclass(frozen=True)
class Row:
    """The estimates of a style, a shard folder or pairs of drawings (variety), a set of drawings, the annotators."""

    kind: str  # style | folder | reference | people | pairs
    name: str
    source: str  # the folder
    images: int  # that were measured
    figures: Mapping[str, Mapping[str, Estimate]]  # block -> name -> estimate
    threshold: float | None = None  # of darkness, at which content's precision, recall and F (ODS) were taken
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)  # SUMMARISED -> of every sketch
    trained_on: str = (
        ""  # an edge network's: the photos with boundaries that its published weights learnt from
    )

    @property
    def is_marked(self) -> bool:
        """Whether boundaries of BSDS500 are in the training set of what drew it."""
        return "BSDS500" in self.trained_on

    def figure(self, block: str, name: str) -> Estimate | None:
        return self.figures.get(block, {}).get(name)


@dataclass(frozen=True)
class SketchEvaluation:
    """All rows, and the inputs, encoder and libraries they were measured with."""

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
            block: {name: _encode_estimate(figure) for name, figure in estimates.items()}
            for block, estimates in row.figures.items()
        }
        rows.append(
            {"kind": row.kind, "name": row.name, "source": row.source, "images": row.images, **figures}
            | ({} if row.threshold is None else {"threshold": row.threshold})
            | ({"trained_on": row.trained_on} if row.trained_on else {})
        )
    from sketchforge.metrics.sketches import shared_lines
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
                    "source": str(sketch_input.path),
                    "samples": len(sketch_input.shards.keys),
                    "measured": len(sketch_input.chosen),
                    "annotated": len(annotations),
                }
                for sketch_input, annotations in zip(evaluation.shards, evaluation.annotations, strict=True)
            ],
            "references": [
                {
                    "source": str(drawing_set.path),
                    "drawings": drawing_set.num_found,
                    "measured": len(drawing_set.drawings),
                }
                for drawing_set in evaluation.drawings
            ],
        },
        "thresholds": {
            "darkness": list(THRESHOLDS),
            "tolerance": TOLERANCE,
            "binarised": {
                str(sketch_input.path): _describe_thresholds(sketch_input)
                for sketch_input in evaluation.shards
            },
            "suppressed": [
                str(sketch_input.path) for sketch_input in evaluation.shards if sketch_input.is_suppressed
            ],
        },
        "methods": {
            "kid": kernel_distance_name(ENCODER),
            "patches": PATCHES,
            "vendi_width": WIDTH,
            "shared_tolerance": shared_lines.TOLERANCE / shared_lines.SIDE,
            "shared_shift": shared_lines.MAX_SHIFT / shared_lines.SIDE,
            "shared_scales": list(shared_lines.SCALES),
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


def _encode_estimate(figure: Estimate) -> dict[str, float | int | None]:
    numbers = {name: _round_value(getattr(figure, name)) for name in ("value", "low", "high")}
    if figure.p10 is not None:
        numbers |= {name: _round_value(getattr(figure, name)) for name in ("p10", "p90")}
    return {**numbers, "images": figure.images}


def _describe_thresholds(sketch_input: SketchInput) -> dict[str, float] | None:
    return (
        dict(zip(("threshold", "low_threshold"), sketch_input.thresholds, strict=True))
        if sketch_input.thresholds
        else None
    )


def _round_value(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
