"""Builds a model's rows other than its distances: SR, LPIPS, Skt-Rec and Sty-Rec, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sketchforge.checkpoints.encoder import encoder_digest
from sketchforge.metrics.images.lattice import locked_share
from sketchforge.metrics.images.layout_leak import leak_ratio
from sketchforge.metrics.images.lpips import PREPROCESSING, PerceptualSimilarity
from sketchforge.metrics.images.result import ImageRow
from sketchforge.metrics.images.sketch_reconstruction import Redrawing
from sketchforge.metrics.images.statistics import estimate_means, estimate_statistic
from sketchforge.metrics.images.style_relevance import TAPS
from sketchforge.models.encoder import Encoder
from sketchforge.synthesis.synthesizer import Synthesizer

RELEVANCE = {"sr_colour": "SR colour", "sr_texture": "SR texture", "sr": "SR"}
OWN_SIZE = "images and style images at the model's size"


def relevance_rows(
    metadata: dict[str, Any],
    groups: Sequence[int],
    values: dict[str, np.ndarray],
    encoders: Mapping[str, tuple[Encoder, str]],
    seed: int,
) -> list[ImageRow]:
    rows = []
    for title, (encoder, note) in encoders.items():
        parts = {"sr_colour": "colour", "sr_texture": "texture", "sr": "relevance"}
        figures = estimate_means(
            {key: values[f"{title} {part}"] for key, part in parts.items()}, groups, seed
        )
        titles = {key: f"{label} ({title})" for key, label in RELEVANCE.items()}
        rows.append(
            ImageRow(
                **metadata,
                count=len(groups),
                features=f"{title} {'+'.join(TAPS)}",
                weights=encoder_digest(encoder),
                preprocessing=OWN_SIZE,
                figures=figures,
                titles=titles,
                note=note,
            )
        )
    return rows


def similarity_rows(
    metadata: dict[str, Any],
    groups: Sequence[int],
    values: dict[str, np.ndarray],
    similarities: Sequence[PerceptualSimilarity],
    seed: int,
) -> list[ImageRow]:
    return [
        ImageRow(
            **metadata,
            count=len(groups),
            features=similarity.title,
            weights=similarity.weights,
            preprocessing=PREPROCESSING,
            figures=estimate_means({"lpips": values[similarity.title]}, groups, seed),
            titles={"lpips": similarity.title},
            note=similarity.note,
        )
        for similarity in similarities
    ]


def redrawn_row(
    metadata: dict[str, Any],
    groups: Sequence[int],
    values: dict[str, np.ndarray],
    redrawing: Redrawing,
    seed: int,
) -> ImageRow:
    figures = estimate_means({name: values[name] for name in ("skt_rec", "skt_rec_relative")}, groups, seed)
    size = redrawing.size
    return ImageRow(
        **metadata,
        count=len(groups),
        features="TOM, by the snapshot of the sketch",
        weights=redrawing.digest,
        preprocessing=f"images bicubic to {size} x {size}, drawn, black and white as the sketches",
        figures=figures,
        titles={"skt_rec": "Skt-Rec", "skt_rec_relative": "Skt-Rec by ink"},
    )


def layout_rows(
    metadata: dict[str, Any], groups: Sequence[int], values: dict[str, np.ndarray], digest: str, seed: int
) -> list[ImageRow]:
    """The layout leak, errors in mirrored and turned styles, and cosines of f_style. digest: the model's."""
    changes = {name: values[name] for name in ("change_mirrored", "change_other")}

    def leak(sums: Mapping[str, float]) -> float:
        return leak_ratio(sums["change_mirrored"], sums["change_other"])

    errors = {
        "error": "squared error",
        "error_mirrored": "squared error, style mirrored",
        "error_turned": "squared error, style turned",
    }
    cosines = {
        "style_mirrored": "f_style, mirrored",
        "style_turned": "f_style, turned",
        "style_other": "f_style, another's",
    }
    shared = metadata | {"count": len(groups), "weights": digest, "preprocessing": OWN_SIZE}
    return [
        ImageRow(
            **shared,
            features="pixels in [-1, 1]",
            figures=estimate_statistic("leak", changes, leak, groups, seed)
            | estimate_means({name: values[name] for name in errors}, groups, seed),
            titles={"leak": "layout leak"} | errors,
        ),
        ImageRow(
            **shared,
            features="f_style of the model itself",
            figures=estimate_means({name: values[name] for name in cosines}, groups, seed),
            titles=cosines,
            note="each model by its own encoder: compare between models with care",
        ),
    ]


def lattice_row(
    metadata: dict[str, Any], groups: Sequence[int], values: dict[str, np.ndarray], digest: str, seed: int
) -> ImageRow:
    """The share of fine variation in even areas that is locked to the grid. digest: the model's."""
    power = {name: values[name] for name in ("locked", "fine", "reference")}

    def share(sums: Mapping[str, float]) -> float:
        return locked_share(sums["locked"], sums["fine"], sums["reference"])

    return ImageRow(
        **metadata,
        count=len(groups),
        features="luminance, 8-pixel windows",
        weights=digest,
        preprocessing=OWN_SIZE,
        figures=estimate_statistic("lattice", power, share, groups, seed),
        titles={"lattice": "lattice"},
    )


def style_row(
    metadata: dict[str, Any],
    groups: Sequence[int],
    values: dict[str, np.ndarray],
    model: Synthesizer,
    seed: int,
) -> ImageRow:
    return ImageRow(
        **metadata,
        count=len(groups),
        features="f_style of the model itself",
        weights=model.digest,
        preprocessing=OWN_SIZE,
        figures=estimate_means({"sty_rec": values["sty_rec"]}, groups, seed),
        titles={"sty_rec": "Sty-Rec"},
        note="each model by its own encoder: compare between models with care",
    )
