"""The rows of a parquet file that holds images: which columns they are in, and the bytes of one after another."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO

from sketchforge.errors import UsageError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

ENDING = ".parquet"
IMAGES = (
    "image",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "img",
    "photo",
    "picture",
)  # names of columns, the first counts
CAPTIONS = ("text", "caption", "prompt")
KEYS = ("key", "__key__")
BATCH = 16  # rows in memory: images of megabytes
_BUFFER = 1 << 20  # bytes that are read at a time


class ParquetError(ValueError):
    """A parquet file that is damaged, or none."""


@dataclass(frozen=True)
class ImageColumns:
    """The names of a file's columns; None where there is none."""

    image: str
    caption: str | None
    key: str | None

    @property
    def texts(self) -> list[str]:
        return [name for name in (self.caption, self.key) if name is not None]


def is_parquet(path: str) -> bool:
    return path.lower().endswith(ENDING)


def open_parquet(file: BinaryIO) -> pyarrow.parquet.ParquetFile:
    """Open a parquet file, reading its footer alone.

    Raises ParquetError, and UsageError where pyarrow is missing.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError(
            "reading parquet needs pyarrow, which is not installed; pip install 'sketchforge[datasets]'"
        ) from error
    with parquet_errors():
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)


@contextmanager
def parquet_errors() -> Iterator[None]:
    """Turn what pyarrow raises for damaged files into ParquetError, with the first line of its message."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ParquetError(line[:200]) from error


def find_columns(schema: pyarrow.Schema) -> ImageColumns | None:
    """The columns of a file with this schema; None where none holds images.

    Images are bytes, or Hugging Face's bytes and path. A column that the file itself calls one of images counts before
    others, then one of the names of IMAGES, then any of bytes and path.
    """
    import pyarrow as pa

    def holds_bytes(name: str) -> bool:
        kind = schema.field(name).type
        if pa.types.is_struct(kind):
            kind = kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else kind
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    names = [name for name in schema.names if schema.names.count(name) == 1]
    texts = [
        name
        for name in names
        if pa.types.is_string(schema.field(name).type) or pa.types.is_large_string(schema.field(name).type)
    ]
    declared = _list_declared(schema)
    candidates = [name for name in names if holds_bytes(name)]
    structs = [name for name in candidates if pa.types.is_struct(schema.field(name).type)]
    images = [name for name in candidates if name in declared] or candidates
    image = next(
        (name for name in IMAGES if name in images),
        images[0] if images and images != candidates else next(iter(structs), None),
    )
    if image is None:
        return None
    return ImageColumns(image, _first(CAPTIONS, texts), _first(KEYS, texts))


def _list_declared(schema: pyarrow.Schema) -> list[str]:
    """The columns that the file's own description, by Hugging Face, calls images."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [name for name, kind in features.items() if kind.get("_type") == "Image"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return []


def _first(wanted: tuple[str, ...], names: list[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def read_row(state: Hashable, row: int, open_file: Callable[[Any], BinaryIO]) -> bytes:
    """The bytes of the image in a row of a file, b"" where it is null; paths in rows are never followed.

    Reading forward costs each row group once: the place is kept. Raises ParquetError, and what `open_file` raises.
    """
    return _open_rows(state, open_file).read(row)


@lru_cache(maxsize=2)  # a shard may end in one file and begin in the next
def _open_rows(state: Hashable, open_file: Callable[[Any], BinaryIO]) -> _Rows:
    return _Rows(open_file(state))


class _Rows:
    """The images of an open file, a few at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = open_parquet(file)
        with parquet_errors():
            columns = find_columns(self._file.schema_arrow)
            metadata = self._file.metadata
            sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        if columns is None:
            raise ParquetError("no column of images")
        self._column = columns.image
        self._starts = [0, *accumulate(sizes)]
        self._group = -1
        self._begin = 0  # the row that the batch begins with
        self._batch: Sequence[Any] = ()
        self._batches: Iterator[Any] = iter(())

    def read(self, row: int) -> bytes:
        group = bisect_right(self._starts, row) - 1
        if not 0 <= group < len(self._starts) - 1:
            raise ParquetError(f"it has no row {row}")
        if row < self._begin or group != self._group:
            self._restart(group)
        with parquet_errors():
            while row >= self._begin + len(self._batch):
                self._begin += len(self._batch)
                self._batch = ()
                # Of a row group that is damaged, nothing comes any more: it is not read again for each row.
                if (batch := next(self._batches, None)) is None:
                    raise ParquetError("its row group ends early")
                self._batch = batch.column(0)
            value: Any = self._batch[row - self._begin].as_py()
        if isinstance(value, dict):
            value = value.get("bytes")
        return value if isinstance(value, bytes) else b""

    def _restart(self, group: int) -> None:
        self._group, self._begin = group, self._starts[group]
        self._batch, self._batches = (), self._iterate(group)

    def _iterate(self, group: int) -> Iterator[Any]:
        # A generator, which ends with the first error.
        yield from self._file.iter_batches(
            batch_size=BATCH, row_groups=[group], columns=[self._column], use_threads=False
        )
