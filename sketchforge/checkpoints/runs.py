"""What the folders of all trainings have in common: run.json, which says what a run is, and how it is continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import check_format, has_shape, read_json

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
    "world_size": int,
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


def read_record_or_empty(run: Path, format_name: str, version: int) -> dict[str, Any] | None:
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
        if not missing and not has_shape(record[name], shape):
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


# Where a model is: an exported file, the run folder of a training, or the model file in it.

MODEL_FILE = "model.safetensors"


OWN_RUNS = (
    Path("runs/gan"),
    Path("runs/ae"),
)  # where trainings leave their model when nothing else is asked for


TRAINED_BY = {
    "sketchforge-gan-run": "gan-train",
    "sketchforge-ae-run": "ae-train",
}  # by the format of run.json


@dataclass(frozen=True)
class TrainedRun:
    """A finished training of an image model."""

    folder: Path
    command: str  # gan-train | ae-train
    record: Mapping[str, Any]  # run.json

    @property
    def model(self) -> Path:
        return self.folder / MODEL_FILE


def find_model(given: Path | None) -> Path:
    """The model file meant by a path to it or to a run folder; None: of OWN_RUNS the first that is finished.

    Raises UsageError where there is none or a run is of another kind, SketchforgeError for an unfinished one.
    """
    if given is None:
        for run in OWN_RUNS:
            try:
                return find_trained_run(run).model
            except SketchforgeError:
                continue
        raise UsageError(
            f"neither {' nor '.join(map(str, OWN_RUNS))} holds a finished model; train one with "
            "`make train-ae`, or name one as --model"
        )
    if given.is_dir():
        return find_trained_run(given).model
    if not given.is_file():
        raise UsageError(
            f"{given}: no such file or folder; expected a model file or the run folder of a training"
        )
    return given


def find_trained_run(folder: Path) -> TrainedRun:
    """The finished training in a run folder.

    Raises UsageError where the folder is missing or is none of ours, SketchforgeError where the training is
    not finished.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        what = f"holds no {RUN_FILE}" if folder.is_dir() else "no such folder"
        raise UsageError(
            f"{folder}: {what}; expected the run folder of `sketchforge gan-train` or `ae-train`"
        )
    try:
        record = read_json(path)
        command = TRAINED_BY.get(record["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SketchforgeError(f"{path}: cannot be read as the record of a training ({error})") from error
    check_record(path, record)
    if command is None:
        raise UsageError(
            f"{folder}: a run of format {str(record['format'])[:80]!r}; expected one of `sketchforge gan-train` or "
            "`ae-train`"
        )
    run = TrainedRun(folder, command, record)
    if record.get("figures") and run.model.is_file():
        return run
    state = f"stands at step {record.get('steps_done', 0)} of its training"
    if record.get("figures"):
        state = f"has lost its {MODEL_FILE}"
    before = f", or name {run.model}, the model of fewer steps" if run.model.is_file() else ""
    raise SketchforgeError(f"{folder}: {state}; run its `sketchforge {command}` again to complete it{before}")
