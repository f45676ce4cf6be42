"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import signal
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from sketchforge.errors import SketchforgeError, WrongFormatError
from sketchforge.utils.signals import deferred_signals

MAX_JSON_BYTES = 256 << 20  # the manifest of half a million shards has less
_PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{16}\.part")


@contextmanager
def atomic_write(path: Path, sweep: bool = True) -> Iterator[BinaryIO]:
    """Give an open file to write; on success flush it to disk and rename it to `path`, else remove it.

    The partial file lies beside `path` under an unpredictable name and is opened without following links, so
    a planted link has no effect. A lock on it says that its writer is alive. Partial files of `path` that
    killed writers have left are removed first, unless `sweep` is False (for large folders: see
    `remove_abandoned`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if sweep:
        remove_abandoned(path.parent, path.name)
    partial, file = None, None
    try:
        # Else a signal between creation and assignment would leave the file behind.
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            partial, file = _create_partial(path)
        yield file
        file.flush()
        os.fsync(file.fileno())
        os.replace(partial, path)
        file.close()
    except BaseException as error:
        if file is not None:
            with suppress(OSError):  # a full disk refuses the last buffer, too
                file.close()
        if partial is not None:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            error.filename, error.filename2 = str(path), None  # the name that the user knows
        raise
    sync_folder(path.parent)


def remove_abandoned(folder: Path, name: str | None = None) -> None:
    """Remove partial files that killed processes have left in `folder`: those of the file `name`, or all.

    Files that their writers still lock stay. All of them stay where the file system has no locks.
    """
    try:
        entries = [(entry, _PARTIAL.fullmatch(entry)) for entry in os.listdir(folder)]
    except OSError:
        return
    short_name = None if name is None else _shorten(name)
    for entry, match in entries:
        if match is not None and short_name in (None, match[1]):
            with suppress(OSError):
                descriptor = os.open(folder / entry, os.O_RDONLY | _NO_LINK)
                try:
                    if try_lock(descriptor):
                        os.unlink(folder / entry)
                finally:
                    os.close(descriptor)


def is_partial(name: str) -> bool:
    """Whether a file has the name of a partial file of `atomic_write`."""
    return _PARTIAL.fullmatch(name) is not None


_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def _create_partial(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        partial = path.with_name(f".{_shorten(path.name)}.{secrets.token_hex(8)}.part")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)
        descriptor = os.open(partial, flags, 0o666)
        try_lock(descriptor)
        if os.fstat(descriptor).st_nlink:  # else another process removed it before it was locked
            return partial, open(descriptor, "wb", buffering=1 << 20)
        os.close(descriptor)


def _shorten(name: str) -> str:
    """Cut a file's name to 200 bytes, which leaves room for the prefix and suffix of a partial file."""
    return os.fsdecode(os.fsencode(name)[:200])


def try_lock(descriptor: int) -> bool:
    """Lock a file against other processes, as long as it is open; return whether it succeeded."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut (a no-op where folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class NotAFileError(OSError):
    """What is to be read is a pipe, a socket, a device or a folder."""


def open_file(path: Path | str) -> BinaryIO:
    """Open a regular file for reading. A pipe would block until somebody writes to it.

    Raises NotAFileError for whatever is not a regular file, at once, and OSError.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that is not there
            raise NotAFileError(errno.ENXIO, "not a file", os.fspath(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFileError(errno.EINVAL, "not a file", os.fspath(path))
    return open(descriptor, "rb")


def write_bytes(path: Path, data: bytes | memoryview, sweep: bool = True) -> None:
    with atomic_write(path, sweep) as file:
        file.write(data)


def write_json(path: Path, value: object, sweep: bool = True) -> None:
    """Write JSON with sorted keys and a final newline, so that equal values are equal bytes."""
    write_bytes(path, encode_json(value), sweep)


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises OSError, and ValueError for what `parse_json` refuses and for more than MAX_JSON_BYTES.
    """
    return parse_json(read_bounded(path))


def read_bounded(path: Path, max_bytes: int | None = None) -> bytes:
    """The contents of a file, by default of JSON, of at most so many bytes. Raises OSError, and ValueError for more."""
    max_bytes = MAX_JSON_BYTES if max_bytes is None else max_bytes
    data = bytearray()
    with open_file(path) as file:
        while chunk := file.read(1 << 20):  # in chunks: read(limit) would allocate the limit at once
            data += chunk
            if len(data) > max_bytes:
                raise ValueError(f"more than {max_bytes:,} bytes")
    return bytes(data)


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError for whatever is wrong with it.

    That includes too deep nesting, and NaN and infinity, which Python's own parser accepts.
    """
    try:
        return json.loads(data, parse_constant=_parse_finite, parse_float=_parse_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_json(data: bytes | str) -> bool:
    """Whether a text is what `parse_json` reads."""
    try:
        parse_json(data)
    except ValueError:
        return False
    return True


def _parse_finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number that JSON has")
    return value


def has_shape(value: object, shape: object) -> bool:
    """Whether a JSON value has a shape: a type, [shape of every item], or {key: shape}, with ... for any key.

    `int` is a non-negative integer below 2^63, `float` is any number. Objects may hold further keys.
    Examples: `str`, `[int]`, `{"name": str, "sizes": {...: int}}`.
    """
    if isinstance(shape, list):
        return isinstance(value, list) and all(has_shape(item, shape[0]) for item in value)
    if shape is float:
        return type(value) is float or (type(value) is int and abs(value) < 1 << 63)
    if not isinstance(shape, dict):
        return type(value) is shape and (shape is not int or 0 <= value < 1 << 63)  # type: ignore[operator]
    if not isinstance(value, dict):
        return False
    if ... in shape:
        return all(has_shape(item, shape[...]) for item in value.values())
    return all(key in value and has_shape(value[key], item_shape) for key, item_shape in shape.items())


def checksummed_json(value: Mapping[str, object]) -> bytes:
    """A JSON object with a digest of the rest of it under "checksum", as a file has it."""
    return b"".join(_encode_in_pieces({**value, "checksum": _compute_checksum(value)}))


def checksum_holds(data: bytes) -> bool:
    """Whether `data` is exactly what `checksummed_json` made."""
    try:
        value = parse_json(data)
        if not isinstance(value, dict) or value.get("checksum") != _compute_checksum(value):
            return False
        position = 0
        for piece in _encode_in_pieces(value):
            if not data.startswith(piece, position):
                return False
            position += len(piece)
    except ValueError:
        return False
    return position == len(data)


def _compute_checksum(value: Mapping[str, object]) -> str:
    digest = hashlib.sha256()
    for piece in _encode_in_pieces({key: item for key, item in value.items() if key != "checksum"}):
        digest.update(piece)
    return digest.hexdigest()


def _encode_in_pieces(value: Mapping[str, object]) -> Iterator[bytes]:
    """Yield the bytes of `encode_json`, each item of the object's lists by itself.

    A manifest may have a hundred thousand shards, and Python's encoder takes seven times the text's bytes for it.
    """
    if not value:
        yield encode_json(value)
        return
    separator = "{\n "
    for key in sorted(value):
        item, name = value[key], json.dumps(key, ensure_ascii=False)
        if isinstance(item, list) and item:
            for number, entry in enumerate(item):
                begin = f"{separator}{name}: [" if number == 0 else ","
                yield f"{begin}\n  {_indent_json(entry, 2)}".encode()
            yield b"\n ]"
        else:
            yield f"{separator}{name}: {_indent_json(item, 1)}".encode()
        separator = ",\n "
    yield b"\n}\n"


def _indent_json(value: object, depth: int) -> str:
    """JSON as it stands at a depth of other JSON. Texts in it have no line feeds that are not escaped."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    return text.replace("\n", "\n" + " " * depth)


def encode_json(value: object) -> bytes:
    """The bytes that `write_json` writes."""
    return (_indent_json(value, 0) + "\n").encode("utf-8")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_format(
    where: object, header: Mapping[str, Any], format_name: str, version: int, oldest: int | None = None
) -> None:
    """Raise WrongFormatError for another format, SketchforgeError for another version, with both values.

    oldest: the first of the versions up to `version` that are read; None: there is no other.
    """
    found_format = header.get("format")
    if found_format != format_name:
        description = (
            found_format[:80]
            if isinstance(found_format, str)
            else None
            if found_format is None
            else type(found_format).__name__
        )
        raise WrongFormatError(f"{where}: found format {description!r}, expected {format_name!r}")
    try:
        found_version = int(header.get("version"))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise SketchforgeError(f"{where}: {format_name} file without a readable version number") from None
    if found_version < (version if oldest is None else oldest):
        raise SketchforgeError(
            f"{where}: {format_name} version {found_version}, but this sketchforge reads version {version}; "
            "make it anew"
        )
    if found_version > version:
        raise SketchforgeError(
            f"{where}: {format_name} version {found_version}, but this sketchforge reads version {version}; "
            "upgrade sketchforge to use it"
        )


@contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError into one line that names the file and the cause."""
    try:
        yield
    except OSError as error:
        raise SketchforgeError(f"{path}: could not be written ({error.strerror or error})") from error
