"""The measurement of a model's pictures as a web page: pictures, figures beside chance, warnings, gaps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sketchforge.metrics.estimates import merged
from sketchforge.metrics.images.result import ImageEvaluation
from sketchforge.options import EvalImagesOptions
from sketchforge.report.components import (
    Section,
    made_html,
    note_html,
    remarks_html,
    sections_page,
    table_html,
)
from sketchforge.report.html import write_page
from sketchforge.report.images.samples import (
    GRID_EXPLAINED,
    RANKED_EXPLAINED,
    ModelSamples,
    grid_html,
    model_samples,
    ranked_html,
)
from sketchforge.report.images.tables import image_settings, model_figures, reference_told
from sketchforge.report.provenance import MEASURES, images_command


def write_model_page(path: Path, found: ImageEvaluation, options: EvalImagesOptions) -> None:
    """Draw some pictures by the model that was measured and write the page, whole or not at all.

    Raises SketchforgeError on damaged shards or a full disk.
    """
    samples = model_samples(options, found.models[0]["name"])
    write_page(path, model_page(found, samples, images_command(options)))


def model_page(found: ImageEvaluation, samples: ModelSamples, command: str) -> Iterator[str]:
    """The page in pieces; equal evaluations and pictures give equal bytes."""
    (model,) = found.models
    shards, seed = found.options["shards"], found.options["seed"]
    facts = [
        f"{model['size']} pixels",
        f"sketches and styles of {shards}",
        f"against {reference_told(found)}",
        f"seed {seed}",
    ]
    sections = [
        Section("pictures", "What it makes", _pictures(model["name"], str(model["source"]), samples)),
        Section("figures", "Figures", table_html(model_figures(found, f"{model['name']}: every figure"))),
        Section("samples", "Best and worst", _samples(model["name"], samples)),
        Section("care", "To be read with care", remarks_html(found.warnings), len(merged(found.warnings))),
        Section("missing", "What is missing", remarks_html(found.gaps), len(merged(found.gaps))),
        Section("made", "How this was made", _made(found, command)),
    ]
    return sections_page(f"{model['name']} measured", facts, sections)


def _pictures(name: str, source: str, samples: ModelSamples) -> Iterator[str]:
    yield f'<p class="faint">{GRID_EXPLAINED}</p>\n<div class="grids">\n'
    yield from grid_html(name, source, samples.grid)
    yield "</div>\n"


def _samples(name: str, samples: ModelSamples) -> Iterator[str]:
    yield f'<p class="faint">{RANKED_EXPLAINED}</p>\n'
    yield from ranked_html(name, samples.ranking)


def _made(found: ImageEvaluation, command: str) -> Iterator[str]:
    yield from made_html(image_settings(found), [command])
    yield note_html(MEASURES)
