"""A set of shards, local or remote: its contents and its files."""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.shards import schema
from sketchforge.shards.cache import ShardCache
from sketchforge.shards.checked import CheckedShards
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.sidecars import finished_shards, sample_keys
from sketchforge.shards.splits import ALL, held_out_first, shards_by_split
from sketchforge.shards.writer import read_stats
from sketchforge.storage.fetch import FetchPolicy
from sketchforge.storage.folder import Folder, LocalFolder, RemoteFolder, folder_at
from sketchforge.storage.temporary_folder import TemporaryFolder
from sketchforge.utils.text import count_noun

KEPT_SHARDS = 64  # cached shards of a remote set, on the local disk


class DamagedError(SketchforgeError):
    """A shard or a sample that is not as the manifest says."""


@dataclass(frozen=True)
class ShardSet:
    """A set of shards: always finished from `open_shards`, finished or not from `open_folder`."""

    name: str  # as tables and pages name it
    manifest: Mapping[str, Any]
    folder: Folder
    cache: ShardCache | None = None  # of a set that lies elsewhere
    checked: CheckedShards = field(default_factory=CheckedShards, compare=False)
    # Of a part of a folder, as a rule a split: the numbers of its shards, and its name. None: the whole folder.
    numbers: Sequence[int] | None = None
    split: str | None = None

    @property
    def source(self) -> str:
        """The set as messages name it."""
        return str(self.folder)

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that the shards were rendered with."""
        options: Mapping[str, Any] = self.manifest["options"]
        return options

    @property
    def method(self) -> str:
        return str(self.options.get("method"))

    @property
    def styles(self) -> list[str]:
        """The names of the styles of every sample's sketches, in order."""
        styles: list[str] = self.manifest["styles"]
        return styles

    @property
    def side(self) -> int | None:
        """Side of the square images in pixels; None where each image has a size of its own."""
        return schema.image_side(self.manifest)

    @property
    def path(self) -> Path:
        """The folder of a local set. Raises UsageError for a remote one."""
        if not isinstance(self.folder, LocalFolder):
            raise UsageError(f"{self.source}: lies elsewhere; copy it here, and name the folder")
        return self.folder.path

    @property
    def has_strokes(self) -> bool:
        """Whether every sample keeps its strokes."""
        return schema.STROKES in self.manifest["extras"]

    @property
    def has_masks(self) -> bool:
        """Whether every sample keeps its mask."""
        return schema.MASK in self.manifest["extras"]

    @property
    def classes(self) -> list[str]:
        """The names of the classes, by number; [] where images have none."""
        classes: list[str] = self.manifest["classes"]
        return classes

    @cached_property
    def finished(self) -> list[int]:
        """The numbers of the finished shards, in order."""
        return finished_shards(self.folder, self.manifest, self.numbers)

    @cached_property
    def keys(self) -> dict[str, int]:
        """The key of every sample, in order, with the number of its shard.

        Read from the sidecars on first use. Raises SketchforgeError when one is missing or damaged.
        """
        return sample_keys(self.folder, self.finished)

    def tar(self, key: str) -> str:
        """The address of the tar that holds a sample, by its key."""
        return self.folder.address(schema.shard_files(self.keys[key]).tar)

    @property
    def shard_sizes(self) -> list[int]:
        """Samples per shard, of a finished set."""
        return [entry["samples"] for entry in self.manifest["shards"]]

    @property
    def num_samples(self) -> int:
        """Samples of a finished set."""
        return sum(self.shard_sizes)

    def require(self, sketches: int = 1, one_size: bool = True) -> ShardSet:
        """Return this set; UsageError for too few sketches per image or, with `one_size`, many sizes."""
        if len(self.styles) < sketches:
            raise UsageError(
                f"{self.source}: {count_noun(len(self.styles), 'sketch')} per image, needed are "
                f"{sketches}; render with "
                "more --checkpoints"
            )
        if one_size and self.side is None:
            raise UsageError(
                f"{self.source}: was made with --fit keep, its images have many sizes; render with --fit "
                "crop or pad"
            )
        return self

    def require_strokes(self) -> ShardSet:
        """Return this set; UsageError where its samples keep no strokes."""
        return self._require_extra(schema.STROKES, "keeps no strokes", "--strokes")

    def require_masks(self) -> ShardSet:
        """Return this set; UsageError where its samples keep no masks."""
        return self._require_extra(schema.MASK, "keeps no masks", "--masks head")

    def require_classes(self) -> ShardSet:
        """Return this set; UsageError where its images have no classes."""
        return self._require_extra(schema.CLASS, "its images have no classes", "--labels folder")

    def _require_extra(self, extra: str, problem: str, option: str) -> ShardSet:
        if extra not in self.manifest["extras"]:
            raise UsageError(f"{self.source}: {problem}; render with {option} into another folder")
        return self

    @property
    def splits(self) -> dict[str, Sequence[int]]:
        """The numbers of each split's shards; {} where the set has none."""
        return shards_by_split(self.manifest["splits"])

    def take_split(self, name: str | None, usual: str) -> ShardSet:
        """Return one split of a finished set as a set of its own.

        name: of the split; "all": the whole set; None: `usual` where there is a split of that name, else the whole
        set. Raises UsageError for a name that the set does not have, and for a split without samples.
        """
        splits = self.splits
        name = name or (usual if usual in splits else ALL)
        if name == ALL:
            return self
        if name not in splits:
            known = f"it has {', '.join(splits)}" if splits else "it was rendered without --split"
            raise UsageError(f"{self.source}: has no split {name}; {known}")
        numbers = splits[name]
        entries = [self.manifest["shards"][number] for number in numbers]
        if not any(entry["samples"] for entry in entries):
            raise UsageError(f"{self.source}: its split {name} holds no samples")
        return replace(
            self,
            name=f"{self.name}, split {name}",
            manifest={**self.manifest, "shards": entries},
            numbers=numbers,
            split=name,
        )

    def take_held_out(self, name: str | None = None) -> ShardSet:
        """Return the split of a finished set to measure on: never that which trainings take, unless it is named.

        name: as for `take_split`; None: test, else val, else another but train, the first that holds samples; the whole
        set where it has no splits. Raises UsageError as `take_split` does, and where only train holds samples.
        """
        if name is not None or not self.splits:
            return self.take_split(name, ALL)
        entries = self.manifest["shards"]
        for held_out in held_out_first(self.splits):
            if any(entries[number]["samples"] for number in self.splits[held_out]):
                return self.take_split(held_out, ALL)
        raise UsageError(
            f"{self.source}: of its splits {', '.join(self.splits)} only train holds samples; --split train measures on "
            "what models learn from"
        )

    def address(self, shard: int) -> str:
        """The address of a shard, for messages."""
        return self.folder.address(self.manifest["shards"][shard]["name"])

    def open(self, shard: int) -> BinaryIO:
        """Open a shard's tar, whose size and digest are checked the first time.

        Raises DamagedError when it is missing or not what the manifest says.
        """
        entry = self.manifest["shards"][shard]
        if isinstance(self.folder, RemoteFolder):
            return self._open_remote(self.folder, entry["name"], entry)
        try:
            # Unbuffered: a requested member is read in one piece, of the others only the headers.
            file = open(self.address(shard), "rb", buffering=0)
        except OSError as error:
            raise self.damaged(shard, f"cannot be read ({error.strerror or error})") from error
        try:
            num_bytes = os.fstat(file.fileno()).st_size
            if num_bytes != entry["bytes"]:
                raise self.damaged(shard, f"{num_bytes} bytes, but the manifest says {entry['bytes']}")
            if (fault := self.checked.find_fault(shard, file, entry["sha256"])) is not None:
                raise self.damaged(shard, fault)
        except BaseException as error:
            file.close()
            if isinstance(error, OSError):
                raise self.damaged(shard, f"cannot be read ({error.strerror or error})") from error
            raise
        return file

    def open_unchecked(self, number: int) -> BinaryIO:
        """Open the tar of a shard, finished or not, by its number in the folder; one elsewhere is checked all the same.

        Raises OSError, and DamagedError where it cannot be fetched.
        """
        name = schema.shard_files(number).tar
        if not isinstance(self.folder, RemoteFolder):
            return open(self.folder.address(name), "rb")
        if (stats := read_stats(self.folder, number)) is None:
            raise DamagedError(f"{self.folder.address(name)}: is not finished")
        return self._open_remote(self.folder, name, stats["tar"])

    def _open_remote(self, folder: RemoteFolder, name: str, entry: Mapping[str, Any]) -> BinaryIO:
        assert self.cache is not None
        try:
            return self.cache.open(folder, name, entry["bytes"], entry["sha256"])
        except SketchforgeError as error:
            raise DamagedError(str(error)) from error

    def damaged(self, shard: int, what: str, key: str | None = None) -> DamagedError:
        location = self.address(shard) if key is None else f"{self.address(shard)}: {key}"
        return DamagedError(
            f"{location}: {what}; `sketchforge verify` lists all that is wrong with the folder"
        )


def open_folder(place: str | Path, name: str | None = None) -> ShardSet:
    """Open the shards of a folder, finished or not; `name` is the folder's unless another is passed.

    Raises UsageError when there is no manifest, SketchforgeError when it is damaged or of a newer version.
    """
    folder = folder_at(place)
    if isinstance(folder, LocalFolder):
        return ShardSet(name or folder.path.resolve().name, read_manifest(folder), folder)
    return _open_remote(RemoteFolder(str(place)), name)


def open_shards(
    source: str | Path,
    cache: Path | None = None,
    keep: int = KEPT_SHARDS,
    policy: FetchPolicy = FetchPolicy(),
) -> ShardSet:
    """Open the finished shards that `sketchforge render` wrote to a folder, local or remote.

    source: a folder, the URL of one, or a text with {} for the file name, such as
    `pipe:ssh host cat out/{}` (see `fetch`).
    cache: the folder for shards from a remote source, at most `keep` at a time. None: a temporary folder,
    removed with the set, at the latest when this process ends.
    policy: of fetching from a remote source.

    Raises UsageError when there is no manifest or the set is unfinished or holds no sample, and
    SketchforgeError when the manifest is damaged or of a newer version.
    """
    folder = folder_at(source)
    if isinstance(folder, LocalFolder):
        return _check_finished(open_folder(folder.path))
    if keep < 1:
        raise ValueError(f"keep={keep}: expected 1 shard or more")
    if cache is not None and cache.exists() and not cache.is_dir():
        raise UsageError(f"{cache}: a file; the cache needs a folder")
    remote = RemoteFolder(str(source), policy)
    return _check_finished(
        _open_remote(remote, None, None if cache is None else ShardCache(cache, keep), keep)
    )


def _open_remote(
    folder: RemoteFolder, name: str | None = None, cache: ShardCache | None = None, keep: int = KEPT_SHARDS
) -> ShardSet:
    """Open a set that lies elsewhere; its shards are cached in a folder of its own where no cache is passed."""
    manifest = read_manifest(folder)
    if cache is None:
        copies = TemporaryFolder()
        cache = ShardCache(copies.path, keep)
        # With the cache, which the set shares with its splits, not with the set: that may go before them.
        weakref.finalize(cache, copies.remove)
    return ShardSet(name or folder.source.rstrip("/").rpartition("/")[2], manifest, folder, cache)


def _check_finished(shards: ShardSet) -> ShardSet:
    if not shards.manifest["complete"]:
        raise UsageError(f"{shards.source}: unfinished; continue it by the same `sketchforge render` again")
    for number, entry in enumerate(shards.manifest["shards"]):
        # Names become parts of paths, URLs and shell commands: a foreign manifest must not choose them.
        name = f"{schema.shard_name(number)}.tar"
        if entry["name"] != name or not re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
            raise SketchforgeError(
                f"{shards.source}: its {schema.MANIFEST} has {entry['name']!r} with SHA-256 "
                f"{entry['sha256'][:64]!r} for {name}; it was altered, restore it"
            )
    if not shards.num_samples:
        raise UsageError(f"{shards.source}: holds no samples; see its outcomes with `sketchforge inspect`")
    return shards


def shards_digest(shards: ShardSet) -> str:
    """The digest of the manifest's digests, which run.json records: the same wherever the shards are."""
    return hashlib.sha256(
        "".join(entry["sha256"] for entry in shards.manifest["shards"]).encode()
    ).hexdigest()
