"""Random access to a shard's samples: only the requested members are read and decoded."""

from __future__ import annotations

import re
import tarfile
import weakref
from collections.abc import Iterable

import cv2
import numpy as np

from sketchforge.images.decode import MAX_PIXELS, stored_size
from sketchforge.shards import schema
from sketchforge.shards.reader import StoredSample, keyed_members
from sketchforge.shards.shard_set import DamagedError, ShardSet
from sketchforge.strokes.stored import StoredStrokes, strokes_from_json

# The first bytes of an image and of a sketch or a mask, and the flag for OpenCV to decode each.
_MEMBER_FORMATS = ((b"\xff\xd8\xff", cv2.IMREAD_COLOR), (b"\x89PNG", cv2.IMREAD_GRAYSCALE))


class OpenShard:
    """A shard's open file and the spans of its members; `__init__` reads the tar's headers once.

    Raises DamagedError when the tar cannot be read or does not hold the samples that the manifest says.
    """

    def __init__(self, shards: ShardSet, number: int) -> None:
        self._shards, self._number = shards, number
        side = shards.side
        self._size = None if side is None else (side, side)
        self._max_bytes = schema.most_bytes(side)
        # The suffixes of a sample's member names, by column of `_spans`: the image, its sketches, its extras.
        self._suffixes = schema.sample_members(
            "", len(shards.styles), captioned=False, extras=shards.manifest["extras"]
        )[:-1]
        self._file = shards.open(number)
        # Datasets keep shards open; a file is closed with the shard that nobody holds any more.
        weakref.finalize(self, self._file.close)
        try:
            self._keys, self._spans = self._read_headers()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def read(self, place: int, sketches: Iterable[int]) -> StoredSample:
        """Read the sample at index `place` and these of its sketches, in this order; reads no other bytes.

        Raises DamagedError when one is missing, cannot be decoded, or has another size than the others.
        """
        key = self._keys[place]
        spans = self._spans[place].tolist()
        image = self._read_image(place, 0, spans[0], self._size)
        height, width = image.shape[:2]
        sketch_images = tuple(
            self._read_image(place, 1 + number, spans[1 + number], (width, height)) for number in sketches
        )
        return StoredSample(key, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), sketch_images)

    def read_strokes(self, place: int, size: tuple[int, int], hands: bool = False) -> StoredStrokes:
        """Read the strokes of the sample at index `place`, of a set that has them; `hands`: with the hands' lines.

        size: (height, width) of its image. Raises DamagedError when they are missing, cannot be read, or are of
        another size.
        """
        column, data = self._read_extra(place, schema.STROKES)
        try:
            strokes = strokes_from_json(data, hands)
        except ValueError as error:
            raise self._build_error(place, column, f"cannot be read ({error})") from error
        if strokes.size != size:
            (height, width), (high, wide) = strokes.size, size
            problem = f"of a picture of {width} x {height} pixels, expected {wide} x {high}"
            raise self._build_error(place, column, problem)
        return strokes

    def read_mask(self, place: int, size: tuple[int, int]) -> np.ndarray:
        """Read the mask of the sample at index `place`, of a set that has them: uint8 HxW, 255 = subject.

        size: (height, width) of its image. Raises DamagedError when it is missing, cannot be decoded, or is of
        another size.
        """
        column = self._suffixes.index(schema.extra_member("", schema.MASK))
        return self._read_image(place, column, self._spans[place, column].tolist(), size[::-1])

    def read_class(self, place: int) -> int:
        """Read the number of the class of the sample at index `place`, of a set that has them.

        Raises DamagedError when it is missing, or is not that of one of the set's classes.
        """
        column, data = self._read_extra(place, schema.CLASS)
        count = len(self._shards.classes)
        # As many digits as the largest number has: Python's int takes long ones, and digits of other alphabets.
        if not re.fullmatch(rb"[0-9]{1,%d}" % len(str(count)), data) or int(data) >= count:
            raise self._build_error(place, column, f"{data[:20]!r}, expected a class, 0 to {count - 1}")
        return int(data)

    def _read_extra(self, place: int, extra: str) -> tuple[int, bytes]:
        """(column, contents) of one of schema.EXTRAS."""
        column = self._suffixes.index(schema.extra_member("", extra))
        return column, self._read_member(place, column, self._spans[place, column].tolist())

    def _read_member(self, position: int, column: int, span: list[int]) -> bytes:
        offset, num_bytes = span
        if offset < 0:
            raise self._build_error(position, column, "is missing")
        if num_bytes > self._max_bytes:
            raise self._build_error(
                position, column, f"{num_bytes:,} bytes, expected at most {self._max_bytes:,}"
            )
        try:
            self._file.seek(offset)
            return self._file.read(num_bytes)
        except OSError as error:
            cause = error.strerror or error
            raise self._build_error(position, column, f"cannot be read ({cause})") from error

    def _read_image(
        self, position: int, column: int, span: list[int], expected: tuple[int, int] | None
    ) -> np.ndarray:
        """Read and decode a member; `expected` is its (width, height), None for any.

        Its format and size are checked before OpenCV gets the data: OpenCV reads many formats and allocates
        what their headers ask for.
        """
        data = self._read_member(position, column, span)
        signature, imread_flags = _MEMBER_FORMATS[column > 0]
        size = stored_size(data) if data.startswith(signature) else None
        if size is None:
            raise self._build_error(position, column, "cannot be decoded")
        if size[0] * size[1] > MAX_PIXELS or (expected is not None and size != expected):
            limit = f"at most {MAX_PIXELS:,}" if expected is None else f"{expected[0]} x {expected[1]}"
            raise self._build_error(position, column, f"{size[0]} x {size[1]} pixels, expected {limit}")
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), imread_flags)
        except cv2.error:  # as a rule it returns None
            image = None
        if image is None or image.shape[1::-1] != size:
            raise self._build_error(position, column, "cannot be decoded")
        return image

    def _build_error(self, position: int, column: int, problem: str) -> DamagedError:
        return self._shards.damaged(self._number, problem, f"{self._keys[position]}{self._suffixes[column]}")

    def _read_headers(self) -> tuple[list[str], np.ndarray]:
        """Read the samples' keys, in order, and the (offset, bytes) of their members.

        Returns the spans as int64 (samples, columns, 2), -1 for a missing member.
        """
        expected = self._shards.shard_sizes[self._number]
        keys: list[str] = []
        columns = {suffix: column for column, suffix in enumerate(self._suffixes)}
        spans = np.full((expected, len(columns), 2), -1, np.int64)
        try:
            for position, key, (name, offset, size, _) in keyed_members(self._file):
                if position == len(keys):
                    keys.append(key)
                    if position == expected:
                        break
                if (column := columns.get(name[len(key) :])) is not None:
                    spans[position, column] = offset, size
        except (OSError, tarfile.TarError) as error:
            raise self._shards.damaged(self._number, f"cannot be read as a tar ({error})") from error
        if len(keys) != expected:
            count = len(keys) if len(keys) < expected else f"more than {expected}"
            raise self._shards.damaged(self._number, f"{count} samples, but the manifest says {expected}")
        return keys, spans
