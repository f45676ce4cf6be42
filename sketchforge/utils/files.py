"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from sketchforge.errors import SketchforgeError
from sketchforge.utils.signals import deferred_signals

MAX_JSON_BYTES = 256 << 20  # the manifest of half a million shards has less
_PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{16}\.part")


@contextmanager
def atomic_write(path: Path, sweep: bool = True) -> Iterator[BinaryIO]:
    """Give an open file to write; on success flush it to disk and rename it to `path`, else remove it.

    It is written beside `path`, under a name that nobody can foresee and nothing is followed from: a link that
    somebody has planted leads nowhere. A lock on it says that its writer is alive; what a killed one has left of
    `path` is removed first, unless `sweep` is False (in large folders: see `remove_abandoned`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if sweep:
        remove_abandoned(path.parent, path.name)
    partial, file = None, None
    try:
        with deferred_signals(
            signal.SIGINT, signal.SIGTERM
        ):  # else one between the two would leave the file behind
            partial, file = _new_partial(path)
        yield file
        file.flush()
        os.fsync(file.fileno())
        os.replace(partial, path)
        file.close()
    except BaseException:
        if file is not None:
            with suppress(OSError):  # a full disk refuses the last buffer, too
                file.close()
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_abandoned(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes have left half written in `folder`, of the file `name` or of any.

    Files that their writers still hold stay, and all of them where the file system has no locks.
    """
    try:
        found = [(entry, _PARTIAL.fullmatch(entry)) for entry in os.listdir(folder)]
    except OSError:
        return
    kept = None if name is None else _short(name)
    for entry, match in found:
        if match is not None and kept in (None, match[1]):
            with suppress(OSError):
                descriptor = os.open(folder / entry, os.O_RDONLY | _NO_LINK)
                try:
                    if _lock(descriptor):
                        os.unlink(folder / entry)
                finally:
                    os.close(descriptor)


_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def _new_partial(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        partial = path.with_name(f".{_short(path.name)}.{secrets.token_hex(8)}.part")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)
        descriptor = os.open(partial, flags, 0o666)
        _lock(descriptor)
        if os.fstat(descriptor).st_nlink:  # else another process has swept it away before it was locked
            return partial, open(descriptor, "wb", buffering=1 << 20)
        os.close(descriptor)


def _short(name: str) -> str:
    """A file's name with room for what is put around it."""
    return os.fsdecode(os.fsencode(name)[:200])


def _lock(descriptor: int) -> bool:
    """Lock a file against other processes, as long as it is open; whether that could be done."""
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


def write_bytes(path: Path, data: bytes, sweep: bool = True) -> None:
    with atomic_write(path, sweep) as file:
        file.write(data)


def write_json(path: Path, value: object, sweep: bool = True) -> None:
    """Write JSON with sorted keys and a final newline, so that equal values are equal bytes."""
    write_bytes(path, _json_text(value), sweep)


def read_json(path: Path) -> Any:
    """The value in a JSON file; OSError, and ValueError as `parse_json` has it and for files that are too large."""
    data = bytearray()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):  # as it comes: a buffer of the limit's size would be made at once
            data += chunk
            if len(data) > MAX_JSON_BYTES:
                raise ValueError(f"more than {MAX_JSON_BYTES:,} bytes")
    return parse_json(bytes(data))


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text; ValueError for whatever is wrong with it.

    That includes nesting without end, and numbers that are none or infinite, which Python alone lets pass.
    """
    try:
        return json.loads(data, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number that JSON has")
    return value


def has_shape(value: object, shape: object) -> bool:
    """Whether JSON has a shape: a type, [shape of every item], or {key: shape}, with ... for any key.

    Integers are not negative and have 64 bits, `float` is any number; objects may hold more than they must.
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
    return all(key in value and has_shape(value[key], part) for key, part in shape.items())


def write_checksummed_json(path: Path, value: Mapping[str, object], sweep: bool = True) -> None:
    """Write a JSON object with a digest of the rest of it under "checksum"."""
    write_json(path, {**value, "checksum": _checksum_of(value)}, sweep)


def checksum_holds(data: bytes) -> bool:
    """Whether bytes are just what `write_sealed_json` wrote."""
    try:
        value = parse_json(data)
        return (
            isinstance(value, dict)
            and value.get("checksum") == _checksum_of(value)
            and data == _json_text(value)
        )
    except ValueError:
        return False


def _checksum_of(value: Mapping[str, object]) -> str:
    return hashlib.sha256(
        _json_text({key: part for key, part in value.items() if key != "checksum"})
    ).hexdigest()


def _json_text(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_format(where: object, header: Mapping[str, Any], format_name: str, version: int) -> None:
    """Refuse foreign formats and other versions, naming what was found and what was expected."""
    found = header.get("format")
    if found != format_name:
        shown = found[:80] if isinstance(found, str) else None if found is None else type(found).__name__
        raise SketchforgeError(f"{where}: found format {shown!r}, expected {format_name!r}")
    try:
        found_version = int(header.get("version"))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise SketchforgeError(f"{where}: {format_name} file without a readable version number") from None
    if found_version < version:
        raise SketchforgeError(
            f"{where}: {format_name} version {found_version}, but this sketchforge reads version {version}; make it anew"
        )
    if found_version > version:
        raise SketchforgeError(
            f"{where}: {format_name} version {found_version}, but this sketchforge reads version {version}; "
            "upgrade sketchforge to use it"
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into one line that names the file and the cause."""
    try:
        yield
    except OSError as error:
        raise SketchforgeError(f"{path}: could not be written ({error.strerror or error})") from error
