"""Images in a folder tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources.keys import EXTENSIONS, as_text, image_key
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource
from sketchforge.utils.files import open_file

_SHARD_FORMAT = b'"format": "sketchforge-'


def images_in_folder(folder: Path) -> list[ImageSource]:
    """All images under `folder`, at any depth, in byte order of their relative paths.

    Images are known by extension (EXTENSIONS, any case); `NAME.txt` and `NAME.json` beside `NAME.jpg` are its
    caption and metadata. Hidden files and folders are skipped, and so are folders that sketchforge wrote.
    Symbolic links are followed, except those to a folder that contains them. Raises UsageError when there is
    no image, SketchforgeError when a part of the tree cannot be listed.
    """
    files = dict(_walk(str(folder), "", ()))
    images = []
    for name in sorted((name for name in files if extension_of(name) in EXTENSIONS), key=os.fsencode):
        stem = name[: name.rindex(".")]
        byte_sources = [_create_byte_source(files.get(f"{stem}.{ending}")) for ending in ("txt", "json")]
        images.append(
            ImageSource(image_key(name), as_text(name), ByteSource.of_file(files[name]), *byte_sources)
        )
    if not images:
        hint = ""
        if any(name.endswith((".tar", ".tar.gz", ".tgz")) for name in files):
            hint = f"; there are tars: name them as --images '{folder}/*.tar'"
        extensions = ", ".join("." + name for name in EXTENSIONS)
        raise UsageError(f"{folder}: no images found, looked for {extensions}{hint}")
    return images


def extension_of(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()


def _create_byte_source(file: FileState | None) -> ByteSource | None:
    return None if file is None else ByteSource.of_file(file)


def _walk(
    folder: str, prefix: str, ancestors: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, FileState]]:
    """Yield (relative path, state) of every file.

    `ancestors`: (device, inode) of the folders above, so that cycles of links end.
    """
    try:
        with os.scandir(folder) as listing:
            entries = [
                entry for entry in listing if not entry.name.startswith(".") and entry.name != "__MACOSX"
            ]
        status = os.stat(folder)
    except OSError as error:
        raise SketchforgeError(f"{folder}: cannot be listed ({error.strerror or error})") from error
    folder_id = (status.st_dev, status.st_ino)
    if folder_id in ancestors or any(
        entry.name == "manifest.json" and _is_shard_manifest(entry.path) for entry in entries
    ):
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/", (*ancestors, folder_id))
        elif entry.is_file() or entry.is_symlink():
            # A dangling link counts, too: it is reported as unreadable, not silently dropped.
            yield prefix + entry.name, FileState.now(entry.path)


def _is_shard_manifest(manifest: str) -> bool:
    try:
        with open_file(manifest) as file:
            return _SHARD_FORMAT in file.read(1 << 20)
    except OSError:
        return False
