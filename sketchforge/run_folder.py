"""What the folders of all trainings have in common: run.json, which says what a run is, and how it is continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import check_format, fits, read_json

RUN_FILE = "run.json"
_DESCRIBED = {"count": int, "digest": str}
# What the entries of all trainings are, where there are any; see `files.fits`.
_SHAPES = {
    "options": dict,
    "recipe": dict,
    "encoder": str,
    "trained_with": str,
    "autoencoder": str,
    "photos": _DESCRIBED,
    "drawings": _DESCRIBED,
    "shards": _DESCRIBED,
    "validation": _DESCRIBED,
    "ranks": int,
    "steps_done": int,
    "figures": {...: float},
    "best": dict,
    "snapshots": [{"style": str, "digest": str}],
}
_MAY_BE_NULL = ("trained_with", "validation")


def read_record(run: Path, format_name: str, version: int) -> dict[str, Any] | None:
    """The contents of run.json, or None where `run` does not exist or is empty.

    Raises UsageError when the folder holds something else, SketchforgeError when run.json is unreadable or newer.
    """
    path = run / RUN_FILE
    if not path.is_file():
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            raise UsageError(
                f"{run}: holds no {RUN_FILE} of ours but other things; name another folder with --run"
            )
        return None
    try:
        record = read_json(path)
    except (OSError, ValueError) as error:
        raise SketchforgeError(
            f"{path}: cannot be read as JSON ({error}); restore the file, or name another --run"
        ) from error
    if not isinstance(record, dict):
        raise SketchforgeError(f"{path}: found a {type(record).__name__}, expected a {format_name} record")
    check_format(path, record, format_name, version)
    check_record(path, record)
    return record


def record_or_empty(run: Path, format_name: str, version: int) -> dict[str, Any] | None:
    """As `read_record`, but a run.json that cannot be read counts as ours: --overwrite leads out of it."""
    try:
        return read_record(run, format_name, version)
    except UsageError:
        raise
    except SketchforgeError:
        return {}


def check_record(path: Path, record: Mapping[str, Any]) -> None:
    """Raise SketchforgeError where an entry of a run.json is of a kind that no training writes."""
    for name, shape in _SHAPES.items():
        missing = record.get(name) is None and (name not in record or name in _MAY_BE_NULL)
        if not missing and not fits(record[name], shape):
            raise SketchforgeError(
                f"{path}: its {name} is not as a training has it; restore the file, or name another run"
            )


def check_continues(
    run: Path, found: Mapping[str, Any], record: Mapping[str, Any], parts: Iterable[str]
) -> None:
    """Refuse to continue a run with other options or other `parts` of the record, naming both values."""
    was, now = found.get("options") or {}, record["options"]
    differences = [(f"--{name.replace('_', '-')}", was.get(name), now[name]) for name in now]
    differences += [(name, found.get(name), record[name]) for name in parts]
    for name, before, asked in differences:
        if before != asked:
            raise UsageError(
                f"{run}: was begun with {_shown(name, before)}, now asked for {_shown(name, asked)}; use the same "
                "options to continue it, or another --run (only --overwrite discards this one)"
            )


def _shown(name: str, value: Any) -> str:
    if name.startswith("--"):
        return f"{name} {str(value)[:80]}"
    if name == "recipe":
        return (
            f"a recipe of digest {hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]}"
        )
    if isinstance(value, Mapping):
        return f"{name} ({value.get('count')} images, digest {str(value.get('digest'))[:8]})"
    return f"{'encoder' if name == 'trained_with' else name} {str(value)[:8]}"
