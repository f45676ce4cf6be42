"""The rows of an evaluation: styles, shard folders, human drawings, annotators; and what is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from sketchforge.errors import SketchforgeError
from sketchforge.metrics.estimates import LEVEL, Estimate, MissingMetric, estimate_all
from sketchforge.metrics.sketches.boundaries import BoundaryCounts, summarize_boundaries
from sketchforge.metrics.sketches.inputs import DrawingSet, SketchInput, distinct_names, style_names
from sketchforge.metrics.sketches.measure_sets import Measured, MeasuredFolder
from sketchforge.metrics.sketches.result import (
    AUC_RUNS,
    CONTENT,
    HALVINGS,
    PEOPLE,
    REALISM,
    STROKES,
    VARIETY,
    Row,
)
from sketchforge.metrics.sketches.statistics import (
    estimate_auc,
    estimate_kid,
    estimate_strokes,
    stroke_distances,
    stroke_values,
)
from sketchforge.options import EvalSketchesOptions
from sketchforge.utils.seeding import numpy_generator


def summarize(
    options: EvalSketchesOptions,
    shards: Sequence[SketchInput],
    folders: Sequence[MeasuredFolder],
    drawings: Sequence[DrawingSet],
    references: Sequence[Measured],
) -> tuple[list[Row], list[MissingMetric]]:
    """All rows and gaps; `folders` and `references` hold what was measured of `shards` and `drawings`.

    Raises SketchforgeError where none of a folder's drawings could be read.
    """
    gaps: list[MissingMetric] = []
    _tell_missing(options, shards, gaps)
    reference = references[0] if references else None
    rows = [
        *_style_rows(options, shards, folders, reference, gaps),
        *_folder_rows(options, shards, folders, gaps),
        *_reference_rows(options, drawings, references, gaps),
        *_people_rows(options, folders, gaps),
    ]
    return rows, list(dict.fromkeys(gaps))


def _tell_missing(
    options: EvalSketchesOptions, shards: Sequence[SketchInput], gaps: list[MissingMetric]
) -> None:
    if options.boundaries is None:
        gaps.append(MissingMetric("", CONTENT, "no --boundaries"))
    if not options.references:
        gaps.append(MissingMetric("", REALISM, "no --references"))
        gaps.append(MissingMetric("", STROKES, "no --references to compare the distributions with"))
    if any(one.frame != shards[0].frame for one in shards) and options.boundaries:
        gaps.append(MissingMetric(PEOPLE, CONTENT, f"measured at the size and fit of {shards[0].path} only"))
    if len(shards) > 1:
        _tell_uncommon(shards, gaps)


def _tell_uncommon(shards: Sequence[SketchInput], gaps: list[MissingMetric]) -> None:
    common = set.intersection(*(set(one.shards.keys) for one in shards))
    for one, name in zip(shards, distinct_names([one.path for one in shards]), strict=True):
        if not common:
            gaps.append(
                MissingMetric(
                    name, "samples", "the folders have no keys in common: other images than elsewhere"
                )
            )
        elif len(common) < len(one.shards.keys):
            left_out = len(one.shards.keys) - len(common)
            gaps.append(
                MissingMetric(
                    name, "samples", f"not in all folders, left out: {left_out} of {len(one.shards.keys)}"
                )
            )


def _style_rows(
    options: EvalSketchesOptions,
    shards: Sequence[SketchInput],
    folders: Sequence[MeasuredFolder],
    reference: Measured | None,
    gaps: list[MissingMetric],
) -> Iterator[Row]:
    for one, folder, names in zip(shards, folders, style_names(shards), strict=True):
        images = len(one.chosen)
        for measured, name in zip(folder.styles, names, strict=True):
            figures, threshold = _content(measured.counts, options.seed)
            missing = images - len(measured.counts)
            if options.boundaries and missing:
                gaps.append(
                    MissingMetric(name, CONTENT, f"no annotation for this key: {missing} of {images}")
                )
            figures |= compare_with_references(measured, reference, name, options.seed, gaps)
            values = stroke_values(measured.strokes)
            yield Row("style", name, str(one.path), images, figures, threshold, values)


def _folder_rows(
    options: EvalSketchesOptions,
    shards: Sequence[SketchInput],
    folders: Sequence[MeasuredFolder],
    gaps: list[MissingMetric],
) -> Iterator[Row]:
    names = distinct_names([one.path for one in shards])
    for one, folder, name in zip(shards, folders, names, strict=True):
        if len(one.styles) > 1:
            figures = {VARIETY: _variety(folder.styles, options.seed)}
            yield Row("folder", name, str(one.path), len(one.chosen), figures)
        else:
            gaps.append(MissingMetric(name, VARIETY, "one style only"))


def _reference_rows(
    options: EvalSketchesOptions,
    drawings: Sequence[DrawingSet],
    references: Sequence[Measured],
    gaps: list[MissingMetric],
) -> Iterator[Row]:
    """The first set is its own floor, the others are compared with it."""
    names = [f"{name} (drawings)" for name in distinct_names([one.path for one in drawings])]
    for index, (one, measured, name) in enumerate(zip(drawings, references, names, strict=True)):
        looked_at = len(one.drawings)
        unreadable = looked_at - len(measured.photos)
        if unreadable:
            gaps.append(MissingMetric(name, "drawings", f"cannot be read: {unreadable} of {looked_at}"))
        if not measured.photos:
            raise SketchforgeError(f"--references {one.path}: none of its {looked_at} images can be read")
        if index:
            figures = compare_with_references(measured, references[0], name, options.seed, gaps)
        else:
            figures = human_baseline(measured, name, options.seed, gaps)
        yield Row(
            "reference", name, str(one.path), looked_at, figures, values=stroke_values(measured.strokes)
        )


def _people_rows(
    options: EvalSketchesOptions, folders: Sequence[MeasuredFolder], gaps: list[MissingMetric]
) -> Iterator[Row]:
    """The annotators against each other, in the frame of the first folder."""
    if not options.boundaries:
        return
    people, lone = folders[0].people, folders[0].lone
    if lone:
        gaps.append(MissingMetric(PEOPLE, CONTENT, f"only one annotator: {lone} images"))
    if people:
        figures, threshold = _content(people, options.seed)
        yield Row("people", PEOPLE, str(options.boundaries), len(people), figures, threshold)


def _content(
    counts: Sequence[BoundaryCounts], seed: int
) -> tuple[dict[str, dict[str, Estimate]], float | None]:
    """Precision, recall and F, and the threshold they were taken at."""
    if not counts:
        return {}, None

    def scores(drawn: np.ndarray) -> dict[str, float]:
        score = summarize_boundaries([counts[index] for index in drawn])
        return {part: getattr(score, part) for part in ("f_ods", "f_ois", "precision", "recall")}

    return {CONTENT: estimate_all(len(counts), scores, seed)}, summarize_boundaries(counts).threshold


def _variety(styles: Sequence[Measured], seed: int) -> dict[str, Estimate]:
    """The Vendi score of each image's sketches, mean over images."""
    from sketchforge.metrics.sketches.variety import style_distances, vendi_score

    each = zip(*(style.styles for style in styles), strict=True)
    scores = np.array([vendi_score(style_distances(np.stack(styles))) for styles in each])
    return estimate_all(len(scores), lambda drawn: {"vendi": float(scores[drawn].mean())}, seed)


# Sets of sketches against the references: realism and strokes, and the floor, people against people.


def compare_with_references(
    measured: Measured, reference: Measured | None, name: str, seed: int, gaps: list[MissingMetric]
) -> dict[str, dict[str, Estimate]]:
    """Strokes, and where there is a reference realism and the distances of the strokes."""
    figures = _compared(measured, reference, name, seed, gaps) if reference else {}
    return figures | {STROKES: estimate_strokes(measured, name, seed, gaps) | figures.get(STROKES, {})}


def human_baseline(
    measured: Measured, name: str, seed: int, gaps: list[MissingMetric]
) -> dict[str, dict[str, Estimate]]:
    """People against people: one half of the photos against the other. The strokes are those of all drawings.

    A single halving says little: with a hundred drawings its AUC may be 0.4 or 0.6. So HALVINGS are made, and
    a figure is their mean, its interval their middle LEVEL. Beside that, the luck of a single run of the
    two-sample test counts for little, so each halving has one.
    """
    result = {STROKES: estimate_strokes(measured, name, seed, gaps)}
    photos = len(set(measured.photos))
    if photos < 2:
        gaps.append(MissingMetric(name, REALISM, "no floor: all drawings are of one photo"))
        return result
    found = defaultdict(list)
    for turn in range(HALVINGS):
        first, second = (measured.part(indices) for indices in split_halves(measured.photos, seed, turn))
        for block, figures in _compared(first, second, name, seed, gaps, resampled=False, auc_runs=1).items():
            for part, figure in figures.items():
                found[block, part].append(figure.value)
    for (block, part), values in found.items():
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        result.setdefault(block, {})[part] = Estimate(float(np.mean(values)), float(low), float(high), photos)
    return result


def split_halves(photos: Sequence[str], seed: int, turn: int) -> tuple[list[int], list[int]]:
    """The indices of two parts with equally many photos (the second may have one more), chosen by seed and
    turn.

    Drawings of one photo stay together.
    """
    names = sorted(set(photos))
    order = numpy_generator(seed, "halves of the references", turn).permutation(len(names))
    first = {names[place] for place in order[: len(names) // 2]}
    inside = [index for index, photo in enumerate(photos) if photo in first]
    return inside, [index for index, photo in enumerate(photos) if photo not in first]


def _compared(
    measured: Measured,
    reference: Measured,
    name: str,
    seed: int,
    gaps: list[MissingMetric],
    resampled: bool = True,
    auc_runs: int = AUC_RUNS,
) -> dict[str, dict[str, Estimate]]:
    """Realism and the distances of the strokes; intervals where `resampled`."""
    with_whom = (measured, reference, name, seed, gaps, resampled)
    blocks = {
        REALISM: estimate_auc(*with_whom, auc_runs) | estimate_kid(*with_whom),
        STROKES: stroke_distances(*with_whom),
    }
    return {block: figures for block, figures in blocks.items() if figures}
