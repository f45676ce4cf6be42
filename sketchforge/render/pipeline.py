"""The render pipeline: decode -> draw -> encode, overlapping, with few images in memory.

Worker processes decode and encode while this process draws, one batch ahead of the records that it yields.
Records come in plan order, so they do not depend on the number of workers or their speed.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sketchforge.images.sketch_quality import describe_quality
from sketchforge.images.sources import ImageSource
from sketchforge.options import RenderOptions
from sketchforge.render.encode import DrawnPicture, SketchEncoding, encode_sample, sketch_tone
from sketchforge.render.job import RenderJob
from sketchforge.render.plan import PlannedShard, plan_batches
from sketchforge.render.prepare import Prepared, prepare
from sketchforge.shards.schema import BLANK, CLASS, QUALITY, json_bytes
from sketchforge.shards.writer import Record
from sketchforge.sketchers.base import Drawing
from sketchforge.utils.worker_pool import Task, WorkerLost, WorkerPool

if TYPE_CHECKING:
    from sketchforge.sketchers.foreground import ForegroundFinder

# One input in flight: its record so far, and the task that encodes its sketches, None where there are none.
_Pending = tuple[Record, Task | None]
# An input's position among all inputs.
_Position = int
_Group = Sequence[tuple[_Position, ImageSource, Prepared]]
# Images drawn together, their drawing (None where they could not be read), and the seconds it took to start
# it.
_MicroBatch = tuple[_Group, Drawing | None, float]


def records(
    shards: Sequence[PlannedShard],
    job: RenderJob,
    pool: WorkerPool,
    num_workers: int,
) -> Generator[Record, None, None]:
    """Yield one record for every input of `shards`, in order. Raises SketchforgeError when drawing fails."""
    options = job.options
    # Enough inputs to keep every worker busy while a batch is drawn; more would only cost memory.
    window = 2 * options.batch_size + 2 * num_workers
    batches = (batch for shard in shards for batch in plan_batches(shard, options.batch_size))
    pending: deque[_Pending] = deque()
    early: dict[_Position, _Pending] = {}  # dispatched, but one before them is not
    next_position = 0
    prepared = _prepare_ahead(batches, options, pool, max(1, window // options.batch_size))
    with closing(_draw_batches(prepared, job, pool)) as dispatched:
        for position, record, task in dispatched:
            early[position] = record, task
            while next_position in early:
                pending.append(early.pop(next_position))
                next_position += 1
            while pending and (len(pending) > window or _is_done(pending[0])):
                yield _finish(pending.popleft(), job, pool)
    while pending:
        yield _finish(pending.popleft(), job, pool)


def _prepare_ahead(
    batches: Iterator[Sequence[ImageSource]], options: RenderOptions, pool: WorkerPool, num_ahead: int
) -> Iterator[list[tuple[ImageSource, Task]]]:
    """Yield batches in order while the next `num_ahead`, across the ends of shards, are being decoded."""
    ahead: deque[list[tuple[ImageSource, Task]]] = deque()
    for batch in batches:
        arguments = options.size, options.fit, options.drawn_side, options.masks
        ahead.append([(image, pool.submit(prepare, image, *arguments)) for image in batch])
        if len(ahead) > num_ahead:
            yield ahead.popleft()
    yield from ahead


def _draw_batches(
    batches: Iterator[Sequence[tuple[ImageSource, Task]]],
    job: RenderJob,
    pool: WorkerPool,
) -> Generator[tuple[_Position, Record, Task | None], None, None]:
    """Draw the images batch by batch and dispatch their sketches.

    A micro-batch is the images of a batch that have equal size. While one is encoded, so many images are
    being drawn as a batch has, whether they have equal sizes or not.
    """
    in_progress: deque[_MicroBatch] = deque()
    num_behind = 0  # images in progress behind the oldest micro-batch
    try:
        for images in _micro_batches(batches, pool):
            drawing = None
            start = time.perf_counter()
            if (pixels := stack_pixels(images)) is not None:
                images = find_foregrounds(images, job.finder)
                drawing = job.ready.sketcher.draw(pixels)
            num_behind += len(images) if in_progress else 0
            in_progress.append((images, drawing, time.perf_counter() - start))
            while num_behind >= job.options.batch_size:
                yield from dispatch_encode(in_progress[0], job, pool)
                in_progress.popleft()
                num_behind -= len(in_progress[0][0])
        while in_progress:
            yield from dispatch_encode(in_progress[0], job, pool)
            in_progress.popleft()
    finally:
        for _, drawing, _ in in_progress:
            if drawing is not None:
                drawing.cancel()


def _micro_batches(
    batches: Iterator[Sequence[tuple[ImageSource, Task]]], pool: WorkerPool
) -> Iterator[_Group]:
    positions = itertools.count()
    for batch in batches:
        groups: dict[tuple[int, ...] | None, list[tuple[_Position, ImageSource, Prepared]]] = {}
        for image, task in batch:
            prepared = _wait_prepared(image, task, pool)
            groups.setdefault(_get_shape(prepared), []).append((next(positions), image, prepared))
        yield from groups.values()


def stack_pixels(images: _Group) -> np.ndarray | None:
    """uint8 (B,H,W,3) of images that have one size; None where they could not be read."""
    pixels = [prepared.pixels for *_, prepared in images if prepared.pixels is not None]
    return np.stack(pixels) if pixels else None


def find_foregrounds(images: _Group, finder: ForegroundFinder | None) -> _Group:
    """Find where the subjects are, where the learned head does: it runs in this process, for workers have no torch."""
    if finder is None or (pixels := stack_pixels(images)) is None:
        return images
    found = finder.find(pixels)
    masks = np.rint(found * 255).astype(np.uint8)
    return [
        (position, image, replace(prepared, foreground=mask))
        for (position, image, prepared), mask in zip(images, masks, strict=True)
    ]


def dispatch_encode(
    micro_batch: _MicroBatch, job: RenderJob, pool: WorkerPool
) -> Iterator[tuple[_Position, Record, Task | None]]:
    """Yield the images of a micro-batch as they are drawn, and send their sketches to be encoded.

    An image's "draw" seconds are the time that this process waited for its drawing, and an equal share of the
    time that it took to start the micro-batch. The time between two images, spent by the consumer, does not
    count.
    """
    images, drawing, begin_seconds = micro_batch
    if drawing is None:
        for position, image, prepared in images:
            yield position, _start_record(image, prepared), None
        return
    start = time.perf_counter()
    for (position, image, prepared), sketches in zip(images, drawing.images(), strict=True):
        draw_seconds = time.perf_counter() - start + begin_seconds / len(images)
        record = replace(
            _start_record(image, prepared),
            image=prepared.jpeg,
            caption=prepared.caption,
            metadata=_build_metadata(image, prepared, job),
            extras=_build_extras(image, job),
            seconds={"decode": prepared.seconds, "draw": draw_seconds},
        )
        yield (
            position,
            record,
            _submit_encode(image, prepared, sketches, job, pool),
        )
        start = time.perf_counter()


def _submit_encode(
    image: ImageSource, prepared: Prepared, sketches: np.ndarray, job: RenderJob, pool: WorkerPool
) -> Task:
    picture = DrawnPicture.of(image.key, prepared)
    options = job.options
    encoding = SketchEncoding(job.hands, sketch_tone(options), options.strokes, options.masks is not None)
    return pool.submit(encode_sample, sketches, picture, encoding)


def _wait_prepared(image: ImageSource, task: Task, pool: WorkerPool) -> Prepared:
    """Wait for the image that a worker prepares; an image whose worker dies or hangs counts as failed."""
    try:
        return pool.result(task, image.source)
    except WorkerLost as lost:
        return Prepared(lost.reason, 0.0)


def _start_record(image: ImageSource, prepared: Prepared) -> Record:
    seconds = {"decode": prepared.seconds}
    num_bytes = image.image.num_bytes
    return Record(
        key=image.key,
        source=image.source,
        num_bytes=num_bytes,
        reason=prepared.reason,
        note=prepared.note,
        seconds=seconds,
    )


def _get_shape(prepared: Prepared) -> tuple[int, ...] | None:
    return None if prepared.pixels is None else prepared.pixels.shape


def _build_metadata(image: ImageSource, prepared: Prepared, job: RenderJob) -> dict[str, Any]:
    height, width = prepared.stored_size
    return {
        "source": image.source,
        "sha256": prepared.sha256,
        "width": width,
        "height": height,
        "method": job.ready.sketcher.method,
        "styles": list(job.styles),
        "original_width": prepared.original_width,
        "original_height": prepared.original_height,
        # As text: objects of many shapes would give the samples as many schemas.
        "meta": json_bytes(dict(prepared.metadata)).decode(),
    }


def _build_extras(image: ImageSource, job: RenderJob) -> dict[str, bytes]:
    labels = job.plan.labels
    return {} if labels is None else {CLASS: str(labels.number_of(image.key, image.source)).encode()}


def _is_done(pending: _Pending) -> bool:
    return pending[1] is None or pending[1].done()


def _finish(pending: _Pending, job: RenderJob, pool: WorkerPool) -> Record:
    record, task = pending
    if task is None:
        return record
    try:
        encoded = pool.result(task, record.source)
    except WorkerLost as lost:
        return replace(record, reason=lost.reason, seconds={})
    quality = {QUALITY: describe_quality(encoded.quality)} if job.manifest[QUALITY] else {}
    return replace(
        record,
        reason=BLANK if encoded.is_blank and job.options.drop_blank else None,
        sketches=encoded.pngs,
        is_blank=encoded.is_blank,
        metadata={**record.metadata, "hands": encoded.hands, **quality},
        extras={**record.extras, **encoded.extras},
        seconds={**record.seconds, "encode": encoded.seconds},
    )
