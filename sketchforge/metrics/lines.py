"""The measurement of sketches: content, realism, variety and strokes of every style, beside those of people.

Each sketch is measured by itself (`one_sketch`), only small results are kept, and these are summarised. Every
figure comes with its percentile-bootstrap interval over images and the number of images that it rests on; the
set that others are compared with stays as it is. The floor is people against people. What could not be
measured is a gap, with the reason.
"""

from __future__ import annotations

import importlib.util
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sketchforge.device import usable_cores
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images import ImageError
from sketchforge.metrics.bootstrap import interval
from sketchforge.metrics.sketch_sets import (
    DrawingSet,
    ShardSet,
    distinct_names,
    find_annotations,
    find_drawings,
    find_shards,
    style_names,
)
from sketchforge.options import EvalSketchesOptions
from sketchforge.report.selection import whole_samples
from sketchforge.seeding import numpy_generator
from sketchforge.shards import schema
from sketchforge.shards.reader import read_errors
from sketchforge.workers import Task, WorkerLost, WorkerPool, worker_pool

if TYPE_CHECKING:
    from sketchforge.metrics.boundaries import BoundaryCounts
    from sketchforge.metrics.one_sketch import SketchMeasurement, SketchTask
    from sketchforge.metrics.realism import TwoSampleResult
    from sketchforge.metrics.strokes import Strokes
    from sketchforge.models.encoder import Encoder

FORMAT = "sketchforge-sketch-evaluation"
VERSION = 1
ENCODER = "builtin"
PEOPLE = "people (each against the others)"
RESAMPLINGS = 1000
HALVINGS = 20  # of the references, for the floor
LEVEL = 0.95
TIMEOUT = 1800.0  # seconds a process may take for one sketch; matching a large grey one takes minutes
AHEAD = 32  # sketches given to the processes before the first of them is waited for
WORTH_A_PROCESS = 50  # sketches; for fewer, starting one takes longer than measuring them

CONTENT, REALISM, VARIETY, STROKES = BLOCKS = ("content", "realism", "variety", "strokes")
# Of Strokes, those that are summarised; those whose distribution is compared with the references'.
SUMMARISED = ("ink", "width", "relative_width", "straightness", "fragments", "short_share")
COMPARED = ("ink", "relative_width", "straightness", "fragments", "short_share")


@dataclass(frozen=True)
class Figure:
    """A number, its interval (None for fewer than two images) and how many images it rests on.

    Of the first references, what compares is the mean over halvings, and the interval theirs. Of strokes,
    `value` is the median over sketches, `p10` and `p90` are the percentiles.
    """

    value: float
    low: float | None
    high: float | None
    images: int
    p10: float | None = None
    p90: float | None = None


@dataclass(frozen=True)
class Row:
    """One style, one shard folder (variety), one set of drawings, or the annotators."""

    kind: str  # style | folder | reference | people
    name: str
    source: str  # the folder
    images: int  # looked at
    figures: Mapping[str, Mapping[str, Figure]]  # block -> name -> figure
    threshold: float | None = None  # of darkness, at which content's precision, recall and F (ODS) were taken
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)  # SUMMARISED -> of every sketch

    def figure(self, block: str, name: str) -> Figure | None:
        return self.figures.get(block, {}).get(name)


@dataclass(frozen=True)
class Gap:
    """What could not be measured, of which row ("" for all), and why."""

    row: str
    block: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """All that was measured, and what it was measured with."""

    options: EvalSketchesOptions
    rows: tuple[Row, ...]
    gaps: tuple[Gap, ...]
    encoder: str  # digest
    libraries: Mapping[str, str]
    shards: tuple[ShardSet, ...]
    annotations: tuple[Mapping[str, Path], ...]  # per shard set
    drawings: tuple[DrawingSet, ...]

    def of_kind(self, *kinds: str) -> list[Row]:
        return [row for row in self.rows if row.kind in kinds]


def evaluate_sketches(
    options: EvalSketchesOptions,
    on_start: Callable[[int], None] = lambda total: None,
    on_sketch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Measure the sketches in `options.shards`; `on_start` gets the number of sketches and drawings.

    Raises UsageError where there is nothing to measure or no annotation fits, SketchforgeError for damaged
    data and for missing libraries.
    """
    _check_libraries()
    from sketchforge.weights import encoder_digest

    shards = find_shards(options.shards, options.samples)
    annotations = find_annotations(options.boundaries, shards) if options.boundaries else [{} for _ in shards]
    drawings = [find_drawings(folder, options.samples) for folder in options.references]
    sketches = sum(len(one.chosen) * len(one.styles) for one in shards) + sum(
        len(one.drawings) for one in drawings
    )
    on_start(sketches)
    workers = options.workers or min(usable_cores(), 1 + sketches // WORTH_A_PROCESS)
    with _processes(workers) as pool:
        measuring = _Measuring(options.seed, bool(drawings), pool, on_sketch)
        references = [measuring.drawings(one) for one in drawings]
        folders = [
            measuring.shards(one, found, people=index == 0)
            for index, (one, found) in enumerate(zip(shards, annotations, strict=True))
        ]
    rows, gaps = _summarised(options, shards, folders, drawings, references)
    return Evaluation(
        options,
        tuple(rows),
        tuple(gaps),
        encoder_digest(_builtin_encoder()),
        {name: _version(name) for name in _LIBRARIES},
        tuple(shards),
        tuple(annotations),
        tuple(drawings),
    )


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as a JSON object; numbers have six digits. Equal evaluations give equal objects."""
    options = evaluation.options
    rows = []
    for row in evaluation.rows:
        figures = {
            block: {name: _figure_json(figure) for name, figure in found.items()}
            for block, found in row.figures.items()
        }
        rows.append(
            {"kind": row.kind, "name": row.name, "source": row.source, "images": row.images, **figures}
            | ({} if row.threshold is None else {"threshold": row.threshold})
        )
    from sketchforge.metrics.boundaries import THRESHOLDS, TOLERANCE
    from sketchforge.metrics.kernel_distance import kernel_distance_name
    from sketchforge.metrics.one_sketch import PATCHES
    from sketchforge.metrics.variety import WIDTH

    return {
        "format": FORMAT,
        "version": VERSION,
        "options": {
            "shards": [str(path) for path in options.shards],
            "boundaries": str(options.boundaries) if options.boundaries else None,
            "references": [str(path) for path in options.references],
            "samples": options.samples,
        },
        "seed": options.seed,
        "counts": {
            "shards": [
                {
                    "source": str(one.path),
                    "samples": len(one.keys),
                    "measured": len(one.chosen),
                    "annotated": len(found),
                }
                for one, found in zip(evaluation.shards, evaluation.annotations, strict=True)
            ],
            "references": [
                {"source": str(one.path), "drawings": one.num_found, "measured": len(one.drawings)}
                for one in evaluation.drawings
            ],
        },
        "thresholds": {
            "darkness": list(THRESHOLDS),
            "tolerance": TOLERANCE,
            "binarised": {str(one.path): one.threshold for one in evaluation.shards},
        },
        "methods": {
            "kid": kernel_distance_name(ENCODER),
            "patches": PATCHES,
            "vendi_width": WIDTH,
            "resamplings": RESAMPLINGS,
            "halvings": HALVINGS,
            "level": LEVEL,
        },
        "encoder": evaluation.encoder,
        "libraries": dict(evaluation.libraries),
        "rows": rows,
        "gaps": [{"row": gap.row, "block": gap.block, "reason": gap.reason} for gap in evaluation.gaps],
    }


def _figure_json(figure: Figure) -> dict[str, float | int | None]:
    found = {name: _rounded(getattr(figure, name)) for name in ("value", "low", "high")}
    if figure.p10 is not None:
        found |= {name: _rounded(getattr(figure, name)) for name in ("p10", "p90")}
    return {**found, "images": figure.images}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


# --- measuring


@dataclass(frozen=True)
class _Measured:
    """A set of sketches; lists have an entry per sketch, but for `counts`: one per annotated sketch."""

    photos: list[str] = field(default_factory=list)
    strokes: list[Strokes] = field(default_factory=list)
    patches: list[np.ndarray] = field(default_factory=list)  # empty without references, as are features
    features: list[np.ndarray] = field(default_factory=list)  # (D,) for the kernel distance
    manners: list[np.ndarray] = field(default_factory=list)  # (K,) for variety; empty for a lone style
    counts: list[BoundaryCounts] = field(default_factory=list)

    def part(self, indices: Sequence[int]) -> _Measured:
        """Some of the sketches, without content and variety."""
        columns = (self.photos, self.strokes, self.patches, self.features)
        return _Measured(*([column[index] for index in indices] for column in columns))

    @property
    def members(self) -> list[np.ndarray]:
        """Of each photo, in order of their names, the indices of its sketches."""
        found = defaultdict(list)
        for index, photo in enumerate(self.photos):
            found[photo].append(index)
        return [np.array(found[photo]) for photo in sorted(found)]


@dataclass(frozen=True)
class _MeasuredFolder:
    styles: list[_Measured]
    people: list[BoundaryCounts]  # one per image with two annotators or more
    lone: int  # images with one


class _Measuring:
    """Sketch by sketch: worker processes measure lines, this process asks the encoder."""

    def __init__(
        self, seed: int, realism: bool, pool: WorkerPool | None, on_sketch: Callable[[], None]
    ) -> None:
        self._seed, self._realism, self._pool, self._on_sketch = seed, realism, pool, on_sketch

    def drawings(self, one: DrawingSet) -> _Measured:
        """Drawings that cannot be read are left out."""
        from sketchforge.metrics.one_sketch import SketchTask

        def tasks() -> Iterator[SketchTask]:
            for image in one.drawings:
                try:
                    data = image.read()
                except ImageError:
                    data = b""  # no picture, either
                yield SketchTask(image.key, str(one.path), data, None, self._realism, self._seed)

        result = _Measured()
        for photo, (task, measured) in zip(one.photos, _measure(tasks(), self._pool), strict=True):
            if not isinstance(measured, ImageError):
                self._add(result, photo, task, measured, variety=False)
            self._on_sketch()
        return result

    def shards(self, one: ShardSet, annotations: Mapping[str, Path], people: bool) -> _MeasuredFolder:
        styles = [_Measured() for _ in one.styles]
        agreement, lone = [], 0
        for index, (task, measured) in enumerate(
            _measure(self._shard_tasks(one, annotations, people), self._pool)
        ):
            with read_errors(one.path, schema.shard_files(one.path, one.keys[task.name]).tar):
                if isinstance(measured, ImageError):
                    raise measured
            style = styles[index % len(styles)]
            self._add(style, one.photos[task.name], task, measured, variety=len(styles) > 1)
            if measured.counts is not None:
                style.counts.append(measured.counts)
            if measured.people is not None:
                agreement.append(measured.people)
            elif task.people and task.annotation:
                lone += 1
            self._on_sketch()
        return _MeasuredFolder(styles, agreement, lone)

    def _shard_tasks(
        self, one: ShardSet, annotations: Mapping[str, Path], people: bool
    ) -> Iterator[SketchTask]:
        """Sample by sample, each with all its styles."""
        from sketchforge.metrics.one_sketch import SketchTask

        for sample in whole_samples(one.path, one.manifest, one.keys, one.chosen):
            sides = sample.about.get("original_width"), sample.about.get("original_height")
            for index, sketch in enumerate(sample.sketches):
                yield SketchTask(
                    sample.key,
                    str(one.path),
                    sketch,
                    one.threshold,
                    self._realism,
                    self._seed,
                    annotations.get(sample.key),
                    one.frame,
                    sides if all(isinstance(side, int) for side in sides) else None,
                    people and index == 0,
                )

    def _add(
        self, result: _Measured, photo: str, task: SketchTask, measured: SketchMeasurement, variety: bool
    ) -> None:
        from sketchforge.metrics.kernel_distance import sketch_features
        from sketchforge.metrics.one_sketch import two_tone_sketch
        from sketchforge.metrics.variety import style_vectors

        result.photos.append(photo)
        result.strokes.append(measured.strokes)
        if measured.patches is not None:
            result.patches.append(measured.patches)
            result.features.append(sketch_features([two_tone_sketch(task)], _builtin_encoder())[0])
        if variety:
            result.manners.append(style_vectors([two_tone_sketch(task)])[0])


@lru_cache(maxsize=1)
def _builtin_encoder() -> Encoder:
    from sketchforge.weights import load_encoder

    return load_encoder(ENCODER)


def _processes(workers: int) -> AbstractContextManager[WorkerPool | None]:
    return worker_pool(workers, TIMEOUT) if workers > 1 else nullcontext()


def _measure(
    tasks: Iterator[SketchTask], pool: WorkerPool | None
) -> Iterator[tuple[SketchTask, SketchMeasurement | ImageError]]:
    """Every task with what was measured, in order; processes work a few sketches ahead."""
    from sketchforge.metrics.one_sketch import measure_sketch

    def outcome(task: SketchTask, call: Callable[[], SketchMeasurement]) -> SketchMeasurement | ImageError:
        try:
            return call()
        except ImageError as error:
            return error
        except WorkerLost as lost:
            raise SketchforgeError(
                f"{task.where}: {task.name}: {lost.reason}, twice; try fewer --workers if memory was short"
            ) from None

    if pool is None:
        for task in tasks:
            yield task, outcome(task, partial(measure_sketch, task))
        return
    waiting: deque[tuple[SketchTask, Task]] = deque()
    for task in tasks:
        waiting.append((task, pool.submit(measure_sketch, task)))
        if len(waiting) > AHEAD:
            first, under_way = waiting.popleft()
            yield first, outcome(first, partial(pool.result, under_way))
    for first, under_way in waiting:
        yield first, outcome(first, partial(pool.result, under_way))


# --- summarising


def _summarised(
    options: EvalSketchesOptions,
    shards: Sequence[ShardSet],
    folders: Sequence[_MeasuredFolder],
    drawings: Sequence[DrawingSet],
    references: Sequence[_Measured],
) -> tuple[list[Row], list[Gap]]:
    rows: list[Row] = []
    gaps: list[Gap] = []
    seed = options.seed
    if options.boundaries is None:
        gaps.append(Gap("", CONTENT, "no --boundaries"))
    if not references:
        gaps.append(Gap("", REALISM, "no --references"))
        gaps.append(Gap("", STROKES, "no --references to compare the distributions with"))
    if any(one.frame != shards[0].frame for one in shards) and options.boundaries:
        gaps.append(Gap(PEOPLE, CONTENT, f"measured at the size and fit of {shards[0].path} only"))
    if len(shards) > 1:
        _tell_uncommon(shards, gaps)
    reference = references[0] if references else None
    for one, folder, names in zip(shards, folders, style_names(shards), strict=True):
        for measured, name in zip(folder.styles, names, strict=True):
            figures, threshold = _content(measured.counts, name, seed)
            missing = len(one.chosen) - len(measured.counts)
            if options.boundaries and missing:
                gaps.append(Gap(name, CONTENT, f"no annotation for this key: {missing} of {len(one.chosen)}"))
            figures |= _against(measured, reference, name, seed, gaps)
            rows.append(
                Row(
                    "style",
                    name,
                    str(one.path),
                    len(one.chosen),
                    figures,
                    threshold,
                    _values(measured.strokes),
                )
            )
    for (one, folder), name in zip(
        zip(shards, folders, strict=True), distinct_names([one.path for one in shards]), strict=True
    ):
        if len(one.styles) > 1:
            found = _mean("vendi", _variety(folder.styles), seed)
            rows.append(Row("folder", name, str(one.path), len(one.chosen), {VARIETY: found}))
        else:
            gaps.append(Gap(name, VARIETY, "one style only"))
    names = [f"{name} (drawings)" for name in distinct_names([one.path for one in drawings])]
    for index, (one, measured, name) in enumerate(zip(drawings, references, names, strict=True)):
        unreadable = len(one.drawings) - len(measured.photos)
        if unreadable:
            gaps.append(Gap(name, "drawings", f"cannot be read: {unreadable} of {len(one.drawings)}"))
        if not measured.photos:
            raise SketchforgeError(
                f"--references {one.path}: none of its {len(one.drawings)} pictures can be read"
            )
        if index:
            figures = _against(measured, reference, name, seed, gaps)
        else:
            figures = _floor(measured, name, seed, gaps)
        rows.append(
            Row("reference", name, str(one.path), len(one.drawings), figures, None, _values(measured.strokes))
        )
    if options.boundaries:
        people = folders[0].people
        if folders[0].lone:
            gaps.append(Gap(PEOPLE, CONTENT, f"only one annotator: {folders[0].lone} images"))
        if people:
            figures, threshold = _content(people, PEOPLE, seed)
            rows.append(Row("people", PEOPLE, str(options.boundaries), len(people), figures, threshold))
    return rows, list(dict.fromkeys(gaps))


def _variety(styles: Sequence[_Measured]) -> np.ndarray:
    """(images,): the Vendi score of each image's sketches."""
    from sketchforge.metrics.variety import style_distances, vendi_score

    each = zip(*(style.manners for style in styles), strict=True)
    return np.array([vendi_score(style_distances(np.stack(manners))) for manners in each])


def _mean(name: str, values: np.ndarray, seed: int) -> dict[str, Figure]:
    """The mean of one value per image."""
    return _figures(len(values), lambda drawn: {name: float(values[drawn].mean())}, seed)


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


def _content(
    counts: Sequence[BoundaryCounts], name: str, seed: int
) -> tuple[dict[str, dict[str, Figure]], float | None]:
    """Precision, recall and F, and the threshold they were taken at."""
    from sketchforge.metrics.boundaries import summarise

    if not counts:
        return {}, None

    def scores(drawn: np.ndarray) -> dict[str, float]:
        score = summarise([counts[index] for index in drawn])
        return {part: getattr(score, part) for part in ("f_ods", "f_ois", "precision", "recall")}

    return {CONTENT: _figures(len(counts), scores, seed)}, summarise(counts).threshold


def halves(photos: Sequence[str], seed: int, turn: int) -> tuple[list[int], list[int]]:
    """The indices of two parts with equally many photos (the second may have one more), chosen by seed and
    turn.

    Drawings of one photo stay together.
    """
    names = sorted(set(photos))
    order = numpy_generator(seed, "halves of the references", turn).permutation(len(names))
    first = {names[place] for place in order[: len(names) // 2]}
    inside = [index for index, photo in enumerate(photos) if photo in first]
    return inside, [index for index, photo in enumerate(photos) if photo not in first]


def _floor(measured: _Measured, name: str, seed: int, gaps: list[Gap]) -> dict[str, dict[str, Figure]]:
    """People against people: one half of the photos against the other. The strokes are those of all drawings.

    A single halving says little: with a hundred drawings its AUC may be 0.4 or 0.6. So HALVINGS are made, and
    a figure is their mean, its interval their middle LEVEL.
    """
    result = {STROKES: _strokes(measured, name, seed, gaps)}
    photos = len(set(measured.photos))
    if photos < 2:
        gaps.append(Gap(name, REALISM, "no floor: all drawings are of one photo"))
        return result
    found = defaultdict(list)
    for turn in range(HALVINGS):
        first, second = (measured.part(indices) for indices in halves(measured.photos, seed, turn))
        for block, figures in _compared(first, second, name, seed, gaps, resamplings=0).items():
            for part, figure in figures.items():
                found[block, part].append(figure.value)
    for (block, part), values in found.items():
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        result.setdefault(block, {})[part] = Figure(float(np.mean(values)), float(low), float(high), photos)
    return result


def _against(
    measured: _Measured, reference: _Measured | None, name: str, seed: int, gaps: list[Gap]
) -> dict[str, dict[str, Figure]]:
    """Strokes, and where there is a reference realism and the distances of the strokes."""
    figures = _compared(measured, reference, name, seed, gaps) if reference else {}
    return figures | {STROKES: _strokes(measured, name, seed, gaps) | figures.get(STROKES, {})}


def _compared(
    measured: _Measured,
    reference: _Measured,
    name: str,
    seed: int,
    gaps: list[Gap],
    resamplings: int = RESAMPLINGS,
) -> dict[str, dict[str, Figure]]:
    """Realism and the distances of the strokes; without resamplings no intervals."""
    with_whom = (measured, reference, name, seed, gaps, resamplings)
    blocks = {REALISM: _auc(*with_whom) | _kid(*with_whom), STROKES: _distances(*with_whom)}
    return {block: figures for block, figures in blocks.items() if figures}


def _strokes(measured: _Measured, name: str, seed: int, gaps: list[Gap]) -> dict[str, Figure]:
    from sketchforge.metrics.strokes import values_of

    members = measured.members
    result = {}
    table = {part: _column(measured.strokes, part) for part in SUMMARISED}
    known = {part: column for part, column in table.items() if not np.isnan(column).all()}

    def medians(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {part: _median(column[sketches]) for part, column in known.items()}

    for part, figure in _figures(len(members), medians, seed).items():
        p10, p90 = (float(value) for value in np.percentile(values_of(measured.strokes, part), (10, 90)))
        images = sum(not np.isnan(known[part][group]).all() for group in members)
        result[part] = Figure(figure.value, figure.low, figure.high, images, p10, p90)
    blank = sum(one.ink == 0 for one in measured.strokes)
    if blank:
        gaps.append(
            Gap(name, STROKES, f"blank, so only ink and fragments count: {blank} of {len(measured.strokes)}")
        )
    return result


def _distances(
    measured: _Measured, reference: _Measured, name: str, seed: int, gaps: list[Gap], resamplings: int
) -> dict[str, Figure]:
    from sketchforge.metrics.strokes import compare

    members = measured.members
    whole = compare(measured.strokes, reference.strokes)
    distances: dict[str, Callable[[np.ndarray], float]] = {}
    for part in (part for part in COMPARED if whole[part] is not None):
        distances[part] = wasserstein(_column(measured.strokes, part), _column(reference.strokes, part))
    unknown = ", ".join(part for part in COMPARED if part not in distances)
    if unknown:
        gaps.append(
            Gap(name, STROKES, f"no distance in {unknown}: none has a value, or all references the same")
        )

    def resampled(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {f"distance_{part}": distance(sketches) for part, distance in distances.items()}

    return _figures(len(members), resampled, seed, resamplings)


def wasserstein(values: np.ndarray, reference: np.ndarray) -> Callable[[np.ndarray], float]:
    """A function of indices into `values`: their distance from the reference, as `strokes.compare` has it.

    For resampling: all that does not depend on the indices is done once. NaN stands for no value.
    """
    theirs = np.sort(reference[~np.isnan(reference)])
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    ours = values[order]
    points = np.sort(np.concatenate([ours, theirs]))
    widths = np.diff(points) / theirs.std()
    share = np.searchsorted(theirs, points[:-1], "right") / len(theirs)
    below = np.searchsorted(ours, points[:-1], "right")

    def distance(indices: np.ndarray) -> float:
        counts = np.bincount(indices, minlength=len(values))[order]
        sums = np.concatenate([[0], np.cumsum(counts)])
        return float(np.abs(sums[below] / sums[-1] - share) @ widths) if sums[-1] else math.nan

    return distance


def _auc(
    measured: _Measured, reference: _Measured, name: str, seed: int, gaps: list[Gap], resamplings: int
) -> dict[str, Figure]:
    from sketchforge.metrics.realism import two_sample_test

    try:
        result = two_sample_test(*_patches(measured), *_patches(reference), seed)
    except UsageError as error:
        gaps.append(Gap(name, REALISM, str(error)))
        return {}
    wins, pairs = ranked_pairs(result)

    def resampled(drawn: np.ndarray) -> dict[str, float]:
        total = pairs[drawn].sum()
        return {"auc": float(wins[drawn].sum() / total) if total else math.nan}

    return _figures(len(wins), resampled, seed, resamplings)


def ranked_pairs(result: TwoSampleResult) -> tuple[np.ndarray, np.ndarray]:
    """Of each source image of the first set, in order of their names, the pairs of one of its patches with
    one of the second set in the same fold: those won, ties a half, and all of them, each float64 (images,).

    The AUC of images drawn with replacement is the sum of the one over that of the other, the second set as
    it is.
    """
    names, image = np.unique(result.groups[result.labels], return_inverse=True)
    wins, pairs = np.zeros(len(result.labels)), np.zeros(len(result.labels))
    for fold in np.unique(result.folds):
        first = np.flatnonzero(result.labels & (result.folds == fold))
        second = np.sort(result.scores[~result.labels & (result.folds == fold)])
        sides = [np.searchsorted(second, result.scores[first], side) for side in ("left", "right")]
        wins[first], pairs[first] = (sides[0] + sides[1]) / 2, len(second)
    return tuple(np.bincount(image, found[result.labels], len(names)) for found in (wins, pairs))


def _patches(measured: _Measured) -> tuple[np.ndarray, list[str]]:
    groups = [photo for photo, rows in zip(measured.photos, measured.patches, strict=True) for _ in rows]
    return np.concatenate(measured.patches), groups


def _kid(
    measured: _Measured, reference: _Measured, name: str, seed: int, gaps: list[Gap], resamplings: int
) -> dict[str, Figure]:
    from sketchforge.metrics.kernel_distance import kernel_matrices

    try:
        matrices = kernel_matrices(np.stack(measured.features), np.stack(reference.features))
    except UsageError as error:
        gaps.append(Gap(name, REALISM, str(error)))
        return {}
    members = measured.members

    def resampled(drawn: np.ndarray) -> dict[str, float]:
        sketches = np.concatenate([members[index] for index in drawn])
        return {"kid": matrices.mmd2(np.bincount(sketches, minlength=len(measured.photos)))}

    return _figures(len(members), resampled, seed, resamplings)


def _figures(
    count: int,
    statistics: Callable[[np.ndarray], dict[str, float]],
    seed: int,
    resamplings: int = RESAMPLINGS,
) -> dict[str, Figure]:
    """Figures of `count` images from a function of their indices, each with its interval.

    All are drawn with one purpose, so whatever rests on equally many images has been resampled alike.
    """

    @cache
    def of(drawn: tuple[int, ...]) -> dict[str, float]:
        return statistics(np.array(drawn))

    result = {}
    for name, value in of(tuple(range(count))).items():
        low = high = None
        if count > 1 and resamplings:
            low, high = interval(
                range(count),
                lambda drawn, name=name: of(tuple(drawn))[name],
                seed,
                "images",
                RESAMPLINGS,
                LEVEL,
            )
        ends = [None if end is None or math.isnan(end) else end for end in (low, high)]
        result[name] = Figure(value, *ends, count)
    return result


def _column(strokes: Sequence[Strokes], part: str) -> np.ndarray:
    """One part of Strokes over sketches, float64, NaN for none."""
    return np.array([math.nan if (value := getattr(one, part)) is None else value for one in strokes], float)


def _median(values: np.ndarray) -> float:
    """Of those that are no NaN; NaN where there are none."""
    known = np.sort(values[~np.isnan(values)])  # np.median takes several times as long for so few
    return float(known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2 if len(known) else math.nan


def _values(strokes: Sequence[Strokes]) -> dict[str, list[float]]:
    from sketchforge.metrics.strokes import values_of

    return {part: values_of(strokes, part).tolist() for part in SUMMARISED}


# --- libraries

_LIBRARIES = (
    "sketchforge",
    "numpy",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "opencv-python-headless",
    "pillow",
    "torch",
)


def _check_libraries() -> None:
    missing = [
        name
        for module, name in (("skimage", "scikit-image"), ("sklearn", "scikit-learn"))
        if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise SketchforgeError(
            f"measuring sketches needs {' and '.join(missing)}: pip install 'sketchforge[eval]'"
        )


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"
