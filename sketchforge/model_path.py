"""Where a model is: an exported file, the run folder of a training, or the model file in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.run_folder import RUN_FILE, check_record
from sketchforge.utils.files import read_json

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
                return find_run(run).model
            except SketchforgeError:
                continue
        raise UsageError(
            f"neither {' nor '.join(map(str, OWN_RUNS))} holds a finished model; train one with "
            "`make train-ae`, or name one as --model"
        )
    if given.is_dir():
        return find_run(given).model
    if not given.is_file():
        raise UsageError(
            f"{given}: no such file or folder; expected a model file or the run folder of a training"
        )
    return given


def find_run(folder: Path) -> TrainedRun:
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
