"""Local copies of remote shards, in a folder of the user's or a temporary one."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sketchforge.errors import SketchforgeError
from sketchforge.shards.lock import remove_stale_locks
from sketchforge.storage.folder import LocalFolder, RemoteFolder
from sketchforge.utils.files import atomic_write, remove_abandoned
from sketchforge.utils.lock import lock

_CACHED_NAME = re.compile(r"\d{5,}-[0-9a-f]{16}\.tar")
_WAIT_SECONDS = 0.1  # between looks at a shard that another process is fetching


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
            if (file := _open_cached(path, num_bytes)) is not None:
                return file
            self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as held:
                # Tried again and again: a process that waits inside the system could not be interrupted.
                while not _acquire(held, path.with_name(f".{path.name}.lock")):
                    time.sleep(_WAIT_SECONDS)
                return _open_cached(path, num_bytes) or self._fetch(remote, name, num_bytes, sha256, path)
        except OSError as error:
            raise SketchforgeError(
                f"{path}: cannot be cached ({error.strerror or error}); see to the disk, or name another "
                "folder"
            ) from error

    def sweep(self) -> None:
        """Remove what killed processes have left in the folder: unfinished downloads and locks."""
        remove_abandoned(self.folder)
        remove_stale_locks(LocalFolder(self.folder))

    def _fetch(self, remote: RemoteFolder, name: str, num_bytes: int, sha256: str, path: Path) -> BinaryIO:
        remove_abandoned(self.folder)  # before the room is measured
        if (free := shutil.disk_usage(self.folder).free) < num_bytes:
            raise SketchforgeError(
                f"{path}: cannot be cached ({num_bytes:,} bytes, but {free:,} are free); see to the disk, or "
                "name another folder"
            )

        def find_fault(actual_bytes: int, actual_sha256: str) -> str | None:
            if actual_bytes == num_bytes:
                if actual_sha256 == sha256:
                    return None
                return f"SHA-256 {actual_sha256[:16]}…, but the manifest says {sha256[:16]}…"
            actual = f"{actual_bytes} bytes" if actual_bytes < num_bytes else f"more than {num_bytes} bytes"
            return f"{actual}, but the manifest says {num_bytes}"

        with atomic_write(path) as target:
            remote.fetch(name, target, num_bytes, find_fault)
            # Opened before the rename: another process may remove the file right after it.
            file = open(os.dup(target.fileno()), "rb", buffering=0)
            file.seek(0)
        self._trim(path)
        return file

    def _trim(self, newest: Path) -> None:
        with suppress(OSError):  # other processes remove files, too
            last_used = {path: path.stat().st_mtime for path in self.folder.iterdir()}
            shards = [path for path in last_used if _CACHED_NAME.fullmatch(path.name) and path != newest]
            shards.sort(key=last_used.__getitem__)
            oldest = shards[: max(0, len(shards) + 1 - self.keep)]
            for path in oldest:
                path.unlink(missing_ok=True)


def _acquire(held: ExitStack, path: Path) -> bool:
    try:
        held.enter_context(lock(path))
    except SketchforgeError:
        return False
    return True


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
