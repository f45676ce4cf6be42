"""The rows of an evaluation: styles, shard folders, human drawings, annotators; and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sketchforge.errors import SketchforgeError
from sketchforge.metrics.boundaries import BoundaryCounts, summarise
from sketchforge.metrics.comparison import against, floor
from sketchforge.metrics.evaluation import CONTENT, PEOPLE, REALISM, STROKES, VARIETY, Figure, Gap, Row
from sketchforge.metrics.figures import figures_of
from sketchforge.metrics.measuring import Measured, MeasuredFolder
from sketchforge.metrics.sketch_sets import DrawingSet, ShardSet, distinct_names, style_names
from sketchforge.metrics.stroke_figures import stroke_values
from sketchforge.options import EvalSketchesOptions


def summarised(
    options: EvalSketchesOptions,
    shards: Sequence[ShardSet],
    folders: Sequence[MeasuredFolder],
    drawings: Sequence[DrawingSet],
    references: Sequence[Measured],
) -> tuple[list[Row], list[Gap]]:
    """All rows and gaps; `folders` and `references` hold what was measured of `shards` and `drawings`.

    Raises SketchforgeError where none of a folder's drawings could be read.
    """
    gaps: list[Gap] = []
    _tell_missing(options, shards, gaps)
    reference = references[0] if references else None
    rows = [
        *_style_rows(options, shards, folders, reference, gaps),
        *_folder_rows(options, shards, folders, gaps),
        *_reference_rows(options, drawings, references, gaps),
        *_people_rows(options, folders, gaps),
    ]
    return rows, list(dict.fromkeys(gaps))


def _tell_missing(options: EvalSketchesOptions, shards: Sequence[ShardSet], gaps: list[Gap]) -> None:
    if options.boundaries is None:
        gaps.append(Gap("", CONTENT, "no --boundaries"))
    if not options.references:
        gaps.append(Gap("", REALISM, "no --references"))
        gaps.append(Gap("", STROKES, "no --references to compare the distributions with"))
    if any(one.frame != shards[0].frame for one in shards) and options.boundaries:
        gaps.append(Gap(PEOPLE, CONTENT, f"measured at the size and fit of {shards[0].path} only"))
    if len(shards) > 1:
        _tell_uncommon(shards, gaps)


def _tell_uncommon(shards: Sequence[ShardSet], gaps: list[Gap]) -> None:
    common = set.intersection(*(set(one.keys) for one in shards))
    for one, name in zip(shards, distinct_names([one.path for one in shards]), strict=True):
        if not common:
            gaps.append(
                Gap(name, "samples", "the folders have no keys in common: other images than elsewhere")
            )
        elif len(common) < len(one.keys):
            left_out = len(one.keys) - len(common)
            gaps.append(Gap(name, "samples", f"not in all folders, left out: {left_out} of {len(one.keys)}"))


def _style_rows(
    options: EvalSketchesOptions,
    shards: Sequence[ShardSet],
    folders: Sequence[MeasuredFolder],
    reference: Measured | None,
    gaps: list[Gap],
) -> Iterator[Row]:
    for one, folder, names in zip(shards, folders, style_names(shards), strict=True):
        images = len(one.chosen)
        for measured, name in zip(folder.styles, names, strict=True):
            figures, threshold = _content(measured.counts, options.seed)
            missing = images - len(measured.counts)
            if options.boundaries and missing:
                gaps.append(Gap(name, CONTENT, f"no annotation for this key: {missing} of {images}"))
            figures |= against(measured, reference, name, options.seed, gaps)
            values = stroke_values(measured.strokes)
            yield Row("style", name, str(one.path), images, figures, threshold, values)


def _folder_rows(
    options: EvalSketchesOptions,
    shards: Sequence[ShardSet],
    folders: Sequence[MeasuredFolder],
    gaps: list[Gap],
) -> Iterator[Row]:
    names = distinct_names([one.path for one in shards])
    for one, folder, name in zip(shards, folders, names, strict=True):
        if len(one.styles) > 1:
            figures = {VARIETY: _variety(folder.styles, options.seed)}
            yield Row("folder", name, str(one.path), len(one.chosen), figures)
        else:
            gaps.append(Gap(name, VARIETY, "one style only"))


def _reference_rows(
    options: EvalSketchesOptions,
    drawings: Sequence[DrawingSet],
    references: Sequence[Measured],
    gaps: list[Gap],
) -> Iterator[Row]:
    """The first set is its own floor, the others are compared with it."""
    names = [f"{name} (drawings)" for name in distinct_names([one.path for one in drawings])]
    for index, (one, measured, name) in enumerate(zip(drawings, references, names, strict=True)):
        looked_at = len(one.drawings)
        unreadable = looked_at - len(measured.photos)
        if unreadable:
            gaps.append(Gap(name, "drawings", f"cannot be read: {unreadable} of {looked_at}"))
        if not measured.photos:
            raise SketchforgeError(f"--references {one.path}: none of its {looked_at} pictures can be read")
        if index:
            figures = against(measured, references[0], name, options.seed, gaps)
        else:
            figures = floor(measured, name, options.seed, gaps)
        yield Row(
            "reference", name, str(one.path), looked_at, figures, values=stroke_values(measured.strokes)
        )


def _people_rows(
    options: EvalSketchesOptions, folders: Sequence[MeasuredFolder], gaps: list[Gap]
) -> Iterator[Row]:
    """The annotators against each other, in the frame of the first folder."""
    if not options.boundaries:
        return
    people, lone = folders[0].people, folders[0].lone
    if lone:
        gaps.append(Gap(PEOPLE, CONTENT, f"only one annotator: {lone} images"))
    if people:
        figures, threshold = _content(people, options.seed)
        yield Row("people", PEOPLE, str(options.boundaries), len(people), figures, threshold)


def _content(
    counts: Sequence[BoundaryCounts], seed: int
) -> tuple[dict[str, dict[str, Figure]], float | None]:
    """Precision, recall and F, and the threshold they were taken at."""
    if not counts:
        return {}, None

    def scores(drawn: np.ndarray) -> dict[str, float]:
        score = summarise([counts[index] for index in drawn])
        return {part: getattr(score, part) for part in ("f_ods", "f_ois", "precision", "recall")}

    return {CONTENT: figures_of(len(counts), scores, seed)}, summarise(counts).threshold


def _variety(styles: Sequence[Measured], seed: int) -> dict[str, Figure]:
    """The Vendi score of each image's sketches, mean over images."""
    from sketchforge.metrics.variety import style_distances, vendi_score

    each = zip(*(style.manners for style in styles), strict=True)
    scores = np.array([vendi_score(style_distances(np.stack(manners))) for manners in each])
    return figures_of(len(scores), lambda drawn: {"vendi": float(scores[drawn].mean())}, seed)
