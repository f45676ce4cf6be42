"""Drawings in stroke-3, as sketch-rnn reads them: (dx, dy, whether the pen is lifted after it), in one .npz.

sketch-rnn's own files hold arrays of objects, which only pickle reads. Here the drawings of a part lie one after
another in one array, and a second one says where each begins.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from sketchforge.convert.drawings import LineDrawing, simplify_lines
from sketchforge.utils.files import atomic_write
from sketchforge.utils.seeding import uniforms

# Parts and where each ends, in a number that follows from the key: all drawings of an image are in one part.
PARTS = (("train", 0.9), ("valid", 0.95), ("test", 1.0))
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # so that equal drawings are equal bytes


class Stroke3File:
    """Gathers drawings by parts: their points in temporary files, so that memory does not grow with them."""

    def __init__(self, files: Sequence[IO[bytes]]) -> None:
        self._files = dict(zip((name for name, _ in PARTS), files, strict=True))
        self._lengths: dict[str, list[int]] = {name: [] for name, _ in PARTS}
        self._keys: dict[str, list[str]] = {name: [] for name, _ in PARTS}
        self._hands: dict[str, list[str]] = {name: [] for name, _ in PARTS}

    def has(self, key: str) -> bool:
        return False

    def add(self, drawing: LineDrawing) -> None:
        part = part_of(drawing.key)
        offsets = to_stroke3(simplify_lines(drawing.hand))
        self._files[part].write(offsets.astype("<i2").tobytes())
        self._lengths[part].append(len(offsets))
        self._keys[part].append(drawing.key)
        self._hands[part].append(drawing.hand.name)

    def write(self, target: BinaryIO) -> None:
        """The arrays PART, PART_offsets, PART_keys and PART_hands of every part, as an .npz file."""
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, file in self._files.items():
                lengths = self._lengths[part]
                begins = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype("<i8")
                with archive.open(_entry(part), "w", force_zip64=True) as member:
                    header = {"descr": "<i2", "fortran_order": False, "shape": (int(begins[-1]), 3)}
                    np.lib.format.write_array_header_1_0(member, header)
                    file.seek(0)
                    while chunk := file.read(1 << 20):
                        member.write(chunk)
                names: dict[str, Any] = {
                    "offsets": begins,
                    "keys": self._keys[part],
                    "hands": self._hands[part],
                }
                for name, values in names.items():
                    array = np.array(values) if len(values) else np.array([], "<U1")
                    with archive.open(_entry(f"{part}_{name}"), "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)


@contextmanager
def open_stroke3(out: Path, names: Sequence[str]) -> Iterator[Stroke3File]:
    """The file appears when all drawings are in it."""
    with ExitStack() as files, atomic_write(out) as target:
        writer = Stroke3File([files.enter_context(tempfile.TemporaryFile()) for _ in PARTS])
        yield writer
        writer.write(target)


def part_of(key: str) -> str:
    """Which part an image's drawings belong to."""
    place = float(uniforms(1, 0, "part", key)[0])
    return next(name for name, end in PARTS if place < end)


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
