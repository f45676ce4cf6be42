"""Locks on a shard folder: one `render` at a time, or several tasks that share the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sketchforge.errors import SketchforgeError
from sketchforge.shards import schema
from sketchforge.utils.files import disk_errors
from sketchforge.utils.lock import created_folder, is_read_only, lock

FOLDER_LOCK = ".render.lock"
MANIFEST_LOCK = ".manifest.lock"  # held while the manifest is written


@contextmanager
def hold_folder(folder: Path, task_id: int = 0, num_tasks: int = 1) -> Iterator[None]:
    """Hold an output folder for this process alone; as one of several tasks, hold this task's share of it.

    A missing folder is created, and removed at the end if it is still empty. Raises SketchforgeError when
    another `render` is at work in the folder, or the disk refuses.
    """
    with created_folder(folder), ExitStack() as locks:
        if not is_read_only(folder, schema.MANIFEST):
            with disk_errors(folder):
                locks.enter_context(lock(folder / FOLDER_LOCK, shared=num_tasks > 1))
                if num_tasks > 1:
                    locks.enter_context(lock(folder / task_lock(task_id, num_tasks)))
        yield


def task_lock(task_id: int, num_tasks: int) -> str:
    return f".task-{task_id}-of-{num_tasks}.lock"


def remove_stale_locks(folder: Path) -> None:
    """Remove the lock files that no process holds. Killed processes leave them; they block nothing."""
    for path in folder.glob(".*.lock"):
        with suppress(OSError, SketchforgeError), lock(path):
            pass
