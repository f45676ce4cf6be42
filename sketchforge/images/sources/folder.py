"""Images in a folder tree."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources.captions import TABLES, read_captions
from sketchforge.images.sources.keys import as_text, image_key, readable_extensions
from sketchforge.images.sources.parquet_rows import is_parquet
from sketchforge.images.sources.passed_over import (
    BROKEN_LINKS,
    CAPTIONS_ALONE,
    REPEATED_FOLDERS,
    SHARD_FOLDERS,
    SPECIAL_FILES,
    WITHOUT_IMAGE,
    count_ending,
    describe_passed_over,
)
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource
from sketchforge.utils.files import open_file
from sketchforge.utils.progress import Progress

SHARD_FORMAT = b'"format": "sketchforge-'
INDEX = "sketchforge.index"  # lies among the images and is none of them


def images_in_folder(
    folder: Path,
    passed_over: Counter[str],
    listings: dict[str, str] | None = None,
    progress: Progress | None = None,
    videos: bool = False,
) -> Iterator[ImageSource]:
    """Yield all images under `folder`, at any depth, in byte order of their relative paths.

    Images are known by extension (`readable_extensions`, any case); `NAME.txt` and `NAME.json` beside
    `NAME.jpg` are its caption and metadata; where there is no `NAME.txt`, a table may give a caption (`read_captions`).
    Every other file is counted in `passed_over`, except hidden ones.
    listings: is given the `listing_digest` of every folder that is read, by its path relative to `folder`.
    progress: counts files. videos: take those for images, too, by their endings.
    Raises UsageError when there is no image or the folder holds shards, SketchforgeError when a part of the
    tree cannot be listed.
    """
    if _holds_shards(str(folder)):
        raise UsageError(
            f"{folder}: holds shards made by sketchforge; their images are --images '{folder}/*.tar'"
        )
    yield from images_among(
        walk_files(str(folder), passed_over, listings=listings), str(folder), passed_over, progress, videos
    )


def images_among(
    files: Iterable[tuple[str, FileState]],
    folder: str,
    passed_over: Counter[str],
    progress: Progress | None = None,
    videos: bool = False,
) -> Iterator[ImageSource]:
    """Yield the images among the files of a folder, which come as (path relative to it, state); as `images_in_folder`."""
    extensions = frozenset(readable_extensions(videos))
    names: list[str] = []
    sizes, modified = array("q"), array("q")
    others: dict[str, FileState] = {}
    progress = progress or Progress()
    with progress.track("file", 0):  # nobody knows how many there will be
        for name, state in files:
            if extension_of(name) in extensions:
                names.append(name)
                sizes.append(state.size)
                modified.append(state.modified)
            else:
                others[name] = state
            progress.advance()
    captions, used = read_captions(others)
    for number in sorted(range(len(names)), key=lambda number: os.fsencode(names[number])):
        name = names[number]
        stem = name[: name.rindex(".")]
        beside = [file if (file := f"{stem}.{ending}") in others else None for ending in ("txt", "json")]
        used.update(filter(None, beside))
        state = FileState(os.path.join(folder, name), sizes[number], modified[number])
        caption, metadata = (None if file is None else ByteSource.of_file(others[file]) for file in beside)
        if (text := captions.pop(name, "")) and caption is None:
            caption = ByteSource.of_text(text)
        yield ImageSource(image_key(name), as_text(name), ByteSource.of_file(state), caption, metadata)
    if captions:
        passed_over[CAPTIONS_ALONE] += len(captions)
    for name in sorted(others.keys() - used, key=os.fsencode):
        ending = extension_of(name)
        if others[name].size < 0:
            passed_over[BROKEN_LINKS] += 1
        elif ending in WITHOUT_IMAGE:
            passed_over[WITHOUT_IMAGE[ending]] += 1
        else:
            count_ending(passed_over, ending)
    if not names:
        hint = ""
        if any(name.endswith((".tar", ".tar.gz", ".tgz")) for name in others):
            hint = f"; there are tars: name them as --images '{folder}/*.tar'"
        elif any(is_parquet(name) for name in others):
            hint = f"; there are parquet files: name them as --images '{folder}/**/*.parquet'"
        counts = describe_passed_over(passed_over)
        endings = ", ".join("." + name for name in readable_extensions(videos))
        raise UsageError(
            f"{folder}: no images found, looked for {endings}{f'; {counts}' if counts else ''}{hint}"
        )


def extension_of(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()


def walk_files(
    root: str,
    passed_over: Counter[str],
    into_shards: bool = False,
    listings: dict[str, str] | None = None,
) -> Iterator[tuple[str, FileState]]:
    """Yield (path relative to `root`, state) of every file that is not hidden.

    Every real folder is listed once, in sorted order: folders first by the path that leads through no link,
    then what links lead to. So links in circles end, and a name does not depend on the order of a listing.
    into_shards: whether folders of shards are listed, too. listings: as for `images_in_folder`. Raises
    SketchforgeError when a folder cannot be listed.
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
            if listings is not None:
                listings[prefix] = _digest_entries(entries)
            inner: list[tuple[str, str]] = []
            for entry in entries:
                if _leads_to_folder(entry):
                    (links if entry.is_symlink() else inner).append((entry.path, f"{prefix}{entry.name}/"))
                elif _is_special(entry):
                    passed_over[SPECIAL_FILES] += 1
                else:
                    yield prefix + entry.name, FileState.now(entry.path)
            folders.extend(reversed(inner))


def listing_digest(folder: str) -> str:
    """16 hex digits that change when an entry of a folder is added, removed or renamed, or a link leads elsewhere.

    Raises SketchforgeError when it cannot be listed.
    """
    return _digest_entries(_list_folder(folder)[1])


def _digest_entries(entries: list[os.DirEntry[str]]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        target = b""
        if entry.is_symlink():
            with suppress(OSError):  # it has just gone
                target = os.fsencode(os.readlink(entry.path))
        is_folder = _leads_to_folder(entry)
        if is_folder and _holds_shards(entry.path):
            continue  # a rendering puts one there: its own inputs are the same afterwards
        digest.update(b"%s\0%s\0%d\n" % (os.fsencode(entry.name), target, is_folder))
        if entry.name.lower() in TABLES:  # what an index has taken from it is not looked at again
            digest.update(repr(FileState.now(entry.path)[1:]).encode())
    return digest.hexdigest()[:16]


def _list_folder(folder: str) -> tuple[tuple[int, int], list[os.DirEntry[str]]]:
    """(device and inode, entries that are not hidden, sorted by name)."""
    try:
        with os.scandir(folder) as listing:
            entries = [
                entry
                for entry in listing
                if not entry.name.startswith(".") and entry.name not in ("__MACOSX", INDEX)
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


def _holds_shards(folder: str) -> bool:
    try:
        with open_file(os.path.join(folder, "manifest.json")) as file:
            return SHARD_FORMAT in file.read(1 << 20)
    except OSError:
        return False
