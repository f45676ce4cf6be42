"""Distances of sets of pictures from a reference as a web page: pictures, distances, warnings, gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sketchforge.metrics.estimates import merged
from sketchforge.metrics.images.compare import set_names, shards_for
from sketchforge.metrics.images.generate import is_model, made_of, mismatched_pairs
from sketchforge.metrics.images.inputs import SampleReader, name_of, open_image_set
from sketchforge.metrics.images.result import ImageEvaluation
from sketchforge.options import EvalCompareOptions
from sketchforge.report.components import (
    Section,
    made_html,
    note_html,
    pictures_table,
    remarks_html,
    sections_page,
    tables_html,
)
from sketchforge.report.html import Picture, PictureRow, reduced, write_page
from sketchforge.report.images.tables import distance_tables, image_settings, reference_told
from sketchforge.report.provenance import MEASURES, compare_command
from sketchforge.synthesis.synthesizer import load_model
from sketchforge.utils.device import choose_device

BESIDE = (
    "The reference's pictures at the left. Those of each set are spread evenly over it; a model's are of "
    "sketches in the styles of other images."
)
HOW_TO_READ = (
    "Dots are the figures, bars the 95 % intervals, by the bootstrap over pictures, or over the sketches that a "
    "model drew out; the reference stays as it is. A column has one scale, with 0 on it. Lower is better."
)


def write_comparison_page(path: Path, found: ImageEvaluation, options: EvalCompareOptions) -> None:
    """Read some pictures of each set and write the page, whole or not at all.

    Raises SketchforgeError on damaged data or a full disk.
    """
    write_page(path, comparison_page(found, compared_rows(options), compare_command(options)))


def comparison_page(found: ImageEvaluation, pictures: Sequence[PictureRow], command: str) -> Iterator[str]:
    """The page in pieces; equal evaluations and pictures give equal bytes."""
    sets = len(found.options["sets"])
    facts = [f"{sets} set{'' if sets == 1 else 's'} of pictures", f"seed {found.options['seed']}"]
    sections = [
        Section("distances", "Distances", _distances(found)),
        Section("pictures", "Some of the pictures", _pictures(pictures)),
        Section("care", "To be read with care", remarks_html(found.warnings), len(merged(found.warnings))),
        Section("missing", "What is missing", remarks_html(found.gaps), len(merged(found.gaps))),
        Section("made", "How this was made", _made(found, command)),
    ]
    return sections_page(f"Distances from {reference_told(found)}", facts, sections)


def _distances(found: ImageEvaluation) -> Iterator[str]:
    tables = distance_tables(found)
    if tables:
        yield from tables_html(tables)
        yield note_html(HOW_TO_READ)


def _pictures(rows: Sequence[PictureRow]) -> Iterator[str]:
    yield f'<p class="faint">{BESIDE}</p>\n'
    yield from pictures_table(rows, "Some of the pictures", even=True)


def _made(found: ImageEvaluation, command: str) -> Iterator[str]:
    yield from made_html(image_settings(found), [command])
    yield note_html(MEASURES)


# Some pictures of every set that was compared, and of the reference, to be looked at beside each other.

SHOWN = 6  # pictures of each


def compared_rows(options: EvalCompareOptions) -> list[PictureRow]:
    """SHOWN rows: the reference's pictures, then those of each set, spread evenly over what was found.

    Of a model the first of the pictures that were measured. Sets that hold changed copies of the reference
    show the same pictures in a row. Errors as `compare_images` has them.
    """
    columns = [_source_column(f"{name_of(options.reference)} (reference)", options.reference)]
    for source, name in zip(options.sets, set_names(options.sets), strict=True):
        made = is_model(source)
        columns.append(_model_column(options, source, name) if made else _source_column(name, source))
    length = max(map(len, columns))
    padded = [
        [*column, *[Picture(column[0].heading, "", None)] * (length - len(column))] for column in columns
    ]
    return list(zip(*padded, strict=True))


def _source_column(heading: str, source: str) -> list[Picture]:
    found = open_image_set(source, SHOWN).pictures()
    return [
        Picture(heading, f"{heading}: {key}", None if pixels is None else reduced(pixels))
        for key, pixels in found
    ]


def _model_column(options: EvalCompareOptions, source: str, name: str) -> list[Picture]:
    model, shards = load_model(source, str(choose_device(options.device))), shards_for(options, source)
    pairs = mismatched_pairs(shards.num_samples, SHOWN, len(shards.styles), options.seed)
    reader = SampleReader(shards)
    try:
        pictures = [one for made in made_of(model, reader, pairs, name) for one in made.pictures]
        keys = [(reader.read(pair.content, []).key, reader.read(pair.style, []).key) for pair in pairs]
    finally:
        reader.close()
    return [
        Picture(name, f"{name}: the sketch of {content} in the style of {style}", reduced(pixels))
        for (content, style), pixels in zip(keys, pictures, strict=True)
    ]
