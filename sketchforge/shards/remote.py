"""Shards that lie elsewhere: whatever webdataset's opener reads, fetched whole into a cache on first use."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.shards.lock import lock
from sketchforge.utils.files import atomic_write, remove_abandoned

CHUNK = 1 << 20
PLACE = "{}"  # stands for the file name in a source

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C:\ is a folder
_CACHED = re.compile(r"\d{5,}-[0-9a-f]{16}\.tar")


def is_remote(source: str | Path) -> bool:
    """Whether a source is for webdataset's opener: a URL, or a text with {} for the file name."""
    if not isinstance(source, str) or os.path.isdir(source):
        return False
    return PLACE in source or bool(_REMOTE.match(source))


@dataclass(frozen=True)
class RemoteFolder:
    """The files of a shard folder by name.

    source: the folder's URL, or a text that becomes a file's address when its {} is replaced by the name;
    schemes are those of `webdataset.gopen` (http, https, file, pipe, gs, hf and more). UsageError for a pipe
    without {}.
    """

    source: str

    def __post_init__(self) -> None:
        if self.source.startswith("pipe:") and PLACE not in self.source:
            raise UsageError(
                f"{self.source}: does not say where the file name goes; put {{}} there, as in "
                "pipe:cat out/{}"
            )

    def address(self, name: str) -> str:
        """Where a file lies, as webdataset's opener takes it."""
        if PLACE in self.source:
            return self.source.replace(PLACE, name)
        return f"{self.source.rstrip('/')}/{name}"

    def fetch(self, name: str, target: BinaryIO) -> tuple[int, str]:
        """Copy a file into `target`; its bytes and hex SHA-256. SketchforgeError where it cannot be had."""
        from webdataset import gopen

        address = self.address(name)
        total, count = hashlib.sha256(), 0
        try:
            with gopen(address, "rb") as stream:
                while chunk := stream.read(CHUNK):
                    total.update(chunk)
                    count += len(chunk)
                    target.write(chunk)
        except (OSError, ValueError) as error:
            raise SketchforgeError(
                f"{address}: could not be fetched ({_cause(error)}); try it by hand"
            ) from error
        return count, total.hexdigest()


def _cause(error: Exception) -> str:
    """One phrase: of a command that failed, webdataset gives all arguments and "exit 22 (read)"."""
    if status := re.search(r": exit (-?\d+) \(read\)", str(error)):
        return f"its command ended with status {status[1]}"
    if isinstance(error, FileNotFoundError) and error.filename and "/" not in str(error.filename):
        return f"needs the program {error.filename}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@dataclass(frozen=True)
class ShardCache:
    """Whole shards on a local disk, shared by any number of processes and sets; at most `keep` of them.

    Files are named by their digest, so nothing stale is ever read, and appear by rename. Dropped are the ones
    longest unused; who has one open can read on. Other files in the folder are left alone.
    """

    folder: Path
    keep: int

    def open(self, remote: RemoteFolder, name: str, num_bytes: int, sha256: str) -> BinaryIO:
        """The shard `name`, fetched if it is not there; processes that want it at once fetch it once.

        Raises SketchforgeError when it cannot be fetched or is not what the manifest says.
        """
        path = self.folder / f"{Path(name).stem}-{sha256[:16]}.tar"
        try:
            if (file := _opened(path, num_bytes)) is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                with lock(path.with_name(f".{path.name}.lock"), wait=True):
                    file = _opened(path, num_bytes) or self._fetched(remote, name, num_bytes, sha256, path)
        except OSError as error:
            raise SketchforgeError(
                f"{path}: cannot be cached ({error.strerror or error}); see to the disk, or name another "
                "folder"
            ) from error
        return file

    def _fetched(self, remote: RemoteFolder, name: str, num_bytes: int, sha256: str, path: Path) -> BinaryIO:
        with atomic_write(path) as target:
            found_bytes, found_sha256 = remote.fetch(name, target)
            if (found_bytes, found_sha256) != (num_bytes, sha256):
                found, expected = f"SHA-256 {found_sha256[:16]}…", f"{sha256[:16]}…"
                if found_bytes != num_bytes:
                    found, expected = f"{found_bytes} bytes", f"{num_bytes}"
                raise SketchforgeError(
                    f"{remote.address(name)}: fetched {found}, but the manifest says {expected}; try again, "
                    "and if that does not help, copy the folder there anew"
                )
            # Held before it has its name: another process may drop it as soon as it does.
            target.flush()
            file = open(os.dup(target.fileno()), "rb", buffering=0)
            file.seek(0)
        self._trim(path)
        return file

    def _trim(self, newest: Path) -> None:
        remove_abandoned(self.folder)
        with suppress(OSError):  # other processes remove files, too
            used = {path: path.stat().st_mtime for path in self.folder.iterdir()}
            shards = [path for path in used if _CACHED.fullmatch(path.name) and path != newest]
            shards.sort(key=used.__getitem__)
            dropped = shards[: max(0, len(shards) + 1 - self.keep)]
            for path in dropped:
                path.unlink(missing_ok=True)


def _opened(path: Path, num_bytes: int) -> BinaryIO | None:
    """A shard that is there in full size; its time says when it was last used."""
    try:
        file = open(path, "rb", buffering=0)
    except FileNotFoundError:
        return None
    if os.fstat(file.fileno()).st_size != num_bytes:
        file.close()
        return None
    with suppress(OSError):  # another's file, or dropped meanwhile
        os.utime(path)
    return file
