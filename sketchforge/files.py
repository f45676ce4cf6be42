"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL_SUFFIX = ".part"


def partial_path(path: Path) -> Path:
    """The name under which `path` is written before it is complete.

    The name is fixed, not random: what a killed process left behind is overwritten by the next run.
    """
    return path.with_name(f".{path.name}{PARTIAL_SUFFIX}")


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write; on success flush it to disk and rename it to `path`, else remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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


def write_bytes(path: Path, data: bytes) -> None:
    with appearing(path) as partial:
        partial.write_bytes(data)


def write_json(path: Path, value: object) -> None:
    """Write JSON with sorted keys and a final newline, so that equal values are equal bytes."""
    write_bytes(path, _json_text(value))


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


def write_sealed_json(path: Path, value: Mapping[str, object]) -> None:
    """Write a JSON object with a digest of the rest of it under "seal"."""
    write_json(path, {**value, "seal": _seal_of(value)})


def seal_holds(data: bytes) -> bool:
    """Whether bytes are just what `write_sealed_json` wrote."""
    try:
        value = parse_json(data)
        return isinstance(value, dict) and value.get("seal") == _seal_of(value) and data == _json_text(value)
    except ValueError:
        return False


def _seal_of(value: Mapping[str, object]) -> str:
    return hashlib.sha256(_json_text({key: part for key, part in value.items() if key != "seal"})).hexdigest()


def _json_text(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
