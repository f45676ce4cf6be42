"""A shard's samples by random access: only the members that are wanted are read and decoded."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable

import cv2
import numpy as np

from sketchforge.images.decode import MAX_PIXELS, stored_size
from sketchforge.shards import schema
from sketchforge.shards.reader import StoredSample, keyed_members
from sketchforge.shards.shard_set import DamagedError, ShardSet

# How an image and a sketch begin, and how OpenCV is to decode them.
_STORED_AS = ((b"\xff\xd8\xff", cv2.IMREAD_COLOR), (b"\x89PNG", cv2.IMREAD_GRAYSCALE))


class OpenShard:
    """A shard's file and where its members lie; the tar's headers are read once, by `__init__`.

    Raises DamagedError when the tar cannot be read or does not hold the samples that the manifest says.
    """

    def __init__(self, shards: ShardSet, number: int) -> None:
        self._shards, self._number = shards, number
        side = shards.side
        self._size = None if side is None else (side, side)
        self._most = schema.most_bytes(side)
        # The ends of the names of a sample's members, by column of the table below: the image, then sketches.
        self._ends = schema.sample_members("", len(shards.styles), captioned=False)[:-1]
        self._file = shards.open(number)
        try:
            self._keys, self._spans = self._read_headers()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def read(self, place: int, sketches: Iterable[int]) -> StoredSample:
        """The sample at `place`, of its sketches only these, in this order; no other bytes are read.

        Raises DamagedError when one is missing, cannot be decoded, or has another size than the others.
        """
        key = self._keys[place]
        spans = self._spans[place].tolist()
        image = self._image(place, 0, spans[0], self._size)
        height, width = image.shape[:2]
        drawn = tuple(self._image(place, 1 + at, spans[1 + at], (width, height)) for at in sketches)
        return StoredSample(key, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), drawn)

    def _image(
        self, place: int, column: int, span: list[int], expected: tuple[int, int] | None
    ) -> np.ndarray:
        """A member's pixels. What it is and how large is known before OpenCV, which reads many formats and allocates
        what their headers ask for, sees any of it."""
        offset, num_bytes = span
        if offset < 0:
            raise self._damaged(place, column, "is missing")
        if num_bytes > self._most:
            raise self._damaged(place, column, f"{num_bytes:,} bytes, expected at most {self._most:,}")
        try:
            self._file.seek(offset)
            data = self._file.read(num_bytes)
        except OSError as error:
            cause = error.strerror or error
            raise self._damaged(place, column, f"cannot be read ({cause})") from error
        start, how = _STORED_AS[column > 0]
        size = stored_size(data) if data.startswith(start) else None
        if size is None:
            raise self._damaged(place, column, "cannot be decoded")
        if size[0] * size[1] > MAX_PIXELS or (expected is not None and size != expected):
            limit = f"at most {MAX_PIXELS:,}" if expected is None else f"{expected[0]} x {expected[1]}"
            raise self._damaged(place, column, f"{size[0]} x {size[1]} pixels, expected {limit}")
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
        except cv2.error:  # as a rule it returns None
            image = None
        if image is None or image.shape[1::-1] != size:
            raise self._damaged(place, column, "cannot be decoded")
        return image

    def _damaged(self, place: int, column: int, what: str) -> DamagedError:
        return self._shards.damaged(self._number, what, f"{self._keys[place]}{self._ends[column]}")

    def _read_headers(self) -> tuple[list[str], np.ndarray]:
        """The samples' keys, in order, and (offset, bytes) of their images as int64 (samples, columns, 2),
        -1 for none."""
        expected = self._shards.shard_sizes[self._number]
        keys: list[str] = []
        columns = {end: column for column, end in enumerate(self._ends)}
        spans = np.full((expected, len(columns), 2), -1, np.int64)
        try:
            for place, key, (name, offset, size, _) in keyed_members(self._file):
                if place == len(keys):
                    keys.append(key)
                    if place == expected:
                        break
                if (column := columns.get(name[len(key) :])) is not None:
                    spans[place, column] = offset, size
        except (OSError, tarfile.TarError) as error:
            raise self._shards.damaged(self._number, f"cannot be read as a tar ({error})") from error
        if len(keys) != expected:
            count = len(keys) if len(keys) < expected else f"more than {expected}"
            raise self._shards.damaged(self._number, f"{count} samples, but the manifest says {expected}")
        return keys, spans
