"""Images in parquet files, as Hugging Face's data sets have them: a row for each.

A file's footer says how many rows there are and which columns; keys and captions are read with it, images later, one
after another. The key of an image is that of its row, in a column `key` or `__key__`; where there is none, it comes of the
file's name and the row's number. Rows that follow one another with the same key are one image (with several sketches, as
`convert --to parquet` writes them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import repeat
from typing import TYPE_CHECKING

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import UNREADABLE
from sketchforge.images.sources.keys import as_text, image_key, sanitize_key
from sketchforge.images.sources.parquet_rows import (
    ENDING,
    IMAGES,
    ImageColumns,
    ParquetError,
    find_columns,
    open_parquet,
    parquet_errors,
)
from sketchforge.images.sources.passed_over import REPEATED_ROWS
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource, open_state

if TYPE_CHECKING:
    import pyarrow.parquet

_TEXT_ROWS = 4096  # whose keys and captions are read together


def images_in_parquet(
    path: str, name: str, prefix_keys: bool, passed_over: Counter[str]
) -> Iterator[ImageSource]:
    """The images of a parquet file, in the order of its rows; `name` is its path relative to the input.

    A damaged file gives the images whose keys can be read and an unreadable one, named like the file. prefix_keys: the
    file's name is part of every key. Raises SketchforgeError when the file cannot be opened at all, UsageError where it
    has no column of images.
    """
    state = FileState.now(path)
    stem = name[: -len(ENDING)]
    last_key = None
    try:
        with ExitStack() as files:
            file = _open(state, files)
            with parquet_errors():
                columns = find_columns(file.schema_arrow)
            if columns is None:
                raise UsageError(
                    f"{path}: no column of images; expected one of bytes, or of bytes and path, called "
                    f"{', '.join(IMAGES)}, found {', '.join(file.schema_arrow.names)[:200] or 'no columns'}"
                )
            sizes = _list_sizes(file, columns, state)
            texts = _read_texts(file, columns)
            for row, (size, (caption, key)) in enumerate(zip(sizes, texts, strict=False)):
                if key is not None and key == last_key:
                    passed_over[REPEATED_ROWS] += 1
                    continue
                last_key = key
                if key:
                    full_key = image_key(f"{stem}/{key}.jpg") if prefix_keys else sanitize_key(key)
                else:
                    full_key = image_key(f"{stem}/{row:08d}.jpg")
                yield ImageSource(
                    full_key,
                    f"{as_text(name)}/{row}",
                    ByteSource(size, state, row),
                    ByteSource.of_text(caption) if caption else None,
                )
    except ParquetError:
        yield ImageSource(
            image_key(f"{name}.damaged"), as_text(name), ByteSource(state.size, reason=UNREADABLE)
        )


def _open(state: FileState, files: ExitStack) -> pyarrow.parquet.ParquetFile:
    try:
        return open_parquet(files.enter_context(open_state(state)))
    except OSError as error:
        raise SketchforgeError(f"{state.path}: cannot be read ({error.strerror or error})") from error


def _list_sizes(file: pyarrow.parquet.ParquetFile, columns: ImageColumns, state: FileState) -> Iterator[int]:
    """Yield the bytes of every row's image: the mean of its row group, for footers know no more."""
    with parquet_errors():
        metadata = file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        if sum(group.num_rows for group in groups) > max(0, state.size):
            raise ParquetError("more rows than bytes")  # they would be looked at one by one
        for group in groups:
            chunks = (group.column(number) for number in range(group.num_columns))
            num_bytes = sum(
                chunk.total_uncompressed_size
                for chunk in chunks
                if chunk.path_in_schema in (columns.image, f"{columns.image}.bytes")
            )
            for _ in range(group.num_rows):
                yield max(0, num_bytes) // group.num_rows


def _read_texts(
    file: pyarrow.parquet.ParquetFile, columns: ImageColumns
) -> Iterator[tuple[str | None, str | None]]:
    """Yield (caption, key) of every row, None for what is not there."""
    if not columns.texts:
        yield from repeat((None, None))
    with parquet_errors():
        for batch in file.iter_batches(_TEXT_ROWS, columns=columns.texts, use_threads=False):
            texts = [
                [None] * len(batch) if name is None else batch.column(name).to_pylist()
                for name in (columns.caption, columns.key)
            ]
            yield from zip(*texts, strict=True)
    raise ParquetError("fewer rows than its footer says")
