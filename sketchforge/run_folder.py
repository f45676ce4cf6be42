"""What the folders of all trainings have in common: run.json, which says what a run is, and how it is continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sketchforge.checkpoint import check_format
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.files import parse_json

RUN_FILE = "run.json"


def read_record(run: Path, format_name: str, version: int) -> dict[str, Any] | None:
    """The contents of run.json, or None where `run` does not exist or is empty.

    Raises UsageError when the folder holds something else, SketchforgeError when run.json is unreadable or newer.
    """
    path = run / RUN_FILE
    if not path.is_file():
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            raise UsageError(f"{run}: holds no {RUN_FILE} of ours but other things; name another folder with --run")
        return None
    try:
        record = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SketchforgeError(f"{path}: cannot be read as JSON ({error}); --fresh starts the run anew") from error
    if not isinstance(record, dict):
        raise SketchforgeError(f"{path}: found a {type(record).__name__}, expected a {format_name} record")
    check_format(path, record, format_name, version)
    return record


def record_or_empty(run: Path, format_name: str, version: int) -> dict[str, Any] | None:
    """As `read_record`, but a run.json that cannot be read counts as ours: --fresh is the way out of it."""
    try:
        return read_record(run, format_name, version)
    except UsageError:
        raise
    except SketchforgeError:
        return {}


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
                "options to continue it, --fresh to begin anew, or another --run"
            )


def _shown(name: str, value: Any) -> str:
    if name.startswith("--"):
        return f"{name} {value}"
    if name == "recipe":
        return f"a recipe of digest {hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]}"
    if isinstance(value, Mapping):
        return f"{name} ({value.get('count')} images, digest {str(value.get('digest'))[:8]})"
    return f"{'encoder' if name == 'trained_with' else name} {str(value)[:8]}"
