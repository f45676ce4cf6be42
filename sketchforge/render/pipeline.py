"""The render pipeline: decode -> draw -> encode, overlapping, with few images in memory.

Worker processes decode and encode while this process draws, one batch ahead of the records that it yields.
Records come in plan order, so they do not depend on the number of workers or their speed.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from sketchforge.images.sources import ImageSource
from sketchforge.options import RenderOptions
from sketchforge.render.plan import PlannedShard, plan_batches
from sketchforge.render.prepare import Prepared, encode_sketches, prepare
from sketchforge.shards.schema import json_bytes
from sketchforge.shards.writer import Record
from sketchforge.sketchers.base import Drawing
from sketchforge.sketchers.factory import ReadySketcher
from sketchforge.utils.worker_pool import Task, WorkerLost, WorkerPool

# One input in flight: its record so far, and the task that encodes its sketches, None where there are none.
_Pending = tuple[Record, Task | None]
# Images drawn together, their drawing (None where they could not be read), and the seconds it took to start
# it.
_MicroBatch = tuple[Sequence[tuple[ImageSource, Prepared]], Drawing | None, float]


def records(
    shards: Sequence[PlannedShard],
    ready: ReadySketcher,
    options: RenderOptions,
    pool: WorkerPool,
    num_workers: int,
) -> Iterator[Record]:
    """Yield one record for every input of `shards`, in order. Raises SketchforgeError when drawing fails."""
    # Enough inputs to keep every worker busy while a batch is drawn; more would only cost memory.
    window = 2 * options.batch_size + 2 * num_workers
    batches = (batch for shard in shards for batch in plan_batches(shard, options.batch_size))
    pending: deque[_Pending] = deque()
    prepared = _prepare_ahead(batches, options, pool, max(1, window // options.batch_size))
    with closing(_draw_batches(prepared, ready, options, pool)) as dispatched:
        for item in dispatched:
            pending.append(item)
            while pending and (len(pending) > window or _is_done(pending[0])):
                yield _finish(pending.popleft(), pool)
    while pending:
        yield _finish(pending.popleft(), pool)


def _prepare_ahead(
    batches: Iterator[Sequence[ImageSource]], options: RenderOptions, pool: WorkerPool, num_ahead: int
) -> Iterator[list[tuple[ImageSource, Task]]]:
    """Yield batches in order while the next `num_ahead`, across the ends of shards, are being decoded."""
    ahead: deque[list[tuple[ImageSource, Task]]] = deque()
    for batch in batches:
        ahead.append([(image, pool.submit(prepare, image, options.size, options.fit)) for image in batch])
        if len(ahead) > num_ahead:
            yield ahead.popleft()
    yield from ahead


def _draw_batches(
    batches: Iterator[Sequence[tuple[ImageSource, Task]]],
    ready: ReadySketcher,
    options: RenderOptions,
    pool: WorkerPool,
) -> Iterator[_Pending]:
    """Draw the images in order and dispatch their sketches.

    While one micro-batch is encoded, the next one is drawn.

    A micro-batch is a run of consecutive images of a batch that have equal size.
    """
    in_progress: deque[_MicroBatch] = deque()
    try:
        for images in _micro_batches(batches, pool):
            shape = _get_shape(images[0][1])
            drawing = None
            start = time.perf_counter()
            if shape is not None:
                drawing = ready.sketcher.draw(np.stack([prepared.pixels for _, prepared in images]))
            in_progress.append((images, drawing, time.perf_counter() - start))
            if len(in_progress) > 1:
                yield from dispatch_encode(in_progress[0], ready, options, pool)
                in_progress.popleft()
        while in_progress:
            yield from dispatch_encode(in_progress[0], ready, options, pool)
            in_progress.popleft()
    finally:
        for _, drawing, _ in in_progress:
            if drawing is not None:
                drawing.cancel()


def _micro_batches(
    batches: Iterator[Sequence[tuple[ImageSource, Task]]], pool: WorkerPool
) -> Iterator[list[tuple[ImageSource, Prepared]]]:
    for batch in batches:
        images = [(image, _wait_prepared(task, pool)) for image, task in batch]
        for _, group in itertools.groupby(images, key=lambda item: _get_shape(item[1])):
            yield list(group)


def dispatch_encode(
    micro_batch: _MicroBatch, ready: ReadySketcher, options: RenderOptions, pool: WorkerPool
) -> Iterator[_Pending]:
    """Yield the images of a micro-batch as they are drawn, and send their sketches to be encoded.

    An image's "draw" seconds are the time that this process waited for its drawing, and an equal share of the
    time that it took to start the micro-batch. The time between two images, spent by the consumer, does not
    count.
    """
    images, drawing, begin_seconds = micro_batch
    if drawing is None:
        for image, prepared in images:
            yield _start_record(image, prepared), None
        return
    start = time.perf_counter()
    for (image, prepared), sketches in zip(images, drawing.images(), strict=True):
        draw_seconds = time.perf_counter() - start + begin_seconds / len(images)
        record = replace(
            _start_record(image, prepared),
            image=prepared.jpeg,
            caption=prepared.caption,
            metadata=_build_metadata(image, prepared, ready),
            seconds={"decode": prepared.seconds, "draw": draw_seconds},
        )
        yield record, pool.submit(encode_sketches, sketches, options.thresholds)
        start = time.perf_counter()


def _wait_prepared(task: Task, pool: WorkerPool) -> Prepared:
    """Wait for the image that a worker prepares; an image whose worker dies or hangs counts as failed."""
    try:
        return pool.result(task)
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


def _build_metadata(image: ImageSource, prepared: Prepared, ready: ReadySketcher) -> dict[str, Any]:
    assert prepared.pixels is not None
    return {
        "source": image.source,
        "sha256": prepared.sha256,
        "width": prepared.pixels.shape[1],
        "height": prepared.pixels.shape[0],
        "method": ready.sketcher.method,
        "styles": list(ready.sketcher.styles),
        "original_width": prepared.original_width,
        "original_height": prepared.original_height,
        # As text: objects of many shapes would give the samples as many schemas.
        "meta": json_bytes(dict(prepared.metadata)).decode(),
    }


def _is_done(pending: _Pending) -> bool:
    return pending[1] is None or pending[1].done()


def _finish(pending: _Pending, pool: WorkerPool) -> Record:
    record, task = pending
    if task is None:
        return record
    try:
        sketches, encode_seconds = pool.result(task)
    except WorkerLost as lost:
        return replace(record, reason=lost.reason, seconds={})
    return replace(record, sketches=sketches, seconds={**record.seconds, "encode": encode_seconds})
