"""A finished set of shards, here or elsewhere, and its samples by random access.

Of a sample only the members that are wanted are read and decoded.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import MAX_PIXELS, stored_size
from sketchforge.shards import schema
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.reader import StoredSample
from sketchforge.shards.remote import RemoteFolder, ShardCache, is_remote
from sketchforge.utils.tar_headers import members

KEPT_SHARDS = 64  # of a remote set, on the local disk
# How an image and a sketch begin, and how OpenCV is to decode them.
_STORED_AS = ((b"\xff\xd8\xff", cv2.IMREAD_COLOR), (b"\x89PNG", cv2.IMREAD_GRAYSCALE))


class DamagedError(SketchforgeError):
    """A shard or a sample that is not as the manifest says."""


@dataclass(frozen=True)
class ShardSet:
    """A finished set of shards; made by `open_shards`."""

    source: str  # as messages name it
    manifest: Mapping[str, Any]
    folder: Path | None = None  # where the shards lie; None: elsewhere
    remote: RemoteFolder | None = None
    cache: ShardCache | None = None

    @property
    def shard_sizes(self) -> list[int]:
        """Samples per shard."""
        return [entry["samples"] for entry in self.manifest["shards"]]

    @property
    def num_samples(self) -> int:
        return sum(self.shard_sizes)

    @property
    def styles(self) -> list[str]:
        """What the sketches of every sample are, in order."""
        return self.manifest["styles"]

    @property
    def size(self) -> int | None:
        """Side of the square pictures in pixels; None where every one has a size of its own."""
        return schema.picture_side(self.manifest)

    def require(self, sketches: int = 1, one_size: bool = True) -> ShardSet:
        """This set; UsageError where it has fewer sketches per image, or pictures of many sizes."""
        if len(self.styles) < sketches:
            raise UsageError(
                f"{self.source}: {len(self.styles)} sketches per image, needed are {sketches}; render with "
                "more --checkpoints"
            )
        if one_size and self.size is None:
            raise UsageError(
                f"{self.source}: was made with --fit keep, its pictures have many sizes; render with --fit "
                "crop or pad"
            )
        return self

    def address(self, shard: int) -> str:
        """Where a shard lies, for messages."""
        name = self.manifest["shards"][shard]["name"]
        return self.remote.address(name) if self.remote else str(self.folder / name)

    def open(self, shard: int) -> BinaryIO:
        """A shard's tar, in full size. Raises DamagedError where it is missing or another one."""
        entry = self.manifest["shards"][shard]
        if self.remote and self.cache:
            try:
                return self.cache.open(self.remote, entry["name"], entry["bytes"], entry["sha256"])
            except SketchforgeError as error:
                raise DamagedError(str(error)) from error
        try:
            # Unbuffered: members are read in one piece, and headers are all that is read of the others.
            file = open(self.address(shard), "rb", buffering=0)
        except OSError as error:
            raise self.damaged(shard, f"cannot be read ({error.strerror or error})") from error
        found = os.fstat(file.fileno()).st_size
        if found != entry["bytes"]:
            file.close()
            raise self.damaged(shard, f"{found} bytes, but the manifest says {entry['bytes']}")
        return file

    def damaged(self, shard: int, what: str, key: str | None = None) -> DamagedError:
        place = self.address(shard) if key is None else f"{self.address(shard)}: {key}"
        return DamagedError(f"{place}: {what}; `sketchforge verify` lists all that is wrong with the folder")


def open_shards(source: str | Path, cache: Path | None = None, keep: int = KEPT_SHARDS) -> ShardSet:
    """The shards that `sketchforge render` left in a folder, here or elsewhere.

    source: a folder, the URL of one, or a text with {} for the file name that webdataset's opener reads, such
    as `pipe:ssh host cat out/{}`. Shards from elsewhere are kept in `cache`, at most `keep` at a time; None:
    in a temporary folder that goes with the set, at the latest when this process ends.

    Raises UsageError when there is no manifest, the set is unfinished or holds no sample, SketchforgeError
    when the manifest is damaged or of a newer version.
    """
    if not is_remote(source):
        folder = Path(source)
        return _checked(ShardSet(str(folder), read_manifest(folder), folder))
    if keep < 1:
        raise ValueError(f"keep={keep}: expected 1 shard or more")
    remote = RemoteFolder(str(source))
    if cache is not None and cache.exists() and not cache.is_dir():
        raise UsageError(f"{cache}: a file; the cache needs a folder")
    shards = _checked(ShardSet(remote.source, _remote_manifest(remote), None, remote))
    folder = Path(tempfile.mkdtemp(prefix="sketchforge-")) if cache is None else cache
    shards = replace(shards, cache=ShardCache(folder, keep))
    if cache is None:
        weakref.finalize(shards, _remove, folder, os.getpid())
    return shards


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a forked child of it
        shutil.rmtree(folder, ignore_errors=True)


def _remote_manifest(remote: RemoteFolder) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sketchforge-") as name:
        path = Path(name) / schema.MANIFEST
        with open(path, "wb") as file:
            try:
                remote.fetch(schema.MANIFEST, file)
            except SketchforgeError as error:
                raise UsageError(f"{error}; expected shards made by `sketchforge render`") from error
        try:
            return read_manifest(path.parent)
        except SketchforgeError as error:
            raise type(error)(str(error).replace(str(path), remote.address(schema.MANIFEST))) from error


def _checked(shards: ShardSet) -> ShardSet:
    if not shards.manifest["complete"]:
        raise UsageError(f"{shards.source}: unfinished; continue it by the same `sketchforge render` again")
    for number, entry in enumerate(shards.manifest["shards"]):
        # Names become parts of paths, URLs and shell commands: a manifest from elsewhere has no say in them.
        name = f"{schema.shard_name(number)}.tar"
        if entry["name"] != name or not re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
            raise SketchforgeError(
                f"{shards.source}: its {schema.MANIFEST} has {entry['name']!r} with SHA-256 "
                f"{entry['sha256'][:64]!r} for {name}; it was altered, restore it"
            )
    if not shards.num_samples:
        raise UsageError(f"{shards.source}: holds no samples; see its outcomes with `sketchforge inspect`")
    return shards


class OpenShard:
    """A shard's file and where its members lie; the tar's headers are read once, by `__init__`.

    Raises DamagedError when the tar cannot be read or does not hold the samples that the manifest says.
    """

    def __init__(self, shards: ShardSet, number: int) -> None:
        self._shards, self._number = shards, number
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
        size = self._shards.size
        image = self._picture(place, 0, spans[0], None if size is None else (size, size))
        height, width = image.shape[:2]
        drawn = tuple(self._picture(place, 1 + at, spans[1 + at], (width, height)) for at in sketches)
        return StoredSample(key, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), drawn)

    def _picture(
        self, place: int, column: int, span: list[int], expected: tuple[int, int] | None
    ) -> np.ndarray:
        """A member's pixels. What it is and how large is known before OpenCV, which reads many formats and allocates
        what their headers ask for, sees any of it."""
        offset, num_bytes = span
        if offset < 0:
            raise self._damaged(place, column, "is missing")
        most = schema.most_bytes(self._shards.size)
        if num_bytes > most:
            raise self._damaged(place, column, f"{num_bytes:,} bytes, expected at most {most:,}")
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
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), how)
        except cv2.error:  # as a rule it returns None
            picture = None
        if picture is None or picture.shape[1::-1] != size:
            raise self._damaged(place, column, "cannot be decoded")
        return picture

    def _damaged(self, place: int, column: int, what: str) -> DamagedError:
        return self._shards.damaged(self._number, what, f"{self._keys[place]}{self._ends[column]}")

    def _read_headers(self) -> tuple[list[str], np.ndarray]:
        """The samples' keys, in order, and (offset, bytes) of their pictures as int64 (samples, columns, 2),
        -1 for none. Keys end at the first dot, as WebDataset has it."""
        expected = self._shards.shard_sizes[self._number]
        keys: list[str] = []
        columns = {end: column for column, end in enumerate(self._ends)}
        spans = np.full((expected, len(columns), 2), -1, np.int64)
        try:
            for name, offset, size, _ in members(self._file):
                key, dot, end = name.partition(".")
                if not keys or keys[-1] != key:
                    keys.append(key)
                    if len(keys) > expected:
                        break
                if (column := columns.get(dot + end)) is not None:
                    spans[len(keys) - 1, column] = offset, size
        except (OSError, tarfile.TarError) as error:
            raise self._shards.damaged(self._number, f"cannot be read as a tar ({error})") from error
        if len(keys) != expected:
            count = len(keys) if len(keys) < expected else f"more than {expected}"
            raise self._shards.damaged(self._number, f"{count} samples, but the manifest says {expected}")
        return keys, spans


def shards_digest(shards: ShardSet) -> str:
    """As run.json has it: of the manifest's own digests, the same wherever the shards lie."""
    return hashlib.sha256(
        "".join(entry["sha256"] for entry in shards.manifest["shards"]).encode()
    ).hexdigest()
