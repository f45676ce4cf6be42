"""The evaluation of a model's images as a web page: images, figures beside chance, warnings, gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sketchforge.images.contact_sheet import describe_enlargement
from sketchforge.metrics.estimates import merge_missing
from sketchforge.metrics.images.result import ImageEvaluation
from sketchforge.options import EvalImagesOptions
from sketchforge.report.components import (
    Section,
    note_html,
    notes_html,
    provenance_html,
    sections_page,
    table_html,
)
from sketchforge.report.html import write_page
from sketchforge.report.images.samples import (
    GRID_CELL,
    GRID_EXPLAINED,
    RANKED_EXPLAINED,
    ModelSamples,
    grid_html,
    model_samples,
    ranking_html,
)
from sketchforge.report.images.tables import describe_reference_set, image_settings, model_figures
from sketchforge.report.provenance import MEASURES, images_command_line


def write_model_page(path: Path, found: ImageEvaluation, options: EvalImagesOptions) -> None:
    """Generate some images with the model that was measured and write the page, whole or not at all.

    Raises SketchforgeError on damaged shards or a full disk.
    """
    samples = model_samples(options, found.models[0]["name"])
    write_page(path, model_page(found, samples, images_command_line(options)))


def model_page(found: ImageEvaluation, samples: ModelSamples, command: str) -> Iterator[Markup]:
    """Yield the page in pieces; equal evaluations and images give equal bytes."""
    (model,) = found.models
    seed = found.options["seed"]
    facts = [
        f"{model['size']} pixels",
        f"sketches and styles of {model['sketches']}",
        f"against {describe_reference_set(found)}",
        f"seed {seed}",
    ]
    sections = [
        Section("images", "What it makes", _render_images(model, samples)),
        Section("figures", "Figures", table_html(model_figures(found, f"{model['name']}: every figure"))),
        Section("samples", "Best and worst", _render_samples(model, samples)),
        Section(
            "care", "To be read with care", notes_html(found.warnings), len(merge_missing(found.warnings))
        ),
        Section("missing", "What is missing", notes_html(found.gaps), len(merge_missing(found.gaps))),
        Section("made", "How this was made", _render_provenance(found, command)),
    ]
    return sections_page(f"{model['name']} measured", facts, sections)


def _render_images(model: Mapping[str, Any], samples: ModelSamples) -> Iterator[Markup]:
    yield note_html(GRID_EXPLAINED, "faint")
    yield Markup('<div class="grids">\n')
    detail = f"{model['source']}, {describe_enlargement(model['size'], GRID_CELL)}"
    yield from grid_html(model["name"], model["size"], detail, samples.grid)
    yield Markup("</div>\n")


def _render_samples(model: Mapping[str, Any], samples: ModelSamples) -> Iterator[Markup]:
    yield note_html(RANKED_EXPLAINED, "faint")
    yield from ranking_html(model["name"], model["size"], samples.ranking)


def _render_provenance(evaluation: ImageEvaluation, command: str) -> Iterator[Markup]:
    yield from provenance_html(image_settings(evaluation), [command])
    yield note_html(MEASURES)
