"""Millions of images in little memory: their names and places by column, an `ImageSource` only when it is asked for.

An image takes its names, 28 bytes, and 20 for each of image, caption and metadata. Columns lie in memory
(`TableBuilder`) or in an index that is mapped (`index_file.py`); the order of the images is a column of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import overload

import numpy as np

from sketchforge.images.decode import REASONS
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource

# In place of a file's number: nothing is there; the bytes are the table's own; from UNUSABLE down, a reason.
ABSENT, INLINE, UNUSABLE = -1, -2, -3
_CHUNK = 4096  # images whose columns are looked at together
_DIGESTED = 1 << 20  # bytes


class TextColumn:
    """Texts one after another: `blob`, uint8, and `ends`, int64 (N+1,), where text i is ends[i]:ends[i+1]."""

    def __init__(self, blob: np.ndarray, ends: np.ndarray) -> None:
        self.blob, self.ends = blob.data, ends

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, number: int) -> bytes:
        return bytes(self.blob[self.ends[number] : self.ends[number + 1]])

    def take(self, rows: range | np.ndarray) -> Iterator[bytes]:
        """Yield the texts of some rows, in their order."""
        blob = self.blob
        for chunk in _cut(rows):
            ends = self.ends[chunk + 1].tolist()
            for start, end in zip(self.ends[chunk].tolist(), ends, strict=True):
                yield bytes(blob[start:end])


class FileTable:
    """The files that bytes lie in: path, size, time of change, and whether they are gzipped.

    folder: put before paths that are relative; "": they are as they are.
    """

    def __init__(
        self,
        paths: TextColumn,
        sizes: np.ndarray,
        modified: np.ndarray,
        gzipped: np.ndarray,
        folder: str = "",
    ) -> None:
        self.paths, self.sizes, self.modified, self.gzipped = paths, sizes, modified, gzipped
        self.folder = folder
        self._last: tuple[int, FileState] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, number: int) -> str:
        """A file's path as it is stored."""
        return os.fsdecode(self.paths[number])

    def state(self, number: int) -> FileState:
        """A file as it was when it was found."""
        if self._last is None or self._last[0] != number:  # the images of a tar follow one another
            path = os.path.join(self.folder, self.name(number))
            self._last = number, FileState(path, int(self.sizes[number]), int(self.modified[number]))
        return self._last[1]


@dataclass(frozen=True)
class Places:
    """Where one kind of content lies, of every image: number of the file (int32), offset and size (int64), each (N,)."""

    files: FileTable
    number: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    inline: bytes | bytearray | memoryview = b""  # contents that are INLINE

    def source(self, number: int, offset: int, size: int) -> ByteSource | None:
        """Make the source of the bytes that a row describes."""
        if number >= 0:
            return ByteSource(size, self.files.state(number), offset, bool(self.files.gzipped[number]))
        if number == ABSENT:
            return None
        if number == INLINE:
            return ByteSource(size, data=bytes(self.inline[offset : offset + size]))
        return ByteSource(size, reason=REASONS[UNUSABLE - number])

    def take(self, rows: np.ndarray) -> Iterator[ByteSource | None]:
        columns = (column[rows].tolist() for column in (self.number, self.offset, self.size))
        return map(self.source, *columns)


@dataclass(frozen=True)
class Columns:
    """The images as they were found. `names`: of each its key, a zero byte, its source and a line feed, in UTF-8.

    That is the text that a manifest digests. Places are None where no image has the content.
    """

    names: TextColumn
    image: Places
    caption: Places | None = None
    metadata: Places | None = None
    mask: Places | None = None
    frames: np.ndarray | None = (
        None  # int32 (N,): of each its frame, from 0, -1 for a still image; None: all are
    )

    @property
    def places(self) -> tuple[Places | None, ...]:
        """In the order of `ImageSource`'s fields."""
        return self.image, self.caption, self.metadata, self.mask


class ImageTable(Sequence[ImageSource]):
    """Images of `columns`, those of `rows` and in their order; slices share the columns."""

    __slots__ = ("columns", "rows")

    def __init__(self, columns: Columns, rows: range | np.ndarray | None = None) -> None:
        self.columns = columns
        self.rows = range(len(columns.names)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> ImageSource: ...
    @overload
    def __getitem__(self, index: slice) -> ImageTable: ...
    def __getitem__(self, index: int | slice) -> ImageSource | ImageTable:
        if isinstance(index, slice):
            return ImageTable(self.columns, self.rows[index])
        row = np.array([self.rows[index]])
        return next(self._make(row))

    def __iter__(self) -> Iterator[ImageSource]:
        for chunk in _cut(self.rows):
            yield from self._make(chunk)

    def take(self, positions: np.ndarray) -> ImageTable:
        """The images at these positions, int (M,), in their order."""
        rows = self.rows
        if isinstance(rows, range):
            return ImageTable(self.columns, positions * rows.step + rows.start)
        return ImageTable(self.columns, rows[positions])

    def with_masks(self, masks: Places) -> ImageTable:
        """The same images with masks, a row of `masks` for each row of the columns."""
        return ImageTable(replace(self.columns, mask=masks), self.rows)

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield (key, source) of every image."""
        for text in self.columns.names.take(self.rows):
            yield _split_names(text)

    def name_records(self) -> Iterator[bytes]:
        """Yield the names as they are digested, in order, many images at a time where they lie together."""
        rows, names = self.rows, self.columns.names
        if not (isinstance(rows, range) and rows.step == 1 and rows):
            yield from names.take(rows)
            return
        start, end = int(names.ends[rows.start]), int(names.ends[rows.stop])
        for at in range(start, end, _DIGESTED):
            yield bytes(names.blob[at : min(at + _DIGESTED, end)])

    def sizes(self) -> Iterator[tuple[str, Sequence[int]]]:
        """Yield every image's key and the bytes of image, caption, metadata and mask, -1 for what is absent."""
        for chunk in _cut(self.rows):
            columns = [
                repeat(-1) if places is None else _known_sizes(places, chunk)
                for places in self.columns.places
            ]
            for text, *sizes in zip(self.columns.names.take(chunk), *columns, strict=False):
                yield _split_names(text)[0], sizes

    def total_bytes(self) -> int:
        """The bytes of all images, those that are missing left out."""
        sizes = (np.maximum(self.columns.image.size[chunk], 0).sum() for chunk in _cut(self.rows))
        return int(sum(sizes))

    @property
    def captioned(self) -> bool:
        """Whether any image has a caption."""
        caption = self.columns.caption
        if caption is None:
            return False
        return any((caption.number[chunk] != ABSENT).any() for chunk in _cut(self.rows))

    @property
    def all_unusable(self) -> bool:
        """Whether of every image it is known that it cannot be used."""
        return all((self.columns.image.number[chunk] <= UNUSABLE).all() for chunk in _cut(self.rows))

    def _make(self, rows: np.ndarray) -> Iterator[ImageSource]:
        """Make the images of some rows of the columns."""
        contents = (repeat(None) if places is None else places.take(rows) for places in self.columns.places)
        numbers = self.columns.frames
        frames = repeat(-1) if numbers is None else numbers[rows].tolist()
        names = self.columns.names.take(rows)
        for text, frame, image, caption, metadata, mask in zip(names, frames, *contents, strict=False):
            assert image is not None
            key, source = _split_names(text)
            yield ImageSource(
                key, source, image, caption, metadata, mask, frame=frame if frame >= 0 else None
            )


def _split_names(text: bytes) -> tuple[str, str]:
    key, _, source = text.decode(errors="replace").partition("\0")  # all is UTF-8 unless an index was altered
    return key, source[:-1]


def _known_sizes(places: Places, rows: np.ndarray) -> list[int]:
    """The sizes of contents, -1 for those that are absent."""
    sizes: list[int] = np.where(places.number[rows] == ABSENT, -1, places.size[rows]).tolist()
    return sizes


def _cut(rows: range | np.ndarray) -> Iterator[np.ndarray]:
    """Cut rows into arrays of a few thousand."""
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        yield np.arange(part.start, part.stop, part.step) if isinstance(part, range) else part
