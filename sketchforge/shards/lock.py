"""Locks on a shard folder: one `render` at a time, or several tasks that share the work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sketchforge.errors import SketchforgeError
from sketchforge.shards import schema
from sketchforge.storage.folder import Folder, LocalFolder, RemoteFolder
from sketchforge.storage.lease import find_holder, lease
from sketchforge.utils.files import disk_errors
from sketchforge.utils.lock import created_folder, is_read_only, lock

FOLDER_LOCK = ".render.lock"
MANIFEST_LOCK = ".manifest.lock"  # held while the manifest is written
_TASK_LOCK = re.compile(r"\.task-\d+-of-\d+\.lock")


@contextmanager
def hold_folder(folder: Folder, task_id: int = 0, num_tasks: int = 1) -> Iterator[None]:
    """Hold an output folder for this process alone; as one of several tasks, hold this task's share of it.

    A missing folder is created, and removed at the end if it is still empty. Raises SketchforgeError when
    another `render` is at work in the folder, or the disk or the store refuses.
    """
    with ExitStack() as locks:
        if isinstance(folder, LocalFolder):
            _hold_local(folder.path, task_id, num_tasks, locks)
        elif isinstance(folder, RemoteFolder):
            _hold_remote(folder, task_id, num_tasks, locks)
        yield


def _hold_local(folder: Path, task_id: int, num_tasks: int, locks: ExitStack) -> None:
    locks.enter_context(created_folder(folder))
    if not is_read_only(folder, schema.MANIFEST):
        with disk_errors(folder):
            locks.enter_context(lock(folder / FOLDER_LOCK, shared=num_tasks > 1))
            if num_tasks > 1:
                locks.enter_context(lock(folder / task_lock(task_id, num_tasks)))


def _hold_remote(folder: RemoteFolder, task_id: int, num_tasks: int, locks: ExitStack) -> None:
    """Hold the folder's lock or the task's; then look for the other kind. Whoever comes second sees the first."""
    locks.enter_context(lease(folder, task_lock(task_id, num_tasks) if num_tasks > 1 else FOLDER_LOCK))
    names = folder.list()
    others = [FOLDER_LOCK] if num_tasks > 1 else [name for name in names if _TASK_LOCK.fullmatch(name)]
    for name in others:
        if name in names and (holder := find_holder(folder, name)) is not None:
            raise SketchforgeError(
                f"{folder}: another `sketchforge render` is at work there ({holder}); wait for it, or choose another "
                "folder"
            )


def task_lock(task_id: int, num_tasks: int) -> str:
    return f".task-{task_id}-of-{num_tasks}.lock"


@contextmanager
def hold_manifest(folder: Folder) -> Iterator[None]:
    """Hold the manifest while it is written, against other tasks; a store puts whole objects one after another."""
    with ExitStack() as locks:
        if isinstance(folder, LocalFolder):
            locks.enter_context(lock(folder.path / MANIFEST_LOCK, wait=True))
        yield


def remove_stale_locks(folder: Folder) -> None:
    """Remove the locks that no process holds. Killed processes leave them; they block nothing."""
    if isinstance(folder, LocalFolder):
        for path in folder.path.glob(".*.lock"):
            with suppress(OSError, SketchforgeError), lock(path):
                pass
    elif isinstance(folder, RemoteFolder):
        for name in folder.list():
            if (name == FOLDER_LOCK or _TASK_LOCK.fullmatch(name)) and find_holder(folder, name) is None:
                folder.remove(name)
