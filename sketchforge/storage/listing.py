"""What lies at a URL: the files below a folder, those that a pattern means, the size and time of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sketchforge.storage.fetch import FetchPolicy, try_often
from sketchforge.storage.filesystems import REQUESTS, call, connect, scheme_of, transfer_errors
from sketchforge.storage.http_transport import http_size
from sketchforge.storage.stall_guard import StallGuard, TransferError

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")  # as clients call it


class RemoteFileStatus(NamedTuple):
    """Size and time of a file elsewhere; time 0 where a store does not tell."""

    size: int  # bytes
    modified: int  # nanoseconds


def walk_store(url: str, policy: FetchPolicy = FetchPolicy()) -> dict[str, RemoteFileStatus]:
    """Every file below a folder of a store, at any depth, by its path relative to the folder; {} for none."""
    found: dict[str, RemoteFileStatus] = {}

    def attempt() -> None:
        filesystem, root = connect(url.rstrip("/"))
        with transfer_errors():
            entries: Mapping[str, Mapping[str, Any]] = call(filesystem, "find", root, detail=True)
        start = len(root.rstrip("/")) + 1
        found.update((path[start:], _read_status(entry)) for path, entry in entries.items() if path[start:])

    try_often(attempt, url, "listed", policy)
    return found


def match_files(pattern: str, policy: FetchPolicy = FetchPolicy()) -> dict[str, RemoteFileStatus]:
    """The files of a store that a pattern with wildcards means, by their URLs."""
    found: dict[str, RemoteFileStatus] = {}

    def attempt() -> None:
        filesystem, path = connect(pattern)
        with transfer_errors():
            entries: Mapping[str, Mapping[str, Any]] = call(filesystem, "glob", path, detail=True)
        front = pattern[: pattern.index("://") + 3]
        found.update(
            (front + name.lstrip("/"), _read_status(entry))
            for name, entry in entries.items()
            if entry["type"] == "file"
        )

    try_often(attempt, pattern, "listed", policy)
    return found


def find_status(url: str, policy: FetchPolicy = FetchPolicy()) -> RemoteFileStatus:
    """The status of a file at a URL. Raises MissingFileError where there is none, SketchforgeError as `fetch` does."""
    found: list[RemoteFileStatus] = []

    def attempt() -> None:
        if scheme_of(url) in ("http", "https"):
            with StallGuard(policy.stall_seconds, policy.min_bytes) as guard:
                found.append(RemoteFileStatus(http_size(url, guard), 0))
            return
        filesystem, path = connect(url)
        with transfer_errors():
            entry = call(filesystem, "info", path, seconds=policy.stall_seconds)
        if entry["type"] == "directory":
            raise TransferError("a folder, not a file", lasting=True, missing=True)
        found.append(_read_status(entry))

    try_often(attempt, url, "found", policy)
    return found[0]


def find_statuses(urls: Iterable[str], policy: FetchPolicy = FetchPolicy()) -> dict[str, RemoteFileStatus]:
    """The status of each of several files, asked for at the same time; raises as `find_status` does."""
    addresses = list(urls)
    with ThreadPoolExecutor(REQUESTS) as threads:
        return dict(zip(addresses, threads.map(partial(find_status, policy=policy), addresses), strict=True))


def _read_status(entry: Mapping[str, Any]) -> RemoteFileStatus:
    time = next((entry[name] for name in _TIMES if entry.get(name) is not None), 0)
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    seconds = time.timestamp() if isinstance(time, datetime) else float(time)
    return RemoteFileStatus(int(entry["size"]), round(seconds * 1_000_000) * 1000)
