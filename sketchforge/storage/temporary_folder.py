"""Temporary folders that nobody is left with."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from sketchforge.errors import SketchforgeError
from sketchforge.utils.files import try_lock

_PREFIX = "sketchforge-files-"
_ATTEMPTS = 5
_OWNER_LOCK = ".owner.lock"  # held as long as its process lives


class TemporaryFolder:
    """A folder for files from elsewhere: of this process, and gone with it at the latest.

    Where the process is killed, the next one that makes such a folder removes it. Raises SketchforgeError when
    none can be made.
    """

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        _remove_abandoned_folders(parent)
        self._owner = os.getpid()
        self._lock: int | None = None
        try:
            for _ in range(_ATTEMPTS):
                self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
                # Until it is locked, another process may take it for an abandoned one, and remove it.
                with suppress(FileNotFoundError):
                    self._lock = os.open(self.path / _OWNER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
                    if try_lock(self._lock) and os.fstat(self._lock).st_nlink:
                        return
                    os.close(self._lock)
                    self._lock = None
                shutil.rmtree(self.path, ignore_errors=True)
            # There are no locks: folders of killed processes stay, then.
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        except OSError as error:
            raise SketchforgeError(
                f"{parent}: no temporary folder can be made there ({error.strerror or error}); name a folder "
                "by --cache, or another one by TMPDIR"
            ) from error

    def __enter__(self) -> TemporaryFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        if os.getpid() == self._owner:  # not a forked child of it
            shutil.rmtree(self.path, ignore_errors=True)
            if self._lock is not None:
                os.close(self._lock)


def _remove_abandoned_folders(parent: Path) -> None:
    """Remove the folders of this user's processes that were killed: nobody holds their locks."""
    user = os.getuid() if hasattr(os, "getuid") else None
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if not entry.name.startswith(_PREFIX) or not entry.is_dir(follow_symlinks=False):
                continue
            with suppress(OSError):
                if user not in (None, entry.stat(follow_symlinks=False).st_uid):
                    continue
                descriptor = os.open(Path(entry.path) / _OWNER_LOCK, os.O_RDWR)
                try:
                    if try_lock(descriptor):
                        shutil.rmtree(entry.path, ignore_errors=True)
                finally:
                    os.close(descriptor)
