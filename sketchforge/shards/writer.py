"""Writing one shard: its tar under a temporary name, its sidecar, and the stats that mark it finished."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from sketchforge.shards import schema
from sketchforge.storage.folder import Folder
from sketchforge.utils import files
from sketchforge.utils.files import disk_errors


@dataclass(frozen=True)
class Record:
    """The outcome of one input: a sample's files, or the reason why there is none."""

    key: str
    source: str
    num_bytes: int  # of the source
    reason: str | None = None  # None: the sample is good
    note: str | None = None  # why its caption or metadata could not be used; what its decoder printed
    image: bytes = b""  # JPEG
    sketches: Sequence[bytes] = ()  # PNG
    caption: bytes | None = None  # UTF-8; None where there is none
    extras: Mapping[str, bytes] = field(default_factory=dict)  # of schema.EXTRAS
    metadata: dict[str, Any] = field(default_factory=dict)  # the sample's JSON
    is_blank: bool = False  # whether there is no ink in any of its sketches
    seconds: dict[str, float] = field(default_factory=dict)  # spent on it, by stage


class ShardWriter:
    """Writes the records of one shard, added in plan order; `write_shard` makes one."""

    def __init__(self, file: IO[bytes], address: str, captioned: bool, extras: Sequence[str]) -> None:
        self._address, self._captioned, self._extras = address, captioned, extras
        self._stream = _DigestingStream(file)
        self._tar = tarfile.open(fileobj=self._stream, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload]
        self._lines: list[bytes] = []
        self._outcomes: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()  # stage -> seconds, floats

    def add(self, record: Record) -> None:
        left_out = schema.LEFT_OUT if record.reason == schema.BLANK else schema.FAILED
        status = schema.OK if record.reason is None else left_out
        entry = {
            "key": record.key,
            "source": record.source,
            "bytes": record.num_bytes,
            "status": status,
            "reason": record.reason,
        }
        if record.reason in (None, schema.BLANK):
            entry["sha256"] = record.metadata.get("sha256")
        if record.note is not None:
            entry["note"] = record.note
        self._lines.append(schema.json_bytes(entry) + b"\n")
        self._outcomes[record.reason or schema.OK] += 1
        self.seconds.update(record.seconds)
        start = time.perf_counter()
        if record.reason is None:
            names = schema.sample_members(record.key, len(record.sketches), self._captioned, self._extras)
            caption = [record.caption or b""] if self._captioned else []
            extras = [record.extras[extra] for extra in schema.EXTRAS if extra in self._extras]
            contents = [
                record.image,
                *record.sketches,
                *caption,
                *extras,
                schema.json_bytes(record.metadata),
            ]
            for name, data in zip(names, contents, strict=True):
                # TarInfo's defaults make tars repeatable: mtime, uid and gid 0, no names, mode 0644.
                member = tarfile.TarInfo(name)
                member.size = len(data)
                with disk_errors(self._address):
                    self._tar.addfile(member, io.BytesIO(data))
            self._tar.members.clear()  # tarfile would keep every header
        self.seconds["write"] += time.perf_counter() - start  # type: ignore[assignment]  # Counter adds floats

    def close(self) -> None:
        self._tar.close()

    def stats(self, name: str, fingerprint: str, inputs: str) -> dict[str, Any]:
        """The shard's stats; `sidecar` and `tar` describe the files' bytes."""
        sidecar = self.sidecar
        return {
            "format": f"{schema.FORMAT}-stats",
            "version": schema.VERSION,
            "shard": name,
            "fingerprint": fingerprint,
            "inputs": inputs,
            "outcomes": dict(self._outcomes),
            "tar": {"bytes": self._stream.tell(), "sha256": self._stream.sha256.hexdigest()},
            "sidecar": {"bytes": len(sidecar), "sha256": hashlib.sha256(sidecar).hexdigest()},
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        }

    @property
    def sidecar(self) -> bytes:
        """The contents of the sidecar file so far: one JSON line per record."""
        return b"".join(self._lines)


@contextmanager
def write_shard(
    folder: Folder,
    number: int,
    fingerprint: str,
    inputs: str,
    captioned: bool = False,
    extras: Sequence[str] = (),
) -> Iterator[ShardWriter]:
    """A writer for shard `number`; when the block succeeds, sidecar, tar and stats appear, in this order.

    `fingerprint` identifies the options, `inputs` the sizes of the sources; `captioned`: every sample gets a
    caption, empty where its record has none; without it no sample does. `extras`: the members of schema.EXTRAS
    that every record has. When the block raises, none of the
    files appears. Raises SketchforgeError naming the file where the disk or the store refuses.
    """
    names = schema.shard_files(number)
    tar = folder.address(names.tar)
    with disk_errors(folder.address(names.stats)):
        folder.remove(names.stats)  # a shard that is being rewritten is not finished
    with ExitStack() as open_tar:
        with disk_errors(tar):
            file = open_tar.enter_context(folder.create(names.tar))
        writer = ShardWriter(file, tar, captioned, extras)
        yield writer
        with disk_errors(tar):
            writer.close()
            file.flush()
        start = time.perf_counter()
        with disk_errors(folder.address(names.sidecar)):
            folder.write(names.sidecar, writer.sidecar)
        with disk_errors(tar):
            open_tar.close()
        writer.seconds["write"] += time.perf_counter() - start  # type: ignore[assignment]  # Counter adds floats
    with disk_errors(folder.address(names.stats)):
        stats = writer.stats(schema.shard_name(number), fingerprint, inputs)
        folder.write(names.stats, files.checksummed_json(stats))


def read_stats(folder: Folder, number: int) -> dict[str, Any] | None:
    """Read the stats of a finished shard; None where they are missing or damaged."""
    return dict(read_all_stats(folder, [number])).get(number)


def read_all_stats(folder: Folder, numbers: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, stats) of shards, in order, but for those whose stats are missing or damaged."""
    number_of = {schema.shard_files(number).stats: number for number in numbers}
    for name, data in folder.read_several(number_of):
        if (stats := _parse_stats(data)) is not None:
            yield number_of[name], stats


def _parse_stats(data: bytes) -> dict[str, Any] | None:
    try:
        stats = files.parse_json(data)
    except ValueError:
        return None
    is_valid = isinstance(stats, dict) and stats.get("format") == f"{schema.FORMAT}-stats"
    is_valid = is_valid and files.has_shape(stats, {"version": int, **schema.STATS_SHAPE})
    return stats if is_valid and schema.OLDEST <= stats["version"] <= schema.VERSION else None


def finished_stats(
    folder: Folder, numbers: Iterable[int], fingerprint: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, stats) of those shards that need no more work, in order.

    Such a shard has the same fingerprint, and its files have their full size.
    """
    sizes = folder.list()
    begun = (number for number in numbers if schema.shard_files(number).stats in sizes)
    for number, stats in read_all_stats(folder, begun):
        names = schema.shard_files(number)
        if (
            stats["fingerprint"] == fingerprint
            and sizes.get(names.tar) == stats["tar"]["bytes"]
            and sizes.get(names.sidecar) == stats["sidecar"]["bytes"]
        ):
            yield number, stats


class _DigestingStream:
    """The file interface that a tar writer needs.

    It computes the SHA-256 of what is written: no second reading.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._position = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self._position += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._position
