"""Captions in tables beside the images, as Hugging Face's image folders have them: metadata.jsonl and metadata.csv."""

from __future__ import annotations

import csv
import io
import os
import posixpath
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources.source import FileState, open_state
from sketchforge.utils.files import parse_json

TABLES = ("metadata.jsonl", "metadata.csv")
NAME, CAPTIONS = (
    "file_name",
    ("text", "caption", "prompt"),
)  # the columns that are read; of captions the first there is
MAX_BYTES = 1 << 30
MAX_LINE = 64 << 20


def read_captions(files: Mapping[str, FileState]) -> tuple[dict[str, str], set[str]]:
    """The captions that tables among `files` (path relative to a folder -> state) give, by path; and the tables' paths.

    Of two captions of an image that in the deeper folder counts, in one table the first. Tables without a column
    `file_name` are none. Raises UsageError where a table is malformed, SketchforgeError where it cannot be read.
    """
    captions: dict[str, str] = {}
    used = set()
    tables = [name for name in files if name.rpartition("/")[2].lower() in TABLES]
    for name in sorted(tables, key=lambda name: (name.count("/"), os.fsencode(name))):
        folder = name.rpartition("/")[0]
        rows = _read_rows(files[name])
        of_table: dict[str, str] = {}
        for row in rows:
            if row is None:
                break
            used.add(name)
            path = posixpath.normpath(posixpath.join(folder, row[0]))
            if row[1]:
                of_table.setdefault(path, row[1])
        captions |= of_table
    return captions, used


def _read_rows(state: FileState) -> Iterator[tuple[str, str] | None]:
    """Yield (file name, caption or "") of every row; None in place of the first where it has no file name."""
    path = state.path
    if state.size > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES >> 30} GiB, not read as a table of captions")
    try:
        with open_state(state) as file:
            yield from (_read_csv(file, path) if path.lower().endswith(".csv") else _read_jsonl(file, path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SketchforgeError(f"{path}: cannot be read as a table of captions ({error})") from error


def _read_jsonl(file: BinaryIO, path: str) -> Iterator[tuple[str, str] | None]:
    for number in range(1, 1 << 62):
        line = file.readline(MAX_LINE)
        if not line:
            return
        if not line.strip():
            continue
        try:
            row = parse_json(line.removeprefix(b"\xef\xbb\xbf"))
        except ValueError as error:
            raise UsageError(
                f"{path}: line {number}: not JSON ({error}); expected an object a line"
            ) from error
        if not isinstance(row, dict) or not isinstance(row.get(NAME), str):
            if number == 1:
                yield None
                return
            raise UsageError(f"{path}: line {number}: expected an object with {NAME}")
        texts = (row.get(column) for column in CAPTIONS)
        yield row[NAME], next((text for text in texts if isinstance(text, str)), "")


def _read_csv(file: BinaryIO, path: str) -> Iterator[tuple[str, str] | None]:
    reader = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
    head = [cell.strip() for cell in next(reader, [])]
    if NAME not in head:
        yield None
        return
    name, caption = (
        head.index(NAME),
        next((head.index(column) for column in CAPTIONS if column in head), None),
    )
    for row in reader:
        if not row:
            continue
        if len(row) != len(head):
            raise UsageError(f"{path}: line {reader.line_num}: {len(row)} columns, expected {len(head)}")
        yield row[name], "" if caption is None else row[caption]
