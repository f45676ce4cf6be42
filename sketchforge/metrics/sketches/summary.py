"""Builds the rows of an evaluation (styles, shard folders, human drawings, annotators) and its gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from sketchforge.checkpoints.origins import training_data_of
from sketchforge.errors import SketchforgeError
from sketchforge.metrics.estimates import LEVEL, Estimate, MissingMetric, estimate_all
from sketchforge.metrics.sketches.boundaries import BoundaryCounts, summarize_boundaries
from sketchforge.metrics.sketches.inputs import DrawingSet, SketchInput, distinct_names, style_names
from sketchforge.metrics.sketches.measure_sets import Measured, MeasuredFolder
from sketchforge.metrics.sketches.result import (
    AUC_RUNS,
    CONTENT,
    HALVINGS,
    PAIRS,
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
from sketchforge.utils.text import count_noun


def summarize(
    options: EvalSketchesOptions,
    shards: Sequence[SketchInput],
    folders: Sequence[MeasuredFolder],
    drawings: Sequence[DrawingSet],
    references: Sequence[Measured],
) -> tuple[list[Row], list[MissingMetric]]:
    """Build all rows and gaps; `folders` and `references` hold the measurements of `shards` and `drawings`.

    Raises SketchforgeError where none of a folder's drawings could be read.
    """
    gaps: list[MissingMetric] = []
    _record_missing(options, shards, gaps)
    reference = references[0] if references else None
    rows = [
        *_build_style_rows(options, shards, folders, reference, gaps),
        *_build_folder_rows(options, shards, folders, gaps),
        *_build_reference_rows(options, drawings, references, gaps),
        *_build_pairs_rows(options, references, gaps),
        *_build_people_rows(options, folders, gaps),
    ]
    return rows, list(dict.fromkeys(gaps))


def _record_missing(
    options: EvalSketchesOptions, shards: Sequence[SketchInput], gaps: list[MissingMetric]
) -> None:
    if options.boundaries is None:
        gaps.append(MissingMetric("", CONTENT, "no --boundaries"))
    if not options.references:
        gaps.append(MissingMetric("", REALISM, "no --references"))
        gaps.append(MissingMetric("", STROKES, "no --references to compare the distributions with"))
    if any(sketch_input.frame != shards[0].frame for sketch_input in shards) and options.boundaries:
        gaps.append(MissingMetric(PEOPLE, CONTENT, f"measured at the size and fit of {shards[0].path} only"))
    if len(shards) > 1:
        _record_uncommon(shards, gaps)


def _record_uncommon(shards: Sequence[SketchInput], gaps: list[MissingMetric]) -> None:
    common = set.intersection(*(set(sketch_input.shards.keys) for sketch_input in shards))
    for sketch_input, name in zip(
        shards, distinct_names([sketch_input.path for sketch_input in shards]), strict=True
    ):
        if not common:
            gaps.append(
                MissingMetric(
                    name, "samples", "the folders have no keys in common: other images than elsewhere"
                )
            )
        elif len(common) < len(sketch_input.shards.keys):
            num_left_out = len(sketch_input.shards.keys) - len(common)
            gaps.append(
                MissingMetric(
                    name,
                    "samples",
                    f"not in all folders, left out: {num_left_out} of {len(sketch_input.shards.keys)}",
                )
            )


def _build_style_rows(
    options: EvalSketchesOptions,
    shards: Sequence[SketchInput],
    folders: Sequence[MeasuredFolder],
    reference: Measured | None,
    gaps: list[MissingMetric],
) -> Iterator[Row]:
    for sketch_input, folder, names in zip(shards, folders, style_names(shards), strict=True):
        num_images = len(sketch_input.chosen)
        for measured, name in zip(folder.styles, names, strict=True):
            figures, threshold = _estimate_content(measured.counts, options.seed)
            num_missing = num_images - len(measured.counts)
            if options.boundaries and num_missing:
                gaps.append(
                    MissingMetric(name, CONTENT, f"no annotation for this key: {num_missing} of {num_images}")
                )
            if options.boundaries and sketch_input.is_broad and not sketch_input.is_suppressed:
                gaps.append(
                    MissingMetric(
                        name, CONTENT, "scored as drawn: ridges take all greys, render with --grey-levels 256"
                    )
                )
            figures |= compare_with_references(measured, reference, name, options.seed, gaps)
            values = stroke_values(measured.strokes)
            yield Row(
                kind="style",
                name=name,
                source=str(sketch_input.path),
                images=num_images,
                figures=figures,
                threshold=threshold,
                values=values,
                trained_on=training_data_of(sketch_input.shards.method),
            )


def _build_folder_rows(
    options: EvalSketchesOptions,
    shards: Sequence[SketchInput],
    folders: Sequence[MeasuredFolder],
    gaps: list[MissingMetric],
) -> Iterator[Row]:
    names = distinct_names([sketch_input.path for sketch_input in shards])
    for sketch_input, folder, name in zip(shards, folders, names, strict=True):
        if len(sketch_input.styles) > 1:
            variety = _estimate_variety(folder.styles, options.seed)
            figures = {VARIETY: variety | _estimate_shared(folder.shared, options.seed)}
            yield Row(
                kind="folder",
                name=name,
                source=str(sketch_input.path),
                images=len(sketch_input.chosen),
                figures=figures,
            )
        else:
            gaps.append(MissingMetric(name, VARIETY, "one style only"))


def _build_reference_rows(
    options: EvalSketchesOptions,
    drawings: Sequence[DrawingSet],
    references: Sequence[Measured],
    gaps: list[MissingMetric],
) -> Iterator[Row]:
    """The first set is split in halves for the human baseline, the others are compared with it."""
    names = [f"{name} (drawings)" for name in distinct_names([drawing_set.path for drawing_set in drawings])]
    for index, (drawing_set, measured, name) in enumerate(zip(drawings, references, names, strict=True)):
        num_drawings = len(drawing_set.drawings)
        num_unreadable = num_drawings - len(measured.photos)
        if num_unreadable:
            gaps.append(
                MissingMetric(name, "drawings", f"cannot be read: {num_unreadable} of {num_drawings}")
            )
        if not measured.photos:
            raise SketchforgeError(
                f"--references {drawing_set.path}: none of its {count_noun(num_drawings, 'image')} can be "
                "read"
            )
        if index:
            figures = compare_with_references(measured, references[0], name, options.seed, gaps)
        else:
            figures = human_baseline(measured, name, options.seed, gaps)
        yield Row(
            kind="reference",
            name=name,
            source=str(drawing_set.path),
            images=num_drawings,
            figures=figures,
            values=stroke_values(measured.strokes),
        )


def _build_pairs_rows(
    options: EvalSketchesOptions, references: Sequence[Measured], gaps: list[MissingMetric]
) -> Iterator[Row]:
    """Two people's drawings of one photo, in all references together."""
    from sketchforge.metrics.sketches.shared_lines import shared_lines

    if not options.references:
        return
    lines = defaultdict[str, list[np.ndarray]](list)
    for measured in references:
        for photo, drawings in measured.lines.items():
            lines[photo] += drawings
    shares = [share for photo in sorted(lines) if (share := shared_lines(lines[photo])) is not None]
    if shares:
        yield Row(
            kind="pairs",
            name=PAIRS,
            source=", ".join(map(str, options.references)),
            images=len(shares),
            figures={VARIETY: _estimate_shared(shares, options.seed)},
        )
    else:
        gaps.append(MissingMetric(PAIRS, VARIETY, "no two drawings of one photo among the references"))


def _build_people_rows(
    options: EvalSketchesOptions, folders: Sequence[MeasuredFolder], gaps: list[MissingMetric]
) -> Iterator[Row]:
    """The annotators against each other, in the frame of the first folder."""
    if not options.boundaries:
        return
    people, num_lone = folders[0].people, folders[0].lone
    if num_lone:
        gaps.append(MissingMetric(PEOPLE, CONTENT, f"only one annotator: {count_noun(num_lone, 'image')}"))
    if people:
        figures, threshold = _estimate_content(people, options.seed)
        yield Row(
            kind="people",
            name=PEOPLE,
            source=str(options.boundaries),
            images=len(people),
            figures=figures,
            threshold=threshold,
        )


def _estimate_content(
    counts: Sequence[BoundaryCounts], seed: int
) -> tuple[dict[str, dict[str, Estimate]], float | None]:
    """Precision, recall and F, and the threshold at which they were measured."""
    if not counts:
        return {}, None

    def scores(indices: np.ndarray) -> dict[str, float]:
        score = summarize_boundaries([counts[index] for index in indices])
        return {part: getattr(score, part) for part in ("f_ods", "f_ois", "precision", "recall")}

    return {CONTENT: estimate_all(len(counts), scores, seed)}, summarize_boundaries(counts).threshold


def _estimate_variety(styles: Sequence[Measured], seed: int) -> dict[str, Estimate]:
    """The Vendi score of each image's sketches, mean over images."""
    from sketchforge.metrics.sketches.variety import style_distances, vendi_score

    images = zip(*(style.styles for style in styles), strict=True)
    scores = np.array([vendi_score(style_distances(np.stack(vectors))) for vectors in images])
    return estimate_all(len(scores), lambda indices: {"vendi": float(scores[indices].mean())}, seed)


def _estimate_shared(shares: Sequence[float], seed: int) -> dict[str, Estimate]:
    """The share of line pixels that two drawings of one photo have in common, mean over photos."""
    if not shares:
        return {}
    values = np.array(shares)
    return estimate_all(len(values), lambda indices: {"shared": float(values[indices].mean())}, seed)


# Sets of sketches against the references: realism and strokes, and the human baseline, people against people.


def compare_with_references(
    measured: Measured, reference: Measured | None, name: str, seed: int, gaps: list[MissingMetric]
) -> dict[str, dict[str, Estimate]]:
    """Estimates of strokes; with a reference also realism and the distances of the strokes."""
    figures = _compare(measured, reference, name, seed, gaps) if reference else {}
    return figures | {STROKES: estimate_strokes(measured, name, seed, gaps) | figures.get(STROKES, {})}


def human_baseline(
    measured: Measured, name: str, seed: int, gaps: list[MissingMetric]
) -> dict[str, dict[str, Estimate]]:
    """People against people: one half of the photos against the other. The strokes are those of all drawings.

    A single halving is too noisy: with a hundred drawings its AUC may be 0.4 or 0.6. So there are HALVINGS;
    the figure is their mean, its interval their middle LEVEL. The variation between runs of the two-sample
    test is small beside that between halvings, so each halving has one run.
    """
    result = {STROKES: estimate_strokes(measured, name, seed, gaps)}
    num_photos = len(set(measured.photos))
    if num_photos < 2:
        gaps.append(MissingMetric(name, REALISM, "no floor: all drawings are of one photo"))
        return result
    halving_values = defaultdict(list)
    for turn in range(HALVINGS):
        first, second = (measured.part(indices) for indices in split_halves(measured.photos, seed, turn))
        for block, figures in _compare(first, second, name, seed, gaps, resampled=False, auc_runs=1).items():
            for part, estimate in figures.items():
                halving_values[block, part].append(estimate.value)
    for (block, part), values in halving_values.items():
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        result.setdefault(block, {})[part] = Estimate(
            float(np.mean(values)), float(low), float(high), num_photos
        )
    return result


def split_halves(photos: Sequence[str], seed: int, turn: int) -> tuple[list[int], list[int]]:
    """The indices of two halves of the photos, chosen by `seed` and `turn`.

    The second half may have one photo more. Drawings of one photo stay together.
    """
    names = sorted(set(photos))
    order = numpy_generator(seed, "halves of the references", turn).permutation(len(names))
    first_photos = {names[position] for position in order[: len(names) // 2]}
    first_half = [index for index, photo in enumerate(photos) if photo in first_photos]
    return first_half, [index for index, photo in enumerate(photos) if photo not in first_photos]


def _compare(
    measured: Measured,
    reference: Measured,
    name: str,
    seed: int,
    gaps: list[MissingMetric],
    resampled: bool = True,
    auc_runs: int = AUC_RUNS,
) -> dict[str, dict[str, Estimate]]:
    """Realism and the distances of the strokes; intervals where `resampled`."""
    arguments = (measured, reference, name, seed, gaps, resampled)
    blocks = {
        REALISM: estimate_auc(*arguments, auc_runs) | estimate_kid(*arguments),
        STROKES: stroke_distances(*arguments),
    }
    return {block: figures for block, figures in blocks.items() if figures}
