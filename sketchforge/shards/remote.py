"""Remote shards: whatever webdataset's opener reads, fetched whole into a cache on first use."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import atomic_write, remove_abandoned
from sketchforge.utils.lock import lock

CHUNK = 1 << 20
PLACE = "{}"  # stands for the file name in a source

_URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C:\ is a folder
_CACHED_NAME = re.compile(r"\d{5,}-[0-9a-f]{16}\.tar")


def is_remote(source: str | Path) -> bool:
    """Whether webdataset's opener reads a source: a URL, or a text with {} for the file name."""
    if not isinstance(source, str) or os.path.isdir(source):
        return False
    return PLACE in source or bool(_URL_SCHEME.match(source))


@dataclass(frozen=True)
class RemoteFolder:
    """The files of a remote shard folder, by name.

    source: the folder's URL, or a text that becomes a file's address when its {} is replaced by the name. Its
    schemes are those of `webdataset.gopen` (http, https, file, pipe, gs, hf and more). Raises UsageError for
    a pipe without {}.
    """

    source: str

    def __post_init__(self) -> None:
        if self.source.startswith("pipe:") and PLACE not in self.source:
            raise UsageError(
                f"{self.source}: does not say where the file name goes; put {{}} there, as in "
                "pipe:cat out/{}"
            )

    def address(self, name: str) -> str:
        """A file's address, as webdataset's opener takes it."""
        if PLACE in self.source:
            return self.source.replace(PLACE, name)
        return f"{self.source.rstrip('/')}/{name}"

    def fetch(self, name: str, target: BinaryIO) -> tuple[int, str]:
        """Copy a file into `target`; returns its size in bytes and its hex SHA-256.

        Raises SketchforgeError when it cannot be fetched.
        """
        from webdataset import gopen

        address = self.address(name)
        digest, count = hashlib.sha256(), 0
        try:
            with gopen(address, "rb") as stream:
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
                    count += len(chunk)
                    target.write(chunk)
        except (OSError, ValueError) as error:
            raise SketchforgeError(
                f"{address}: could not be fetched ({_describe_cause(error)}); try it by hand"
            ) from error
        return count, digest.hexdigest()


def _describe_cause(error: Exception) -> str:
    """Describe an error in one phrase.

    For a failed command, webdataset gives all its arguments and "exit 22 (read)".
    """
    if status := re.search(r": exit (-?\d+) \(read\)", str(error)):
        return f"its command ended with status {status[1]}"
    if isinstance(error, FileNotFoundError) and error.filename and "/" not in str(error.filename):
        return f"needs the program {error.filename}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@dataclass(frozen=True)
class ShardCache:
    """At most `keep` whole shards on a local disk, shared by any number of processes and sets.

    A file is named by its digest, so nothing stale is ever read, and appears by rename. The shards longest
    unused are removed; a process that has one open can read on. Other files in the folder are left alone.
    """

    folder: Path
    keep: int

    def open(self, remote: RemoteFolder, name: str, num_bytes: int, sha256: str) -> BinaryIO:
        """Open the shard `name`, fetched first if it is not cached: by one process, if several want it.

        Raises SketchforgeError when it cannot be fetched or is not what the manifest says.
        """
        path = self.folder / f"{Path(name).stem}-{sha256[:16]}.tar"
        try:
            if (file := _open_cached(path, num_bytes)) is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                with lock(path.with_name(f".{path.name}.lock"), wait=True):
                    file = _open_cached(path, num_bytes) or self._fetch(remote, name, num_bytes, sha256, path)
        except OSError as error:
            raise SketchforgeError(
                f"{path}: cannot be cached ({error.strerror or error}); see to the disk, or name another "
                "folder"
            ) from error
        return file

    def _fetch(self, remote: RemoteFolder, name: str, num_bytes: int, sha256: str, path: Path) -> BinaryIO:
        with atomic_write(path) as target:
            actual_bytes, actual_sha256 = remote.fetch(name, target)
            if (actual_bytes, actual_sha256) != (num_bytes, sha256):
                actual, expected = f"SHA-256 {actual_sha256[:16]}…", f"{sha256[:16]}…"
                if actual_bytes != num_bytes:
                    actual, expected = f"{actual_bytes} bytes", f"{num_bytes}"
                raise SketchforgeError(
                    f"{remote.address(name)}: fetched {actual}, but the manifest says {expected}; try again, "
                    "and if that does not help, copy the folder there anew"
                )
            # Opened before the rename: another process may remove the file right after it.
            target.flush()
            file = open(os.dup(target.fileno()), "rb", buffering=0)
            file.seek(0)
        self._trim(path)
        return file

    def _trim(self, newest: Path) -> None:
        remove_abandoned(self.folder)
        with suppress(OSError):  # other processes remove files, too
            last_used = {path: path.stat().st_mtime for path in self.folder.iterdir()}
            shards = [path for path in last_used if _CACHED_NAME.fullmatch(path.name) and path != newest]
            shards.sort(key=last_used.__getitem__)
            oldest = shards[: max(0, len(shards) + 1 - self.keep)]
            for path in oldest:
                path.unlink(missing_ok=True)


def _open_cached(path: Path, num_bytes: int) -> BinaryIO | None:
    """Open a cached shard of full size, None if there is none; its mtime becomes the time of this use."""
    try:
        file = open(path, "rb", buffering=0)
    except FileNotFoundError:
        return None
    if os.fstat(file.fileno()).st_size != num_bytes:
        file.close()
        return None
    with suppress(OSError):  # another user's file, or removed meanwhile
        os.utime(path)
    return file
