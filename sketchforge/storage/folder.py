"""A folder of files: on this machine, or in a store elsewhere. What shards are written to, and read from."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.storage.fetch import FetchPolicy, MissingFileError, fetch, fetch_bytes, try_often
from sketchforge.storage.filesystems import (
    REQUESTS,
    call,
    connect,
    has_scheme,
    is_atomic,
    is_url,
    scheme_of,
    transfer_errors,
)
from sketchforge.storage.listing import find_status
from sketchforge.storage.stall_guard import TransferError
from sketchforge.storage.temporary_folder import TemporaryFolder
from sketchforge.utils import files

PLACE = "{}"  # stands for the file name in a source
SUBFOLDER = -1  # in a listing, in the place of a file's bytes
MIN_RATE = 1 << 14  # bytes a second: what is sent more slowly is given up


class Folder(Protocol):
    """The files of a folder, by name.

    OSError: of the disk; MissingFileError where a file is not there; SketchforgeError: of a store, after all tries.
    """

    def address(self, name: str) -> str:
        """A file as messages name it."""

    def list(self) -> dict[str, int]:
        """The bytes of every file by name, SUBFOLDER for folders; {} where the folder is not there."""

    def find_size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none."""

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        """A file's contents. Raises FileNotFoundError, and ValueError for more bytes; None: than files.MAX_JSON_BYTES."""

    def read_several(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """(name, contents) of files, in order, at most files.MAX_JSON_BYTES each; without those that are not there."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, which appears as a whole."""

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to be written, which appears as a whole when the block ends; not if it raises."""

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""

    def sweep(self) -> None:
        """Remove what writers that were killed have left."""


def is_remote(source: str | Path) -> bool:
    """Whether a source is fetched from: a URL, or a text with {} for the file name."""
    if not isinstance(source, str) or os.path.isdir(source):
        return False
    return PLACE in source or has_scheme(source)


def folder_at(place: str | Path) -> Folder:
    """The folder at a path or a URL, whether it is there or not. Raises UsageError as RemoteFolder does."""
    if isinstance(place, str) and scheme_of(place) == "file" and is_url(place) and PLACE not in place:
        return LocalFolder(Path(unquote(urlsplit(place).path)))
    return RemoteFolder(str(place)) if is_remote(place) else LocalFolder(Path(place))


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine, or one that is mounted."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def address(self, name: str) -> str:
        return str(self.path / name)

    def list(self) -> dict[str, int]:
        sizes = {}
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # removed meanwhile
                        sizes[entry.name] = SUBFOLDER if entry.is_dir() else entry.stat().st_size
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SketchforgeError(f"{self.path}: cannot be listed ({error.strerror or error})") from error
        return sizes

    def find_size(self, name: str) -> int | None:
        path = self.path / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        return files.read_bounded(self.path / name, max_bytes)

    def read_several(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            with suppress(OSError, ValueError):
                yield name, self.read(name)

    def write(self, name: str, data: bytes) -> None:
        files.write_bytes(self.path / name, data, sweep=False)

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        return files.atomic_write(self.path / name, sweep=False)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        files.remove_abandoned(self.path)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder elsewhere.

    source: the folder's URL, or a text that becomes a file's address when its {} is replaced by the name; for
    what may be an address, see `fetch`. Where it has no {} and is none of HTTP, it can be listed and written to, too.
    Raises UsageError for a pipe without {}.
    """

    source: str
    policy: FetchPolicy = FetchPolicy()

    def __post_init__(self) -> None:
        if self.source.startswith("pipe:") and PLACE not in self.source:
            raise UsageError(
                f"{self.source}: does not say where the file name goes; put {{}} there, as in "
                "pipe:cat out/{}"
            )

    def __str__(self) -> str:
        return self.source

    def address(self, name: str) -> str:
        if PLACE in self.source:
            return self.source.replace(PLACE, name)
        return f"{self.source.rstrip('/')}/{name}"

    @property
    def is_store(self) -> bool:
        """Whether it can be listed and written to."""
        return PLACE not in self.source and scheme_of(self.source) not in ("http", "https", "pipe")

    def fetch(
        self,
        name: str,
        target: BinaryIO,
        max_bytes: int,
        find_fault: Callable[[int, str], str | None],
    ) -> None:
        """Fetch the file `name` into `target`; arguments and errors as of `fetch`."""
        fetch(self.address(name), target, max_bytes, find_fault, self.policy)

    def list(self) -> dict[str, int]:
        sizes: dict[str, int] = {}

        def attempt() -> None:
            filesystem, path = self._connect()
            with transfer_errors():
                # Not ended as a whole: a hundred thousand files are hundreds of requests, which end by themselves.
                entries = call(filesystem, "ls", path, detail=True)
            for entry in entries:
                name = str(entry["name"]).rstrip("/").rpartition("/")[2]
                # A folder may be an object of its own, which is listed in it.
                if str(entry["name"]).strip("/") != path.strip("/"):
                    sizes[name] = SUBFOLDER if entry["type"] == "directory" else int(entry["size"])

        with suppress(MissingFileError):
            try_often(attempt, self.source, "listed", self.policy)
        return sizes

    def find_size(self, name: str) -> int | None:
        try:
            return find_status(self.address(name), self.policy).size
        except MissingFileError:
            return None

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        def find_fault(data: bytes) -> str | None:
            # Anything else than an object, as a rule a page for people, is what the address has.
            is_json = name.endswith(".json") and data.startswith(b"{")
            return "cut off" if is_json and not files.is_json(data) else None

        try:
            limit = files.MAX_JSON_BYTES if max_bytes is None else max_bytes
            return fetch_bytes(self.address(name), limit, self.policy, find_fault=find_fault)
        except MissingFileError as error:
            raise FileNotFoundError(str(error)) from error

    def read_several(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        def read(name: str) -> tuple[str, bytes] | None:
            try:
                return name, self.read(name)
            except FileNotFoundError:
                return None

        with ThreadPoolExecutor(REQUESTS) as threads:
            yield from filter(None, threads.map(read, names))

    def write(self, name: str, data: bytes) -> None:
        self._put(name, len(data), "pipe_file", lambda path: (path, data))

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """The file is written here first, and sent when the block ends."""
        with TemporaryFolder() as folder:
            local = folder.path / name
            with open(local, "wb") as file:
                yield file
            size = local.stat().st_size
            self._put(name, size, "put_file", lambda path: (str(local), path))

    def remove(self, name: str) -> None:
        def attempt() -> None:
            filesystem, path = self._connect(name)
            with transfer_errors():
                call(filesystem, "rm_file", path, seconds=self.policy.stall_seconds)

        with suppress(MissingFileError):
            try_often(attempt, self.address(name), "removed", self.policy)

    def sweep(self) -> None:
        """Nothing: what is half sent is not to be seen, or is written over by whoever sends it again."""

    def claim(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one; return whether there was none.

        Stores with a conditional put (S3, Google's, memory) decide it among any number of processes; with others, two at
        the same moment may both be told that there was none.
        """
        claimed: list[bool] = []

        def attempt() -> None:
            filesystem, path = self._connect(name)
            try:
                with transfer_errors():
                    seconds = self.policy.stall_seconds
                    call(filesystem, "pipe_file", path, data, mode="create", seconds=seconds)
                claimed.append(True)
            except TransferError as error:
                if not isinstance(error.__cause__, FileExistsError) and "PreconditionFailed" not in str(
                    error
                ):
                    raise
                claimed.append(False)

        try_often(attempt, self.address(name), "written", self.policy)
        return claimed[0]

    def _connect(self, name: str | None = None) -> tuple[Any, str]:
        """fsspec's file system, and the path of the folder or of a file in it."""
        if not self.is_store:
            raise UsageError(
                f"{self.source}: can only be read from, file by file; name a folder, or the URL of one in a store, as s3://bucket/folder"
            )
        return connect(self.source.rstrip("/") if name is None else self.address(name))

    def _put(self, name: str, size: int, method: str, arguments: Callable[[str], tuple[Any, ...]]) -> None:
        """Send a file of so many bytes, under another name first where stores show what is half sent.

        arguments: those of the file system's method, by the path in it.
        """
        seconds = self.policy.stall_seconds + size / MIN_RATE

        def attempt() -> None:
            final = self.address(name)
            sent = name if is_atomic(final) else f".{name}.part"
            filesystem, path = self._connect(sent)
            with transfer_errors():
                call(filesystem, method, *arguments(path), seconds=seconds)
                status = call(filesystem, "info", path, seconds=self.policy.stall_seconds)
                if status["size"] != size:
                    raise TransferError(f"{status['size']:,} bytes came to be there, of {size:,}")
                if sent != name:
                    filesystem.mv(path, self._connect(name)[1])

        try_often(attempt, self.address(name), "written", self.policy)


def can_be_listed(folder: Folder) -> bool:
    """Whether the names of a folder's files can be asked for: not by HTTP, nor of a command."""
    return not isinstance(folder, RemoteFolder) or folder.is_store


@contextmanager
def local_copies(folder: Folder, names: Collection[str], max_bytes: int) -> Iterator[LocalFolder]:
    """A folder on this machine with these files of `folder`, of at most so many bytes each, for as long as the block runs.

    Files that are not there are missing in it, too. A folder on this machine is its own copy.
    """
    with ExitStack() as stack:
        if isinstance(folder, LocalFolder):
            yield folder
            return
        assert isinstance(folder, RemoteFolder)
        copies = stack.enter_context(TemporaryFolder())
        for name in names:
            with open(copies.path / name, "wb") as target:
                try:
                    folder.fetch(name, target, max_bytes, lambda *_: None)
                except MissingFileError:
                    (copies.path / name).unlink()
        yield LocalFolder(copies.path)
