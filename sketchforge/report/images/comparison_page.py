"""The distances of image sets from a reference as a web page: images, distances, warnings, gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from sketchforge.metrics.estimates import merge_missing
from sketchforge.metrics.images.compare import set_names, shards_for
from sketchforge.metrics.images.generate import generate_images, is_model, mismatched_pairs
from sketchforge.metrics.images.inputs import SampleReader, name_of, open_image_set
from sketchforge.metrics.images.result import ImageEvaluation
from sketchforge.options import EvalCompareOptions
from sketchforge.report.components import (
    Section,
    images_table,
    note_html,
    notes_html,
    provenance_html,
    sections_page,
    tables_html,
)
from sketchforge.report.html import ImageRow, PageImage, reduce, write_page
from sketchforge.report.images.tables import describe_reference_set, distance_tables, image_settings
from sketchforge.report.provenance import MEASURES, compare_command_line
from sketchforge.synthesis.synthesizer import load_model
from sketchforge.utils.device import choose_device
from sketchforge.utils.text import count_noun

BESIDE = (
    "The reference's images at the left. Those of each set are spread evenly over it; a model's are of "
    "sketches in the styles of other images."
)
HOW_TO_READ = (
    "Dots are the figures, bars the 95 % intervals, by the bootstrap over images, or over the sketches that a "
    "model drew out; the reference stays as it is. A column has one scale, with 0 on it. Lower is better."
)


def write_comparison_page(path: Path, found: ImageEvaluation, options: EvalCompareOptions) -> None:
    """Read some images of each set and write the page, whole or not at all.

    Raises SketchforgeError on damaged data or a full disk.
    """
    write_page(path, comparison_page(found, comparison_rows(options), compare_command_line(options)))


def comparison_page(found: ImageEvaluation, images: Sequence[ImageRow], command: str) -> Iterator[Markup]:
    """Yield the page in pieces; equal evaluations and images give equal bytes."""
    sets = len(found.options["sets"])
    facts = [f"{count_noun(sets, 'set')} of images", f"seed {found.options['seed']}"]
    sections = [
        Section("distances", "Distances", _render_distances(found)),
        Section("images", "Some of the images", _render_images(images)),
        Section(
            "care", "To be read with care", notes_html(found.warnings), len(merge_missing(found.warnings))
        ),
        Section("missing", "What is missing", notes_html(found.gaps), len(merge_missing(found.gaps))),
        Section("made", "How this was made", _render_provenance(found, command)),
    ]
    return sections_page(f"Distances from {describe_reference_set(found)}", facts, sections)


def _render_distances(evaluation: ImageEvaluation) -> Iterator[Markup]:
    tables = distance_tables(evaluation)
    if tables:
        yield from tables_html(tables)
        yield note_html(HOW_TO_READ)


def _render_images(rows: Sequence[ImageRow]) -> Iterator[Markup]:
    yield note_html(BESIDE, "faint")
    yield from images_table(rows, "Some of the images", even=True)


def _render_provenance(evaluation: ImageEvaluation, command: str) -> Iterator[Markup]:
    yield from provenance_html(image_settings(evaluation), [command])
    yield note_html(MEASURES)


# Some images of the reference and of every set that was compared, beside each other.

SHOWN = 6  # images of each


def comparison_rows(options: EvalCompareOptions) -> list[ImageRow]:
    """SHOWN rows: the reference's images, then those of each set.

    The images of a set are spread evenly over the files found, so that a set of changed copies of the
    reference shows the same image as the reference in every row. Of a model they are the first that were
    measured. Raises the errors of `compare_images`.
    """
    columns = [
        _read_source_column(f"{name_of(options.reference)} (reference)", options.reference, options.split)
    ]
    for source, name in zip(options.sets, set_names(options.sets), strict=True):
        generated = is_model(source)
        columns.append(
            _generate_model_column(options, source, name)
            if generated
            else _read_source_column(name, source, options.split)
        )
    length = max(map(len, columns))
    padded = [
        [*column, *[PageImage(column[0].heading, "", None)] * (length - len(column))] for column in columns
    ]
    return list(zip(*padded, strict=True))


def _read_source_column(heading: str, source: str, split: str | None) -> list[PageImage]:
    images = open_image_set(source, SHOWN, split).images()
    return [
        PageImage(heading, f"{heading}: {key}", None if pixels is None else reduce(pixels))
        for key, pixels in images
    ]


def _generate_model_column(options: EvalCompareOptions, source: str, name: str) -> list[PageImage]:
    model, shards = load_model(source, str(choose_device(options.device))), shards_for(options, source)
    pairs = mismatched_pairs(shards.num_samples, SHOWN, len(shards.styles), options.seed)
    reader = SampleReader(shards)
    try:
        images = [image for batch in generate_images(model, reader, pairs, name) for image in batch.images]
        keys = [(reader.read(pair.content, []).key, reader.read(pair.style, []).key) for pair in pairs]
    finally:
        reader.close()
    heading = f"{name} ({model.size} pixels)"
    return [
        PageImage(heading, f"{name}: the sketch of {content} in the style of {style}", reduce(pixels))
        for (content, style), pixels in zip(keys, images, strict=True)
    ]
