"""Images in a folder tree."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources.keys import as_text, image_key, readable_extensions
from sketchforge.images.sources.passed_over import (
    BROKEN_LINKS,
    REPEATED_FOLDERS,
    SHARD_FOLDERS,
    SPECIAL_FILES,
    WITHOUT_IMAGE,
    count_ending,
    describe_passed_over,
)
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource
from sketchforge.utils.files import open_file

SHARD_FORMAT = b'"format": "sketchforge-'


def images_in_folder(folder: Path, passed_over: Counter[str]) -> list[ImageSource]:
    """All images under `folder`, at any depth, in byte order of their relative paths.

    Images are known by extension (`readable_extensions`, any case); `NAME.txt` and `NAME.json` beside
    `NAME.jpg` are its caption and metadata. Every other file is counted in `passed_over`, except hidden ones.
    Raises UsageError when there is no image or the folder holds shards, SketchforgeError when a part of the
    tree cannot be listed.
    """
    if _holds_shards(str(folder)):
        raise UsageError(
            f"{folder}: holds shards made by sketchforge; their images are --images '{folder}/*.tar'"
        )
    return images_among(dict(walk_files(str(folder), passed_over)), str(folder), passed_over)


def images_among(files: Mapping[str, FileState], folder: str, passed_over: Counter[str]) -> list[ImageSource]:
    """The images among the files of a folder, by their paths relative to it; as `images_in_folder`."""
    extensions = frozenset(readable_extensions())
    images, captions = [], set()
    for name in sorted((name for name in files if extension_of(name) in extensions), key=os.fsencode):
        stem = name[: name.rindex(".")]
        beside = [f"{stem}.{ending}" for ending in ("txt", "json")]
        captions.update(beside)
        images.append(
            ImageSource(
                image_key(name),
                as_text(name),
                ByteSource.of_file(files[name]),
                *(_create_byte_source(files.get(path)) for path in beside),
            )
        )
    for name in sorted(files, key=os.fsencode):
        ending = extension_of(name)
        if ending in extensions or name in captions:
            continue
        if files[name].size < 0:
            passed_over[BROKEN_LINKS] += 1
        elif ending in WITHOUT_IMAGE:
            passed_over[WITHOUT_IMAGE[ending]] += 1
        else:
            count_ending(passed_over, ending)
    if not images:
        hint = ""
        if any(name.endswith((".tar", ".tar.gz", ".tgz")) for name in files):
            hint = f"; there are tars: name them as --images '{folder}/*.tar'"
        counts = describe_passed_over(passed_over)
        endings = ", ".join("." + name for name in readable_extensions())
        raise UsageError(
            f"{folder}: no images found, looked for {endings}{f'; {counts}' if counts else ''}{hint}"
        )
    return images


def extension_of(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()


def walk_files(
    root: str, passed_over: Counter[str], into_shards: bool = False
) -> Iterator[tuple[str, FileState]]:
    """Yield (path relative to `root`, state) of every file that is not hidden.

    Every real folder is listed once, in sorted order: folders first by the path that leads through no link,
    then what links lead to. So links in circles end, and a name does not depend on the order of a listing.
    into_shards: whether folders of shards are listed, too. Raises SketchforgeError when a folder cannot be
    listed.
    """
    seen: set[tuple[int, int]] = set()
    links = deque([(root, "")])
    while links:
        folders = [links.popleft()]
        while folders:
            folder, prefix = folders.pop()
            folder_id, entries = _list_folder(folder)
            if folder_id in seen:
                passed_over[REPEATED_FOLDERS] += 1
                continue
            seen.add(folder_id)
            if prefix and not into_shards and _holds_shards(folder):
                passed_over[SHARD_FOLDERS] += 1
                continue
            inner: list[tuple[str, str]] = []
            for entry in entries:
                if _leads_to_folder(entry):
                    (links if entry.is_symlink() else inner).append((entry.path, f"{prefix}{entry.name}/"))
                elif _is_special(entry):
                    passed_over[SPECIAL_FILES] += 1
                else:
                    yield prefix + entry.name, FileState.now(entry.path)
            folders.extend(reversed(inner))


def _list_folder(folder: str) -> tuple[tuple[int, int], list[os.DirEntry[str]]]:
    """(device and inode, entries that are not hidden, sorted by name)."""
    try:
        with os.scandir(folder) as listing:
            entries = [
                entry for entry in listing if not entry.name.startswith(".") and entry.name != "__MACOSX"
            ]
        status = os.stat(folder)
    except OSError as error:
        raise SketchforgeError(f"{folder}: cannot be listed ({error.strerror or error})") from error
    return (status.st_dev, status.st_ino), sorted(entries, key=lambda entry: os.fsencode(entry.name))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is, or links to, what is neither file nor folder: reading a pipe may never end."""
    return os.path.exists(entry.path) and not os.path.isfile(entry.path)


def _create_byte_source(file: FileState | None) -> ByteSource | None:
    return None if file is None else ByteSource.of_file(file)


def _holds_shards(folder: str) -> bool:
    try:
        with open_file(os.path.join(folder, "manifest.json")) as file:
            return SHARD_FORMAT in file.read(1 << 20)
    except OSError:
        return False
