"""The run folders of all trainings: run.json, which describes a run, and the rules for continuing one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.catalog import KNOWN, find_weights
from sketchforge.errors import SketchforgeError, UsageError, WrongFormatError
from sketchforge.utils.files import check_format, has_shape, is_partial, read_json

RUN_FILE = "run.json"
RUN_LOCK = ".train.lock"  # held by the training at work in the folder
_INPUT_SHAPE = {"count": int, "digest": str}
# The types of run.json's entries, where it has them; see `files.has_shape`.
_SHAPES = {
    "options": dict,
    "recipe": dict,
    "encoder": str,
    "trained_with": str,
    "autoencoder": str,
    "hint": str,
    "view": str,
    "unet": str,
    "photos": _INPUT_SHAPE,
    "drawings": _INPUT_SHAPE,
    "shards": _INPUT_SHAPE,
    "drawn_by": {"method": str, "digests": {...: str}},  # the sketches of the shards
    "images": _INPUT_SHAPE,
    "teacher": str,
    "replaces": bool,
    "validation": _INPUT_SHAPE,
    "world_size": int,
    "steps_done": int,
    "figures": {...: float},
    "best": dict,
    "snapshots": [{"style": str, "digest": str}],
}
_NULLABLE = ("trained_with", "validation")


def read_record(run: Path, format_name: str, version: int) -> dict[str, Any] | None:
    """Read run.json; None where `run` does not exist or is empty.

    Raises UsageError where the folder holds other files, SketchforgeError where run.json is unreadable or
    newer.
    """
    path = run / RUN_FILE
    if not path.is_file():
        if run.exists() and (not run.is_dir() or any(_is_content(entry.name) for entry in run.iterdir())):
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


def _is_content(name: str) -> bool:
    """Whether a file is more than what a training leaves that is killed before it has written run.json."""
    return name != RUN_LOCK and not is_partial(name)


def read_record_or_empty(run: Path, format_name: str, version: int) -> dict[str, Any] | None:
    """As `read_record`, but {} for a run.json that cannot be read, so that --overwrite can replace it."""
    try:
        return read_record(run, format_name, version)
    except WrongFormatError:
        return {}
    except UsageError:
        raise
    except SketchforgeError:
        return {}


def read_steps_done(run: Path) -> int:
    """The steps that run.json says are done; 0 where it does not or cannot be read."""
    try:
        record = read_json(run / RUN_FILE)
    except (OSError, ValueError):
        return 0
    steps_done = record.get("steps_done") if isinstance(record, dict) else 0
    return steps_done if isinstance(steps_done, int) and has_shape(steps_done, int) else 0


def check_record(path: Path, record: Mapping[str, Any]) -> None:
    """Raise SketchforgeError where an entry of run.json has a type that no training writes."""
    for name, shape in _SHAPES.items():
        missing = record.get(name) is None and (name not in record or name in _NULLABLE)
        if not missing and not has_shape(record[name], shape):
            raise SketchforgeError(
                f"{path}: its {name} is not as a training has it; restore the file, or name another run"
            )


# The entries beside the options that are compared when a run is continued, where it has them.
_IDENTITY = (
    "recipe",
    "hint",
    "trained_with",
    "foreground",
    "view",
    "unet",
    "autoencoder",
    "shards",
    "photos",
    "drawings",
    "teacher",
    "images",
)

# The options that these entries come from.
_OPTIONS = {
    "trained_with": "--encoder",
    "autoencoder": "--ae",
    "hint": "--hint",
    "foreground": "masks by the foreground head",
    "view": "--tom",
    "unet": "--unet",
    "photos": "--images",
    "drawings": "--drawings",
    "shards": "--shards",
    "teacher": "--teacher",
    "images": "--images",
}


def identity_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines a run's results, by the name that messages give it, from its run.json."""
    options = record.get("options")
    options = options if isinstance(options, Mapping) else {}
    identity = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    identity |= {name: record[name] for name in _IDENTITY if name in record}
    return identity | {"world_size": record.get("world_size", 1)}


def check_continues(run: Path, found: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Raise UsageError where `record` would continue the run of `found` with other options or inputs.

    The message names the option and both values of the first difference.
    """
    if difference := find_difference(identity_of(found), identity_of(record)):
        earlier, requested = difference
        raise UsageError(
            f"{run}: was begun with {earlier}, now asked for {requested}; use the same options to continue it, "
            "or another --run (only --overwrite discards this one)"
        )


def find_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first value in which two identities of runs differ, as text of both; None where they are equal.

    Of a recipe it is the first setting that differs, of inputs and weights the option that names them.
    """
    for name in dict.fromkeys((*other, *one)):
        before, now = one.get(name), other.get(name)
        if before == now:
            continue
        if name == "recipe":
            before, now = (value if isinstance(value, Mapping) else {} for value in (before, now))
            for setting in {**before, **now}:
                if before.get(setting) != now.get(setting):
                    values = before.get(setting), now.get(setting)
                    first, second = (f"the recipe's {setting} {str(value)[:80]}" for value in values)
                    return first, second
            continue
        return _format_value(name, before, one), _format_value(name, now, other)
    return None


def _format_value(name: str, value: Any, identity: Mapping[str, Any]) -> str:
    if name.startswith("--"):
        return f"{name} {str(value)[:80]}"
    if name == "world_size":
        return f"{value} {'process' if value == 1 else 'ranks'}"
    option = _OPTIONS[name]
    option = option if identity.get(option) is None else f"{option} {str(identity[option])[:80]}"
    described = _describe_images(value) if isinstance(value, Mapping) else _describe_weights(value)
    return f"{option} {described}"


def _describe_images(entry: Mapping[str, Any]) -> str:
    """As in "photos, 435 images, contents 0a1b2c3d", with what else the entry counts."""
    counts = [f"{name} {entry[name]}" for name in ("measured", "inverted", "blank") if name in entry]
    source = [str(entry["source"])] if "source" in entry else []
    return ", ".join(
        [*source, f"{entry.get('count')} images", *counts, f"contents {str(entry.get('digest'))[:8]}"]
    )


def _describe_weights(digest: Any) -> str:
    return "none" if digest is None else f"of weights {str(digest)[:8]}"


# A model is the one that ships, an exported file, the run folder of a training, or the model file in that folder.
MODEL_FILE = "model.safetensors"

BUILTIN = "builtin"  # the name of the model that ships

# The default run folders of the trainings.
OWN_RUNS = (Path("runs/gan"), Path("runs/ae"))

# Format of run.json -> the command that writes it.
TRAINED_BY = {
    "sketchforge-gan-run": "gan-train",
    "sketchforge-ae-run": "ae-train",
    "sketchforge-style2paints-run": "style2paints-train",
    "sketchforge-segin-run": "segin-train",
    "sketchforge-diffsketching-run": "diffsketching-train",
}


@dataclass(frozen=True)
class TrainedRun:
    """A finished training of an image model."""

    folder: Path
    command: str  # gan-train | ae-train | style2paints-train | segin-train | diffsketching-train
    record: Mapping[str, Any]  # run.json

    @property
    def model(self) -> Path:
        return self.folder / MODEL_FILE


def find_model(given: Path | None) -> Path:
    """Find the model file of `given`.

    given: a model file, a run folder, "builtin", or None for the first finished run of OWN_RUNS, else the
    built-in model.

    Raises UsageError where there is no model, or the run is of another kind or unfinished, AbsentError where the package
    has lost its own.
    """
    if given is None:
        for run in OWN_RUNS:
            try:
                return find_trained_run(run).model
            except SketchforgeError:
                continue
        given = Path(BUILTIN)
    if str(given) == BUILTIN:
        return find_weights("synthesizer", None, "", asked_by=f"--model {BUILTIN}")
    if given.is_dir():
        return find_trained_run(given).model
    if not given.is_file():
        raise UsageError(
            f"{given}: no such file or folder; expected a model file, the run folder of a training, or builtin"
        )
    return given


def builtin_model() -> Path:
    """The model that ships; sketchforge/checkpoints/builtin/synthesizer.md says how it was trained."""
    return KNOWN["synthesizer"].candidates()[0]


def model_name(path: Path) -> str:
    """A model file that was found as messages and records name it."""
    return BUILTIN if path == builtin_model() else str(path)


def find_trained_run(folder: Path) -> TrainedRun:
    """Find the finished training in a run folder.

    Raises UsageError where the folder is missing, holds no run of ours, or one that has not finished;
    SketchforgeError for a record that is damaged.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        problem = f"holds no {RUN_FILE}" if folder.is_dir() else "no such folder"
        raise UsageError(
            f"{folder}: {problem}; expected the run folder of `sketchforge gan-train`, `ae-train`, "
            "`style2paints-train`, `segin-train` or `diffsketching-train`"
        )
    try:
        record = read_json(path)
        command = TRAINED_BY.get(record["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SketchforgeError(f"{path}: cannot be read as the record of a training ({error})") from error
    check_record(path, record)
    if command is None:
        raise UsageError(
            f"{folder}: a run of format {str(record['format'])[:80]!r}; "
            "expected one of `sketchforge gan-train`, `ae-train`, `style2paints-train`, `segin-train` or "
            "`diffsketching-train`"
        )
    run = TrainedRun(folder, command, record)
    if record.get("figures") and run.model.is_file():
        return run
    state = f"stands at step {record.get('steps_done', 0)} of its training"
    if record.get("figures"):
        state = f"has lost its {MODEL_FILE}"
    alternative = f", or name {run.model}, the model of fewer steps" if run.model.is_file() else ""
    raise UsageError(f"{folder}: {state}; run its `sketchforge {command}` again to complete it{alternative}")
