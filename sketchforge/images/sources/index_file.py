"""The file of an index: the columns of its images, to be mapped, and a record of where they lie.

It is a safetensors file, which has no code in it and which other programs read: eight bytes of length, a header of
JSON with names, types and places, and the columns as they lie in memory. A task that plans reads the pages that it
needs and shares them with the other tasks of its machine.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.errors import SketchforgeError
from sketchforge.images.sources.table_builder import KINDS, column_names
from sketchforge.utils.files import atomic_write, check_format, has_shape, open_file, parse_json

FORMAT, VERSION = "sketchforge-index", 1
MAX_HEADER = 1 << 30  # bytes
INLINE_TEXT = "inline.blob"  # uint8: contents that lie in no file of their own, see `table.INLINE`
TAR_ROWS = "files.rows"  # int64 (files + 1,): the rows of tar i are those from rows[i] to rows[i + 1]
RECORD_SHAPE = {
    "folder": str,  # that names of files are relative to; ".": where the index lies
    "source": str,  # what was listed, relative to that folder; ".": the folder itself
    "is_folder": bool,  # a folder tree, else tars
    "prefix_keys": bool,
    "extensions": [str],  # of images, where it was made
    "reasons": [str],  # by whose places unusable images are numbered
    "passed_over": [{...: int}],  # of the folder, or of each tar
    "listings": {...: str},  # of a folder tree: `listing_digest` of each folder, by its path
}
_DTYPES = {"q": ("I64", 8), "i": ("I32", 4), "B": ("U8", 1)}


def write_index(path: Path, columns: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> None:
    """Write an index, by rename. Equal columns and records give equal bytes. Raises OSError."""
    codes = column_names() | {TAR_ROWS: "q", INLINE_TEXT: "B"}
    # The widest first, so that each begins at a multiple of its width.
    names = sorted(columns, key=lambda name: (-_DTYPES[codes[name]][1], name))
    header: dict[str, Any] = {
        "__metadata__": {
            "format": FORMAT,
            "version": str(VERSION),
            "record": json.dumps(dict(record), sort_keys=True),
        }
    }
    start = 0
    for name in names:
        dtype, width = _DTYPES[codes[name]]
        end = start + width * len(columns[name])
        header[name] = {"dtype": dtype, "shape": [len(columns[name])], "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(np.ascontiguousarray(columns[name]).data)


def read_index(path: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(record, columns by name, mapped) of an index.

    Raises SketchforgeError where it cannot be read, is damaged, or of another format or version.
    """
    try:
        with open_file(path) as file:
            num_bytes = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(MAX_HEADER, num_bytes - 8):
                raise ValueError("its header is cut off")
            header = parse_json(file.read(length))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        metadata = header.pop("__metadata__")
        check_format(path, metadata, FORMAT, VERSION)
        record = parse_json(metadata["record"])
        if not has_shape(record, RECORD_SHAPE):
            raise ValueError("its record is not that of an index")
        columns = _map_columns(mapped, 8 + length, header)
        _check_columns(columns, record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SketchforgeError(
            f"{path}: cannot be read as an index ({reason}); run `sketchforge index` again"
        ) from error
    return record, columns


def _map_columns(mapped: mmap.mmap, begin: int, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    columns, end_of_all = {}, begin
    codes = column_names() | {TAR_ROWS: "q", INLINE_TEXT: "B"}
    for name, entry in header.items():
        dtype, width = _DTYPES[codes[name]]
        start, end = entry["data_offsets"]
        if entry["dtype"] != dtype or start < 0 or end - start != width * entry["shape"][0]:
            raise ValueError(f"{name} is not as an index has it")
        # Raises ValueError where the file ends before.
        columns[name] = np.frombuffer(mapped, codes[name], entry["shape"][0], begin + start)
        end_of_all = max(end_of_all, begin + end)
    if end_of_all != len(mapped):
        raise ValueError(f"{len(mapped):,} bytes, expected {end_of_all:,}")
    return columns


def _check_columns(columns: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> None:
    """Raise ValueError where columns do not fit together: a reader would look beyond their ends."""
    absent = {name for kind in KINDS[1:] for name in column_names() if name.startswith(f"{kind}.")}
    if missing := set(column_names()) - absent - columns.keys():
        raise ValueError(f"{min(missing)} is missing")
    num_images, num_files = len(columns["names.ends"]) - 1, len(columns["files.sizes"])
    lengths = {f"{kind}.{name}": num_images for kind in KINDS for name in ("number", "offset", "size")}
    lengths |= {"files.ends": num_files + 1, "files.modified": num_files, "files.gzipped": num_files}
    lengths |= {} if record["is_folder"] else {TAR_ROWS: num_files + 1}
    for name, length in lengths.items():
        if name in columns and len(columns[name]) != length:
            raise ValueError(f"{name} has {len(columns[name]):,} values, expected {length:,}")
    ends = {"names.ends": len(columns["names.blob"]), "files.ends": len(columns["files.blob"])}
    ends |= {} if record["is_folder"] else {TAR_ROWS: num_images}
    for name, last in ends.items():
        values = columns[name]
        if values[0] != 0 or values[-1] != last or (values[1:] < values[:-1]).any():
            raise ValueError(f"{name} does not fit what it divides")
    for kind in KINDS:
        numbers = columns.get(f"{kind}.number", np.zeros(0, np.int32))
        if len(numbers) and not -2 - len(record["reasons"]) <= numbers.min() <= numbers.max() < num_files:
            raise ValueError(f"{kind}.number names a file that is not there")
    if len(record["passed_over"]) != (1 if record["is_folder"] else num_files):
        raise ValueError("what was passed over is not that of its files")
