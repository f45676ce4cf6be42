"""The result of a measurement of images: rows of estimates, missing metrics, warnings; its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sketchforge.metrics.estimates import LEVEL, RESAMPLINGS, Estimate, MissingMetric
from sketchforge.metrics.images.statistics import DISTANCE_RESAMPLINGS

FORMAT, VERSION = "sketchforge-image-evaluation", 2
ENOUGH = 2048  # images; with fewer, the Fréchet distance depends more on their number than on the images

MATCHED, MISMATCHED = "matched", "mismatched"  # how sketches and styles were paired
# The row of mismatched pairs without a model: the sketch's own image takes the place of the model's image
# (SR, Sty-Rec), the style image's sketch that of its redrawing (Skt-Rec).
CHANCE = "chance"
# Every figure that a row may have, and whether lower or higher is better.
BETTER = {
    "frechet": "lower",
    "kid": "lower",
    "lpips": "lower",
    "diversity": "higher",
    "lpips_style": "lower",
    "sr_colour": "higher",
    "sr_texture": "higher",
    "sr": "higher",
    "skt_rec": "lower",
    "skt_rec_relative": "lower",
    "sty_rec": "higher",
    "leak": "lower",
    "error": "lower",
    "error_mirrored": "lower",
    "error_turned": "lower",
    "style_mirrored": "higher",
    "style_turned": "higher",
    "style_other": "lower",
    "lattice": "lower",
}


@dataclass(frozen=True)
class ImageRow:
    """The estimates of one set of images in the same features."""

    name: str  # of the set
    source: str
    pairs: str  # MATCHED | MISMATCHED; "" for stored images
    count: int  # images; an estimate's `images` is the number of groups that were resampled
    features: str
    weights: str  # digest of what computes the features
    preprocessing: str
    figures: Mapping[str, Estimate]  # by the names of BETTER
    titles: Mapping[str, str]  # the title of each figure
    note: str = ""


@dataclass(frozen=True)
class ImageEvaluation:
    """All rows, and the options, models and libraries they were measured with."""

    command: str  # images | compare
    options: Mapping[str, Any]
    reference: Mapping[str, Any]  # name, source, count, sizes
    models: tuple[Mapping[str, Any], ...]  # name, source, size, digest
    rows: tuple[ImageRow, ...]
    gaps: tuple[MissingMetric, ...]
    warnings: tuple[MissingMetric, ...]  # figures that were measured but need care
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
        "rows": [_encode_row(row) for row in found.rows],
        "gaps": [_encode_missing(gap) for gap in found.gaps],
        "warnings": [_encode_missing(warning) for warning in found.warnings],
    }


def _encode_row(row: ImageRow) -> dict[str, Any]:
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
    return metadata | {name: _encode_estimate(figure) for name, figure in row.figures.items()}


def _encode_estimate(figure: Estimate) -> dict[str, float | int | None]:
    numbers = {name: getattr(figure, name) for name in ("value", "low", "high")}
    rounded = {name: None if number is None else float(f"{number:.6g}") for name, number in numbers.items()}
    return {**rounded, "images": figure.images}


def _encode_missing(missing: MissingMetric) -> dict[str, str]:
    return {"row": missing.row, "figure": missing.block, "reason": missing.reason}
