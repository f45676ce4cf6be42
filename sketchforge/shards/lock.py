"""Locks on a shard folder: one `render` at a time, or several tasks that share the work.

The locks are kernel locks on files (flock). The kernel releases a lock when its process ends, however it
ends, so a file left behind never blocks. The file names its holder, and the last holder removes it. Where the
system or the file system has no such locks, nothing is locked.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sketchforge.errors import SketchforgeError
from sketchforge.shards import schema
from sketchforge.utils.files import disk_errors
from sketchforge.utils.signals import deferred_signals

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

FOLDER_LOCK = ".render.lock"
MANIFEST_LOCK = ".manifest.lock"  # held while the manifest is written
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def lock(path: Path, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`; `shared` admits other shared holders.

    Raises SketchforgeError naming the holder when another process has it and `wait` is not set.
    """
    descriptor = None
    try:
        # A signal between opening the file and knowing of it would leave the file behind.
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            descriptor = _acquire(path, shared, wait)
        yield
    finally:
        if descriptor is not None:
            with deferred_signals(signal.SIGINT, signal.SIGTERM):
                _release(descriptor, path)


@contextmanager
def hold_folder(folder: Path, task_id: int = 0, num_tasks: int = 1) -> Iterator[None]:
    """Hold an output folder for this process alone; as one of several tasks, hold this task's share of it.

    A missing folder is created, and removed at the end if it is still empty. Raises SketchforgeError when
    another `render` is at work in the folder, or the disk refuses.
    """
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with ExitStack() as locks:
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                if not _is_read_only(folder):
                    locks.enter_context(lock(folder / FOLDER_LOCK, shared=num_tasks > 1))
                    if num_tasks > 1:
                        locks.enter_context(lock(folder / task_lock(task_id, num_tasks)))
            yield
    finally:
        for path in new_folders:
            with suppress(OSError):  # the folder is not empty
                path.rmdir()


def _is_read_only(folder: Path) -> bool:
    """Whether the folder has a manifest and cannot be written to: then nothing can be rendering into it."""
    return (folder / schema.MANIFEST).exists() and not os.access(folder, os.W_OK)


def task_lock(task_id: int, num_tasks: int) -> str:
    return f".task-{task_id}-of-{num_tasks}.lock"


def remove_stale_locks(folder: Path) -> None:
    """Remove the lock files that no process holds. Killed processes leave them; they block nothing."""
    for path in folder.glob(".*.lock"):
        with suppress(OSError, SketchforgeError), lock(path):
            pass


def _acquire(path: Path, shared: bool, wait: bool) -> int | None:
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
                f"{path.parent}: another `sketchforge render` is at work there"
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
