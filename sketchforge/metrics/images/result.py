"""What a measurement of images comes to: rows of figures, gaps and warnings; its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sketchforge.metrics.estimates import LEVEL, RESAMPLINGS, Estimate, MissingMetric
from sketchforge.metrics.images.statistics import DISTANCE_RESAMPLINGS

FORMAT, VERSION = "sketchforge-image-evaluation", 2
ENOUGH = 2048  # images, below which a Fréchet distance says more about the number than about the images

MATCHED, MISMATCHED = "matched", "mismatched"  # how sketches and styles were paired
# The row of what mismatched pairs have without any model: the sketch's own image in place of an image (SR,
# Sty-Rec), the style image's sketch in place of its drawing (Skt-Rec).
CHANCE = "chance"
# Every figure that a row may have, and which way is better.
BETTER = {
    "frechet": "lower",
    "kid": "lower",
    "lpips": "lower",
    "sr_colour": "higher",
    "sr_texture": "higher",
    "sr": "higher",
    "skt_rec": "lower",
    "skt_rec_relative": "lower",
    "sty_rec": "higher",
}


@dataclass(frozen=True)
class ImageRow:
    """Figures of one set of images that rest on the same features."""

    name: str  # of the set
    source: str
    pairs: str  # MATCHED | MISMATCHED; "" for images that were not made here
    count: int  # images; a figure's `images` says how many different ones were resampled
    features: str
    weights: str  # digest of what computes the features
    preprocessing: str
    figures: Mapping[str, Estimate]  # by the names of BETTER
    titles: Mapping[str, str]  # what each figure is called
    note: str = ""


@dataclass(frozen=True)
class ImageEvaluation:
    """All that was measured, and what it was measured with."""

    command: str  # images | compare
    options: Mapping[str, Any]
    reference: Mapping[str, Any]  # name, source, count, sizes
    models: tuple[Mapping[str, Any], ...]  # name, source, size, digest
    rows: tuple[ImageRow, ...]
    gaps: tuple[MissingMetric, ...]
    warnings: tuple[MissingMetric, ...]  # what was measured, but has to be read with care
    libraries: Mapping[str, str]


def image_json(found: ImageEvaluation) -> dict[str, Any]:
    """The evaluation as a JSON object; numbers have six digits. Equal evaluations give equal objects."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "command": found.command,
        "options": dict(found.options),
        "reference": dict(found.reference),
        "models": [dict(model) for model in found.models],
        "methods": {"resamplings": RESAMPLINGS, "distance_resamplings": DISTANCE_RESAMPLINGS, "level": LEVEL},
        "libraries": dict(found.libraries),
        "rows": [_row_json(row) for row in found.rows],
        "gaps": [_told(gap) for gap in found.gaps],
        "warnings": [_told(warning) for warning in found.warnings],
    }


def _row_json(row: ImageRow) -> dict[str, Any]:
    metadata = {
        "name": row.name,
        "source": row.source,
        "pairs": row.pairs or None,
        "count": row.count,
        "features": row.features,
        "weights": row.weights,
        "preprocessing": row.preprocessing,
        "titles": dict(row.titles),
        "note": row.note or None,
    }
    return metadata | {name: _figure_json(figure) for name, figure in row.figures.items()}


def _figure_json(figure: Estimate) -> dict[str, float | int | None]:
    interval = {name: getattr(figure, name) for name in ("value", "low", "high")}
    rounded = {name: None if end is None else float(f"{end:.6g}") for name, end in interval.items()}
    return {**rounded, "images": figure.images}


def _told(gap: MissingMetric) -> dict[str, str]:
    return {"row": gap.row, "figure": gap.block, "reason": gap.reason}
