"""The moving parts of a rendering: decode -> draw -> encode, overlapping, few images in flight.

Worker processes decode and encode while this process draws, one batch ahead of what it hands on. Records come out in
plan order, so nothing about them depends on how many workers there are or how fast each is.
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
from sketchforge.shards.writer import Record
from sketchforge.sketchers.base import Drawing
from sketchforge.sketchers.factory import ReadySketcher
from sketchforge.utils.worker_pool import Task, WorkerLost, WorkerPool

# One input on its way: its record so far, and its sketches where they are still being encoded.
_Pending = tuple[Record, Task | None]
# Images that are drawn together, their drawing (None where they could not be read), and the seconds to begin it.
_MicroBatch = tuple[Sequence[tuple[ImageSource, Prepared]], Drawing | None, float]


def records(
    shards: Sequence[PlannedShard],
    ready: ReadySketcher,
    options: RenderOptions,
    pool: WorkerPool,
    num_workers: int,
) -> Iterator[Record]:
    """One record for every input of `shards`, in order. Raises SketchforgeError where drawing fails."""
    # Enough to keep every worker busy through a batch's drawing; more would only cost memory.
    window = 2 * options.batch_size + 2 * num_workers
    batches = (batch for shard in shards for batch in plan_batches(shard, options.batch_size))
    pending: deque[_Pending] = deque()
    prepared = _prepare_ahead(batches, options, pool, max(1, window // options.batch_size))
    with closing(_draw_batches(prepared, ready, options, pool)) as drawn:
        for one in drawn:
            pending.append(one)
            while pending and (len(pending) > window or _is_done(pending[0])):
                yield _finish(pending.popleft(), pool)
    while pending:
        yield _finish(pending.popleft(), pool)


def _prepare_ahead(
    batches: Iterator[Sequence[ImageSource]], options: RenderOptions, pool: WorkerPool, num_ahead: int
) -> Iterator[list[tuple[ImageSource, Task]]]:
    """Batches in order, `num_ahead` of them being decoded ahead, into the next shard where this one ends."""
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
    """Images in order, drawn, their sketches dispatched. While one micro-batch is encoded, the next is being drawn.

    A micro-batch are images of a batch that follow one another and are of equal size.
    """
    begun: deque[_MicroBatch] = deque()
    try:
        for images in _micro_batches(batches, pool):
            size = _size(images[0][1])
            drawing = None
            start = time.perf_counter()
            if size is not None:
                drawing = ready.sketcher.draw(np.stack([prepared.pixels for _, prepared in images]))
            begun.append((images, drawing, time.perf_counter() - start))
            if len(begun) > 1:
                yield from dispatch_encode(begun[0], ready, options, pool)
                begun.popleft()
        while begun:
            yield from dispatch_encode(begun[0], ready, options, pool)
            begun.popleft()
    finally:
        for _, drawing, _ in begun:
            if drawing is not None:
                drawing.cancel()


def _micro_batches(
    batches: Iterator[Sequence[tuple[ImageSource, Task]]], pool: WorkerPool
) -> Iterator[list[tuple[ImageSource, Prepared]]]:
    for batch in batches:
        images = [(image, _wait_prepared(task, pool)) for image, task in batch]
        for _, equal in itertools.groupby(images, key=lambda item: _size(item[1])):
            yield list(equal)


def dispatch_encode(
    micro_batch: _MicroBatch, ready: ReadySketcher, options: RenderOptions, pool: WorkerPool
) -> Iterator[_Pending]:
    """The images of a micro-batch as they are drawn, their sketches on their way to be encoded.

    Their seconds are those that nothing but drawing was waited for.
    """
    images, drawing, beginning = micro_batch
    if drawing is None:
        for image, prepared in images:
            yield _record(image, prepared), None
        return
    start = time.perf_counter()
    for (image, prepared), drawn in zip(images, drawing.images(), strict=True):
        spent = time.perf_counter() - start + beginning / len(images)
        record = replace(
            _record(image, prepared),
            image=prepared.jpeg,
            caption=prepared.caption,
            metadata=_metadata(image, prepared, ready),
            seconds={"decode": prepared.seconds, "draw": spent},
        )
        yield record, pool.submit(encode_sketches, drawn, options.thresholds)
        start = time.perf_counter()


def _wait_prepared(task: Task, pool: WorkerPool) -> Prepared:
    """Wait for what a worker makes of the image; one that no worker survives is an image that failed."""
    try:
        return pool.result(task)
    except WorkerLost as lost:
        return Prepared(lost.reason, 0.0)


def _record(image: ImageSource, prepared: Prepared) -> Record:
    seconds = {"decode": prepared.seconds}
    size = image.image.num_bytes
    return Record(image.key, image.source, size, prepared.reason, prepared.note, seconds=seconds)


def _size(prepared: Prepared) -> tuple[int, ...] | None:
    return None if prepared.pixels is None else prepared.pixels.shape


def _metadata(image: ImageSource, prepared: Prepared, ready: ReadySketcher) -> dict[str, Any]:
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
        "meta": dict(prepared.metadata),
    }


def _is_done(pending: _Pending) -> bool:
    return pending[1] is None or pending[1].done()


def _finish(pending: _Pending, pool: WorkerPool) -> Record:
    record, task = pending
    if task is None:
        return record
    try:
        sketches, spent = pool.result(task)
    except WorkerLost as lost:
        return replace(record, reason=lost.reason, seconds={})
    return replace(record, sketches=sketches, seconds={**record.seconds, "encode": spent})
