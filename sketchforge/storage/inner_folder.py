"""A folder within a folder, here or in a store, and files that move from there into the outer one."""

from __future__ import annotations

import os
from contextlib import suppress

from sketchforge.errors import SketchforgeError
from sketchforge.storage.fetch import try_often
from sketchforge.storage.filesystems import connect, transfer_errors
from sketchforge.storage.folder import Folder, LocalFolder, RemoteFolder
from sketchforge.utils.files import sync_folder


def inner_folder(folder: Folder, name: str) -> Folder:
    """The folder of this name in another one, whether it is there or not."""
    if isinstance(folder, LocalFolder):
        return LocalFolder(folder.path / name)
    assert isinstance(folder, RemoteFolder)
    return RemoteFolder(f"{folder.source.rstrip('/')}/{name}", folder.policy)


def take_file(folder: Folder, inner: Folder, name: str) -> None:
    """Move a file of a folder in `folder` into it, where it appears as a whole; one that is moved already stays.

    Raises OSError of the disk, SketchforgeError of a store, and where the file is in neither folder.
    """
    if inner.find_size(name) is None:
        if folder.find_size(name) is None:
            raise SketchforgeError(
                f"{inner.address(name)}: is gone; remove {inner}, and run the command again"
            )
        return
    if isinstance(folder, LocalFolder) and isinstance(inner, LocalFolder):
        os.replace(inner.path / name, folder.path / name)
    elif isinstance(folder, RemoteFolder) and isinstance(inner, RemoteFolder):

        def attempt() -> None:
            filesystem, path = connect(inner.address(name))
            with transfer_errors():
                filesystem.mv(path, connect(folder.address(name))[1])

        try_often(attempt, folder.address(name), "written", folder.policy)


def remove_folder(folder: Folder) -> None:
    """Remove a folder that is empty, where there is such a thing; one that holds something stays."""
    if isinstance(folder, LocalFolder):
        with suppress(OSError):
            folder.path.rmdir()
    elif isinstance(folder, RemoteFolder) and not folder.list():
        with suppress(Exception):  # each kind of store has its own; buckets know no folders
            filesystem, path = connect(folder.source)
            filesystem.rmdir(path)


def sync(folder: Folder) -> None:
    """Make what was moved survive a power cut."""
    if isinstance(folder, LocalFolder):
        sync_folder(folder.path)
