"""Locks on files, for folders that one process at a time may write to.

The locks are kernel locks (flock). The kernel releases a lock when its process ends, however it ends, so a
file left behind never blocks. The file names its holder, and the last holder removes it. Where the system or
the file system has no such locks, nothing is locked.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sketchforge.errors import SketchforgeError
from sketchforge.utils.files import disk_errors
from sketchforge.utils.signals import deferred_signals

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def lock(
    path: Path, shared: bool = False, wait: bool = False, user: str = "`sketchforge render`"
) -> Iterator[None]:
    """Hold the lock file `path`; `shared` admits other shared holders.

    user: what holds such locks, for the message. Raises SketchforgeError naming the holder when another
    process has the lock and `wait` is not set.
    """
    descriptor = None
    try:
        # A signal between opening the file and knowing of it would leave the file behind.
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            descriptor = _acquire(path, shared, wait, user)
        yield
    finally:
        if descriptor is not None:
            with deferred_signals(signal.SIGINT, signal.SIGTERM):
                _release(descriptor, path)


@contextmanager
def created_folder(folder: Path) -> Iterator[None]:
    """Create a folder where it is missing; at the end remove it, and parents that are new, if still empty.

    Raises SketchforgeError when the disk refuses.
    """
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for path in new_folders:
            with suppress(OSError):  # the folder is not empty
                path.rmdir()


def is_read_only(folder: Path, marker: str) -> bool:
    """Whether the folder has the file `marker` and cannot be written to: then nobody is at work in it."""
    return (folder / marker).exists() and not os.access(folder, os.W_OK)


def _acquire(path: Path, shared: bool, wait: bool, user: str) -> int | None:
    if fcntl is None:
        return None
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        # The file is written over, so it is never opened through a link that somebody has put there.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, operation)
            if _is_same_file(descriptor, path):
                if not shared:
                    os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip().splitlines()
            os.close(descriptor)
            raise SketchforgeError(
                f"{path.parent}: another {user} is at work there"
                f"{f' ({holder[0]})' if holder else ''}; wait for it, or choose another folder"
            ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno in _UNSUPPORTED:
                return None
            raise
        os.close(descriptor)  # its last holder has removed it meanwhile: try the file that is there now


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _release(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no other holder is left: remove the file
        if _is_same_file(descriptor, path):
            path.unlink(missing_ok=True)
    except OSError:
        pass
    finally:
        os.close(descriptor)
