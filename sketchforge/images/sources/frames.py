"""Animated images and videos as inputs: each becomes as many images as frames are taken of it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from sketchforge.images.decode import REASONS, UNREADABLE, ImageError
from sketchforge.images.frames import (
    ANIMATED_EXTENSIONS,
    choose_frames,
    count_animation,
    count_video,
    digest_file,
    is_video,
)
from sketchforge.images.sources.keys import check_keys, frame_key
from sketchforge.images.sources.source import ImageSource
from sketchforge.images.sources.table import UNUSABLE, ImageTable, Places, TextColumn
from sketchforge.utils.progress import Progress
from sketchforge.utils.stderr import captured_stderr
from sketchforge.utils.text import count_noun
from sketchforge.utils.worker_pool import Task, WorkerLost, WorkerPool

_AHEAD = 64  # files that are waited for


def expand_frames(
    images: ImageTable,
    most: int,
    open_pool: Callable[[], AbstractContextManager[WorkerPool]],
    progress: Progress | None = None,
) -> ImageTable:
    """Put, in the place of every animated image and every video, at most `most` frames of it, evenly spaced.

    A frame's key is that of its file and its number from 1: KEY-f0001. Still images stay as they are. A video that cannot
    be read becomes one image that fails. Files are looked into by processes of `open_pool`, for they may be anybody's.
    Raises UsageError where a frame has the key of another image.
    """
    progress = progress or Progress()
    endings = (source.rpartition(".")[2].lower() for _, source in images.names())
    moving = [
        position
        for position, ending in enumerate(endings)
        if ending in ANIMATED_EXTENSIONS or is_video(f".{ending}")
    ]
    if not moving:
        return images
    with progress.track("file", len(moving)), open_pool() as pool:
        counted = dict(_count_all(images, moving, pool, progress))
    repeats, numbers, unusable = np.ones(len(images), np.int64), list[int](), dict[int, int]()
    last = 0
    for position, count in sorted(counted.items()):
        name = images[position].source
        if count < 0:
            unusable[position] = count
        if count > 1 or (count == 1 and is_video(name)):
            chosen = choose_frames(count, most)
            repeats[position] = len(chosen)
            numbers += [-1] * (position - last) + chosen
            last = position + 1
    numbers += [-1] * (len(images) - last)
    expanded = _repeat(images, repeats, np.array(numbers, np.int32), unusable)
    check_keys(expanded)
    return expanded


def source_digest(image: ImageSource) -> str:
    """The SHA-256 of the file, or the member of a tar, that an image is of. Raises ImageError."""
    if image.frame is not None and is_video(image.source):
        assert image.image.file is not None
        try:
            return digest_file(*image.image.file)
        except OSError as error:
            raise ImageError(UNREADABLE, str(error)) from error
    return hashlib.sha256(image.read()).hexdigest()


def _count_all(
    images: ImageTable, positions: list[int], pool: WorkerPool, progress: Progress
) -> Iterator[tuple[int, int]]:
    """Yield the positions and the frames of their images; for a video that cannot be read the number of a reason."""
    waiting: deque[tuple[int, str, Task]] = deque()
    found = 0
    for position in [*positions, *[None] * len(positions)]:
        if position is not None:
            image = images[position]
            waiting.append((position, image.source, pool.submit(_count_frames, image)))
        while waiting and (position is None or len(waiting) > _AHEAD):
            at, source, task = waiting.popleft()
            try:
                count: int = pool.result(task, source)
            except WorkerLost:
                count = _number_of(UNREADABLE) if is_video(source) else 1
            found += count > 1
            progress.advance(found=count_noun(found, "animation"))
            yield at, count


def _count_frames(image: ImageSource) -> int:
    with captured_stderr():  # what is wrong with a file is said when it is read
        try:
            if not is_video(image.source):
                return count_animation(image.read())
            if image.image.file is None or image.image.reason is not None:
                return _number_of(image.image.reason or UNREADABLE)
            return count_video(image.image.file.path)
        except (ImageError, OSError) as error:
            reason = error.reason if isinstance(error, ImageError) else UNREADABLE
            return _number_of(reason) if is_video(image.source) else 1


def _number_of(reason: str) -> int:
    """The number of a reason in a table, in the place of that of a file."""
    return UNUSABLE - REASONS.index(reason)


def _repeat(
    images: ImageTable, repeats: np.ndarray, frames: np.ndarray, unusable: Mapping[int, int]
) -> ImageTable:
    """The table with each image so often.

    frames: the number of each, from 0, -1 for a still one, int32 (N,). unusable: position -> number of the reason.
    """
    columns, rows = images.columns, images.rows
    kept = np.repeat(
        np.arange(rows.start, rows.stop, rows.step) if isinstance(rows, range) else rows, repeats
    )
    names = bytearray()
    ends = np.zeros(len(kept) + 1, np.int64)
    for number, (text, frame) in enumerate(zip(columns.names.take(kept), frames.tolist(), strict=True)):
        if frame >= 0:
            key, _, rest = text.decode().partition("\0")
            text = f"{frame_key(key, frame + 1)}\0{rest}".encode()
        names += text
        ends[number + 1] = len(names)
    places = [None if of_kind is None else _take(of_kind, kept) for of_kind in columns.places]
    image = places[0]
    assert image is not None
    for position, reason in unusable.items():  # none of them is repeated
        image.number[int(repeats[:position].sum())] = reason
    return ImageTable(
        replace(
            columns,
            names=TextColumn(np.frombuffer(bytes(names), np.uint8), ends),
            image=image,
            caption=places[1],
            metadata=places[2],
            mask=places[3],
            frames=frames,
        )
    )


def _take(places: Places, rows: np.ndarray) -> Places:
    return replace(places, number=places.number[rows], offset=places.offset[rows], size=places.size[rows])
