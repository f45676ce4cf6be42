"""The folder that a conversion writes: begun, continued by the same command, never mixed with anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.shards.card import is_edited, read_card
from sketchforge.shards.schema import CARD
from sketchforge.storage.folder import LocalFolder
from sketchforge.utils.files import disk_errors, has_shape, read_json, write_json

FORMAT, VERSION = "sketchforge-conversion", 1
RECORD = "conversion.json"
_SHAPE = {"format": str, "version": int, "to": str, "shards": str, "hands": [str]}
_WORDS = {"to": "--to", "hands": "--hand", "shards": "shards", "per_image": "--per-image"}


def begin_folder(
    out: Path, record: Mapping[str, Any], overwrite: bool, patterns: Mapping[str, Sequence[str]]
) -> None:
    """Begin a folder, or continue one of the same record.

    patterns: for each target, what its files are called; those of another record are removed with `overwrite`.
    Raises UsageError for a folder that holds anything else.
    """
    record = {"format": FORMAT, "version": VERSION, **record}
    earlier = _read_record(out)
    if earlier is None and out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise UsageError(
            f"{out}: holds files that are not of this command; name an empty or a new folder as --out"
        )
    if earlier is not None and earlier != record:
        name = next(name for name in {**record, **earlier} if earlier.get(name) != record.get(name))
        if not overwrite:
            raise UsageError(
                f"{out}: was made with other {_WORDS.get(name, name)}; name another folder as --out"
            )
    if earlier is not None and overwrite:
        with disk_errors(out):
            _remove_files(out, patterns.get(earlier["to"], ()))
    with disk_errors(out / RECORD):
        write_json(out / RECORD, record)


def _remove_files(out: Path, patterns: Sequence[str]) -> None:
    """Remove what was made, and folders that are empty then; a card that somebody has edited stays."""
    folders: set[Path] = set()
    for pattern in patterns:
        for path in out.glob(pattern):
            if path.name == CARD and is_edited(read_card(LocalFolder(out)) or b""):
                continue
            path.unlink()
            folders.update(path.relative_to(out).parents)
    for folder in sorted(folders - {Path(".")}, key=lambda folder: -len(folder.parts)):
        if not any((out / folder).iterdir()):
            (out / folder).rmdir()


def _read_record(out: Path) -> dict[str, Any] | None:
    try:
        record = read_json(out / RECORD)
    except (OSError, ValueError):
        return None
    return record if has_shape(record, _SHAPE) and record["format"] == FORMAT else None
