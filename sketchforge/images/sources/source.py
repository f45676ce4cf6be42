"""Bytes to be read later: a file, a range of a tar, or memory; reading detects changed files."""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import (
    CHANGED,
    GONE,
    MAX_BYTES,
    MISSING,
    NOT_A_FILE,
    TOO_LARGE,
    TRUNCATED,
    UNREADABLE,
    ImageError,
)
from sketchforge.images.sources.parquet_rows import ParquetError, is_parquet, read_row
from sketchforge.storage.fetch import MissingFileError, fetch_bytes
from sketchforge.storage.filesystems import is_url
from sketchforge.storage.listing import find_status
from sketchforge.storage.remote_file import open_url
from sketchforge.utils.files import NotAFileError, open_file


class FileState(NamedTuple):
    """Path or URL, size and time of a file when it was found; size -1 where `os.stat` failed."""

    path: str
    size: int
    modified: int  # nanoseconds

    @classmethod
    def now(cls, path: str) -> FileState:
        """The state of a file at present. Raises SketchforgeError where a URL cannot be reached."""
        if is_url(path):
            return cls(path, *find_status(path))
        try:
            status = os.stat(path)
        except OSError:
            return cls(path, -1, 0)
        return cls(path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class ByteSource:
    """`num_bytes` from `offset` on in `file` (in its unpacked contents, if `gzipped`); or `data`.

    Of a parquet file, `offset` is the row, and `num_bytes` but an estimate.
    `reason`: why the bytes are known to be unusable (one of `decode.REASONS`), or None.
    """

    num_bytes: int
    file: FileState | None = None
    offset: int = 0
    gzipped: bool = False
    data: bytes | None = field(default=None, repr=False)
    reason: str | None = None

    @classmethod
    def of_file(cls, file: FileState) -> ByteSource:
        return cls(file.size, file)

    @classmethod
    def of_text(cls, text: str) -> ByteSource:
        data = text.encode(errors="replace")  # JSON may name halves of characters
        return cls(len(data), data=data)

    def read(self) -> bytes:
        """The bytes.

        Raises ImageError `too large`, `unreadable`, `truncated`, `gone`, `changed` or `not a file`.
        """
        if self.data is not None:
            return self.data
        if self.reason is not None:
            raise ImageError(self.reason)
        assert self.file is not None
        if self.num_bytes > MAX_BYTES:
            raise ImageError(TOO_LARGE, self.file.path)
        try:
            if is_parquet(self.file.path):
                return self._read_row(self.file)
            data = self._read_gzipped(self.file) if self.gzipped else self._read_plain(self.file)
        except FileNotFoundError as error:
            raise ImageError(MISSING if self.file.size < 0 else GONE, self.file.path) from error
        except NotAFileError as error:
            raise ImageError(NOT_A_FILE, self.file.path) from error
        except (EOFError, zlib.error, ParquetError) as error:
            raise ImageError(UNREADABLE, f"{self.file.path}: {error}") from error
        except ImageError:
            raise
        except MissingFileError as error:
            raise ImageError(GONE, str(error)) from error
        except SketchforgeError as error:
            raise ImageError(UNREADABLE, str(error)) from error
        except OSError as error:
            reason = MISSING if error.errno == errno.ELOOP else UNREADABLE  # a link that leads to itself
            raise ImageError(reason, f"{self.file.path}: {error.strerror or error}") from error
        if len(data) != self.num_bytes:
            raise ImageError(TRUNCATED, self.file.path)
        return data

    def _read_plain(self, state: FileState) -> bytes:
        if is_url(state.path):
            return fetch_bytes(state.path, self.num_bytes, offset=self.offset)
        with open_file(state.path) as file:
            _check_unchanged(file, state)
            file.seek(self.offset)
            return file.read(self.num_bytes)

    def _read_gzipped(self, state: FileState) -> bytes:
        file, stream = _open_gzip(state, self.offset)
        if not is_url(state.path):
            _check_unchanged(file, state)
        stream.seek(self.offset)
        return stream.read(self.num_bytes)

    def _read_row(self, state: FileState) -> bytes:
        data = read_row(state, self.offset, _open_unchanged)
        if len(data) > MAX_BYTES:
            raise ImageError(TOO_LARGE, state.path)
        return data


def open_state(state: FileState) -> BinaryIO:
    """Open a file, here or elsewhere, as it was found. Raises OSError and SketchforgeError."""
    return open_url(state.path, state.size) if is_url(state.path) else open_file(state.path)


def _open_unchanged(state: FileState) -> BinaryIO:
    file = open_state(state)
    if not is_url(state.path):
        _check_unchanged(file, state)
    return file


def _check_unchanged(file: BinaryIO, state: FileState) -> None:
    """Raise ImageError `changed` if the open file's size or time differ from those that were planned with."""
    status = os.fstat(file.fileno())
    if (status.st_size, status.st_mtime_ns) != (state.size, state.modified):
        raise ImageError(CHANGED, state.path)


MAX_STREAMS = 3  # of one file: a tar may hold images, captions and metadata in parts of their own


@lru_cache(maxsize=2)  # a shard may end in one tar and begin in the next
def _list_streams(state: FileState) -> list[tuple[BinaryIO, gzip.GzipFile]]:
    """The open streams of a gzipped file, last used last."""
    return []


def _open_gzip(state: FileState, offset: int) -> tuple[BinaryIO, gzip.GzipFile]:
    """Open a gzip stream at or before `offset` of the unpacked contents, and keep it open.

    Reading forward (without shuffling) unpacks the file only once, or once for each of the parts that are read
    in turn.
    """
    streams = _list_streams(state)
    nearest = max(
        (stream for stream in streams if stream[1].tell() <= offset),
        key=lambda stream: stream[1].tell(),
        default=None,
    )
    if nearest is None and len(streams) < MAX_STREAMS:
        file = open_state(state)
        streams.append((file, gzip.GzipFile(fileobj=file)))
        return streams[-1]
    chosen = nearest or streams[0]
    streams.remove(chosen)
    streams.append(chosen)
    return chosen


# One image to be read, and its caption and metadata.


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One image of the input.

    `source` is the path relative to the input, with forward slashes; for a tar: `NAME.tar/MEMBER`.
    """

    key: str
    source: str
    image: ByteSource
    caption: ByteSource | None = None  # text
    metadata: ByteSource | None = None  # a JSON object
    mask: ByteSource | None = None  # an image, light where the subject is
    frame: int | None = field(
        default=None, kw_only=True
    )  # of an animated image or a video, from 0; None: the image is a still one

    def read(self) -> bytes:
        """The encoded image; raises ImageError where it cannot be read."""
        return self.image.read()
