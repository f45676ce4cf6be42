"""Drawings in stroke-3, as sketch-rnn reads them: (dx, dy, whether the pen is lifted after it), in one .npz.

sketch-rnn's own files hold arrays of objects, which only pickle reads. Here the drawings of a part lie one after
another in one array, and a second one says where each begins. Parts are train, valid and test, and further splits of
the shards.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from sketchforge.convert.drawings import PARTS, LineDrawing, simplify_lines
from sketchforge.errors import UsageError
from sketchforge.utils.files import atomic_write

COLUMNS = ("offsets", "keys", "hands")  # of a part's drawings, an array for each
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # so that equal drawings are equal bytes


@dataclass
class _Part:
    """The drawings of a part: their points in a temporary file, so that memory does not grow with them."""

    file: IO[bytes]
    lengths: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    hands: list[str] = field(default_factory=list)


class Stroke3File:
    """Gathers drawings by parts. new_file: opens a temporary file."""

    def __init__(self, new_file: Callable[[], IO[bytes]]) -> None:
        self._new_file = new_file
        self._parts = {name: _Part(new_file()) for name, _ in PARTS}

    def has(self, key: str) -> bool:
        return False

    def add(self, drawing: LineDrawing) -> None:
        part = self._parts.get(drawing.part) or self._begin_part(drawing.part)
        offsets = to_stroke3(simplify_lines(drawing.hand))
        part.file.write(offsets.astype("<i2").tobytes())
        part.lengths.append(len(offsets))
        part.keys.append(drawing.key)
        part.hands.append(drawing.hand.name)

    def _begin_part(self, name: str) -> _Part:
        if name.endswith(tuple(f"_{column}" for column in COLUMNS)):
            raise UsageError(
                f"--to stroke3: the split {name} has a name that arrays of the file have; try --to ndjson"
            )
        return self._parts.setdefault(name, _Part(self._new_file()))

    def write(self, target: BinaryIO) -> None:
        """The arrays PART, PART_offsets, PART_keys and PART_hands of every part, as an .npz file."""
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, part in self._parts.items():
                begins = np.concatenate([[0], np.cumsum(part.lengths, dtype=np.int64)]).astype("<i8")
                with archive.open(_entry(name), "w", force_zip64=True) as member:
                    header = {"descr": "<i2", "fortran_order": False, "shape": (int(begins[-1]), 3)}
                    np.lib.format.write_array_header_1_0(member, header)
                    part.file.seek(0)
                    while chunk := part.file.read(1 << 20):
                        member.write(chunk)
                columns: tuple[Sequence[Any] | np.ndarray, ...] = (begins, part.keys, part.hands)
                for column, values in zip(COLUMNS, columns, strict=True):
                    array = np.array(values) if len(values) else np.array([], "<U1")
                    with archive.open(_entry(f"{name}_{column}"), "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)


@contextmanager
def open_stroke3(out: Path, names: Sequence[str]) -> Iterator[Stroke3File]:
    """The file appears when all drawings are in it."""
    with ExitStack() as files, atomic_write(out) as target:
        writer = Stroke3File(lambda: files.enter_context(tempfile.TemporaryFile()))
        yield writer
        writer.write(target)


def to_stroke3(lines: Sequence[np.ndarray]) -> np.ndarray:
    """Lines, (n,2) each -> int64 (points,3): the step to each point, 1 where the pen is lifted after it.

    The first step is from 0, 0, with the pen lifted.
    """
    if not lines:
        return np.zeros((0, 3), np.int64)
    points = np.concatenate(lines)
    offsets = np.zeros((len(points), 3), np.int64)
    offsets[:, :2] = np.diff(points, axis=0, prepend=0)
    offsets[np.cumsum([len(line) for line in lines]) - 1, 2] = 1
    return offsets


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{name}.npy", _NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
