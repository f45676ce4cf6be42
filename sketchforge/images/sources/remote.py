"""Images at URLs: in a folder of a store, in tars, or named one by one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from sketchforge.errors import UsageError
from sketchforge.images.sources.folder import SHARD_FORMAT, images_among
from sketchforge.images.sources.passed_over import SHARD_FOLDERS
from sketchforge.images.sources.source import FileState, ImageSource
from sketchforge.storage.fetch import MissingFileError, fetch_bytes
from sketchforge.storage.filesystems import is_url, scheme_of
from sketchforge.storage.listing import find_status, find_statuses, match_files, walk_store

_WILDCARDS = re.compile(r"[*?\[]")
_MANIFEST = "manifest.json"
_MANIFEST_BYTES = 256 << 20
_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX(/|$))")


def is_remote_folder(url: str) -> bool:
    """Whether a URL names a folder: there is no such file. Web servers have no folders that can be listed."""
    if scheme_of(url) in ("http", "https") or re.search(r"[*?\[{]", url):
        return False
    try:
        find_status(url)
    except MissingFileError:
        return True
    return False


def images_in_remote_folder(url: str, passed_over: Counter[str]) -> Iterator[ImageSource]:
    """All images below a folder of a store, as `images_in_folder` finds them here.

    Raises UsageError when there is no image or the folder holds shards, SketchforgeError when it cannot be listed.
    """
    root = url.rstrip("/")
    found = {name: status for name, status in walk_store(root).items() if not _HIDDEN.search(name)}
    if not found:
        raise UsageError(f"{url}: no such folder or file, or an empty one; expected images there")
    for name in [name for name in found if name.rpartition("/")[2] == _MANIFEST]:
        folder = name[: -len(_MANIFEST)]
        if SHARD_FORMAT not in fetch_bytes(f"{root}/{name}", _MANIFEST_BYTES):
            continue
        if not folder:
            raise UsageError(
                f"{url}: holds shards made by sketchforge; their images are --images '{root}/*.tar'"
            )
        passed_over[SHARD_FOLDERS] += 1
        found = {path: status for path, status in found.items() if not path.startswith(folder)}
    files = ((name, FileState(f"{root}/{name}", *status)) for name, status in found.items())
    return images_among(files, root, passed_over)


def expand_remote(pattern: str) -> dict[str, FileState]:
    """The files that a URL means, with braces and, in a store, wildcards: URL -> state.

    Raises UsageError where nothing matches.
    """
    from braceexpand import UnbalancedBracesError, braceexpand  # type: ignore[attr-defined]  # not in its types

    try:
        alternatives = list(braceexpand(pattern))
    except UnbalancedBracesError as error:
        raise UsageError(f"{pattern}: its braces do not match ({error})") from error
    plain = [url for url in alternatives if not _WILDCARDS.search(url)]
    try:
        states = find_states(plain)
    except MissingFileError as error:
        raise UsageError(f"{error}; expected images there") from error
    for url in alternatives:
        if url in states:
            continue
        if scheme_of(url) in ("http", "https"):
            raise UsageError(
                f"{url}: a web server does not list its files; write them with braces, as in {{00..09}}.tar"
            )
        matched = match_files(url)
        if not matched:
            raise UsageError(f"{url}: no file matches; expected images there")
        states.update((address, FileState(address, *matched[address])) for address in sorted(matched))
    return states


def find_states(paths: Iterable[str]) -> dict[str, FileState]:
    """The states of files, here or at URLs: those are asked for at the same time. Raises as `find_status` does."""
    listed = list(paths)
    statuses = find_statuses(path for path in listed if is_url(path))
    return {
        path: FileState(path, *statuses[path]) if path in statuses else FileState.now(path) for path in listed
    }


def name_below(urls: Iterable[str], pattern: str) -> dict[str, str]:
    """The names of what a pattern means, relative to the part before its first wildcard: URL -> name."""
    base = re.split(r"[*?\[{]", pattern)[0].rpartition("/")[0] + "/"
    return {url: url.removeprefix(base) for url in urls}
