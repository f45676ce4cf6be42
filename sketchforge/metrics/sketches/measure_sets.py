"""Measures sets of sketches, sketch by sketch, in worker processes, and keeps the small results only."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import ImageError
from sketchforge.metrics.sketches.inputs import DrawingSet, SketchInput
from sketchforge.metrics.sketches.result import ENCODER
from sketchforge.shards.reader import raw_samples, read_errors
from sketchforge.utils.progress import Progress
from sketchforge.utils.worker_pool import Task, WorkerLost, WorkerPool, worker_pool

if TYPE_CHECKING:
    from sketchforge.metrics.sketches.boundaries import BoundaryCounts
    from sketchforge.metrics.sketches.measure_sketch import SketchMeasurement, SketchTask
    from sketchforge.metrics.sketches.strokes import Strokes
    from sketchforge.models.encoder import Encoder

TIMEOUT = 1800.0  # seconds a process may take for one sketch; matching a large grey one takes minutes
AHEAD = 32  # sketches submitted to the processes before the oldest result is waited for


@dataclass(frozen=True)
class Measured:
    """The measurements of a set: lists with an entry per sketch, `counts` one per annotated sketch."""

    photos: list[str] = field(default_factory=list)
    strokes: list[Strokes] = field(default_factory=list)
    patches: list[np.ndarray] = field(default_factory=list)  # empty without references, as are features
    features: list[np.ndarray] = field(default_factory=list)  # (D,) for the kernel distance
    styles: list[np.ndarray] = field(
        default_factory=list
    )  # (K,) for variety; empty where the folder has one style
    counts: list[BoundaryCounts] = field(default_factory=list)
    lines: dict[str, list[np.ndarray]] = field(default_factory=dict)  # by photo, of drawings to be compared

    def part(self, indices: Sequence[int]) -> Measured:
        """The sketches at `indices`, without content and variety."""
        return Measured(
            photos=[self.photos[index] for index in indices],
            strokes=[self.strokes[index] for index in indices],
            patches=[self.patches[index] for index in indices],
            features=[self.features[index] for index in indices],
        )

    @property
    def members(self) -> list[np.ndarray]:
        """The indices of the sketches of each photo, photos in order of their names."""
        indices_by_photo = defaultdict(list)
        for index, photo in enumerate(self.photos):
            indices_by_photo[photo].append(index)
        return [np.array(indices_by_photo[photo]) for photo in sorted(indices_by_photo)]


@dataclass(frozen=True)
class MeasuredFolder:
    styles: list[Measured]
    people: list[BoundaryCounts]  # one per image with two annotators or more
    lone: int  # images with one annotator
    shared: list[float]  # of each image, the `shared_lines` of its sketches; none for one style or blank ones


class Measuring:
    """Measures sketch by sketch: lines in worker processes, features of the encoder in this process."""

    def __init__(self, seed: int, realism: bool, pool: WorkerPool | None, progress: Progress) -> None:
        self._seed, self._realism, self._pool, self._progress = seed, realism, pool, progress

    def drawings(self, one: DrawingSet, paired: Collection[str] = ()) -> Measured:
        """Measure the drawings of a set; those that cannot be read are left out.

        paired: photos whose drawings are to be compared with each other.
        """
        from sketchforge.metrics.sketches.measure_sketch import SketchTask

        def tasks() -> Iterator[SketchTask]:
            for image, photo in zip(one.drawings, one.photos, strict=True):
                try:
                    data = image.read()
                except ImageError:
                    data = b""  # as unreadable as a damaged file
                yield SketchTask(
                    name=image.key,
                    where=str(one.path),
                    image=data,
                    thresholds=None,
                    patches=self._realism,
                    seed=self._seed,
                    lines=photo in paired,
                )

        result = Measured()
        for photo, (task, measured) in zip(one.photos, _measure(tasks(), self._pool), strict=True):
            if not isinstance(measured, ImageError):
                self._add(result, photo, task, measured, variety=False)
                if measured.lines is not None:
                    result.lines.setdefault(photo, []).append(measured.lines)
            self._progress.advance()
        return result

    def shards(self, one: SketchInput, annotations: Mapping[str, Path], people: bool) -> MeasuredFolder:
        from sketchforge.metrics.sketches.shared_lines import shared_lines

        styles = [Measured() for _ in one.styles]
        agreement, lone = [], 0
        shared: list[float] = []
        lines: list[np.ndarray] = []  # of the image at hand
        for index, (task, measured) in enumerate(
            _measure(self._shard_tasks(one, annotations, people), self._pool)
        ):
            with read_errors(one.path, one.shards.tar(task.name)):
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
            if measured.lines is not None:
                lines.append(measured.lines)
            if len(lines) == len(styles):
                share = shared_lines(lines)
                shared += [] if share is None else [share]
                lines = []
            self._progress.advance()
        return MeasuredFolder(styles, agreement, lone, shared)

    def _shard_tasks(
        self, sketch_input: SketchInput, annotations: Mapping[str, Path], people: bool
    ) -> Iterator[SketchTask]:
        """The tasks of a set, sample by sample, a sketch per style."""
        from sketchforge.metrics.sketches.measure_sketch import SketchTask

        for sample in raw_samples(sketch_input.shards, sketch_input.chosen):
            for index, sketch in enumerate(sample.sketches):
                yield SketchTask(
                    name=sample.key,
                    where=str(sketch_input.path),
                    image=sketch,
                    thresholds=sketch_input.thresholds,
                    patches=self._realism,
                    seed=self._seed,
                    annotation=annotations.get(sample.key),
                    frame=sketch_input.frame,
                    original_size=_original_size(sample.metadata),
                    suppressed=sketch_input.is_suppressed,
                    lines=len(sample.sketches) > 1,
                    people=people and index == 0,
                )

    def _add(
        self, result: Measured, photo: str, task: SketchTask, measured: SketchMeasurement, variety: bool
    ) -> None:
        from sketchforge.metrics.sketches.features import sketch_features
        from sketchforge.metrics.sketches.measure_sketch import two_tone_sketch
        from sketchforge.metrics.sketches.variety import sketch_style_vectors

        result.photos.append(photo)
        result.strokes.append(measured.strokes)
        if measured.patches is not None:
            result.patches.append(measured.patches)
            result.features.append(sketch_features([two_tone_sketch(task)], builtin_encoder())[0])
        if variety:
            result.styles.append(sketch_style_vectors([two_tone_sketch(task)])[0])


@lru_cache(maxsize=1)
def builtin_encoder() -> Encoder:
    from sketchforge.checkpoints.encoder import load_encoder

    return load_encoder(ENCODER)


def processes(workers: int) -> AbstractContextManager[WorkerPool | None]:
    return worker_pool(workers, TIMEOUT) if workers > 1 else nullcontext()


def _measure(
    tasks: Iterator[SketchTask], pool: WorkerPool | None
) -> Iterator[tuple[SketchTask, SketchMeasurement | ImageError]]:
    """Every task with its measurement, in order; processes work up to AHEAD sketches ahead."""
    from sketchforge.metrics.sketches.measure_sketch import measure_sketch

    def resolve(task: SketchTask, call: Callable[[], SketchMeasurement]) -> SketchMeasurement | ImageError:
        try:
            return call()
        except ImageError as error:
            return error
        except WorkerLost as loss:
            raise SketchforgeError(
                f"{task.where}: {task.name}: {loss.reason}, twice; try fewer --workers if memory was short"
            ) from None

    if pool is None:
        for task in tasks:
            yield task, resolve(task, partial(measure_sketch, task))
        return
    waiting: deque[tuple[SketchTask, Task]] = deque()
    for task in tasks:
        waiting.append((task, pool.submit(measure_sketch, task)))
        if len(waiting) > AHEAD:
            oldest, pending = waiting.popleft()
            yield oldest, resolve(oldest, partial(pool.result, pending, oldest.name))
    for oldest, pending in waiting:
        yield oldest, resolve(oldest, partial(pool.result, pending, oldest.name))


def _original_size(metadata: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) of a sample's source; None where they are not known."""
    width, height = metadata.get("original_width"), metadata.get("original_height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None
