"""Drawings as lines of JSON, in the format of Quick, Draw!'s simplified drawings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sketchforge.convert.drawings import LineDrawing, simplify_lines
from sketchforge.utils.files import atomic_write
from sketchforge.utils.seeding import derive_seed


class NdjsonFile:
    """Writes drawings into one file, a line each."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def has(self, key: str) -> bool:
        return False

    def add(self, drawing: LineDrawing) -> None:
        entry = {
            "word": drawing.word,
            # A number, as readers of the format expect one; it follows from the two names.
            "key_id": str(derive_seed(0, "key_id", drawing.key, drawing.hand.name)),
            "recognized": True,
            "drawing": [line.T.tolist() for line in simplify_lines(drawing.hand)],
            "key": drawing.key,
            "hand": drawing.hand.name,
            "split": drawing.part,
        }
        self._file.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


@contextmanager
def open_ndjson(out: Path, names: Sequence[str]) -> Iterator[NdjsonFile]:
    """The file appears when all drawings are in it."""
    with atomic_write(out) as file:
        yield NdjsonFile(file)
