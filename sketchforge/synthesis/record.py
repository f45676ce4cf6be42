"""outputs.json: what the images in a folder were made of, and by which model; a job resumes from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import check_format, read_json, write_json
from sketchforge.utils.outputs import is_ours

FORMAT, VERSION = "sketchforge-outputs", 1
LOCATION = "file"  # the path of an input, in a part of the record: it may differ in the next call
RECORD_FILE, GRID_FILE = "outputs.json", "grid.png"


@dataclass
class OutputRecord:
    """The record of a folder."""

    folder: Path
    by: Mapping[str, Any]  # command, model and options: the same for all files
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # by name: what it was made of, and notes

    def write(self) -> None:
        record = {"format": FORMAT, "version": VERSION} | dict(self.by) | {"files": self.files}
        write_json(self.folder / RECORD_FILE, record)


def begin_record(
    folder: Path, by: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], overwrite: bool
) -> tuple[OutputRecord, set[str]]:
    """(the record to continue, names of `files` that are there already). Writes nothing.

    by, files: as in `OutputRecord`, of the job that begins. Entries of earlier jobs with the same `by` stay
    in the record, unless `overwrite`.
    Raises UsageError where another command, model or options filled the folder, or where it holds files of
    those names that the record does not list; SketchforgeError for a record that cannot be read.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: is a file; name a folder")
    stored = _read_record(folder)
    if stored is not None and not overwrite:
        _check_same_job(folder, stored, by)
    old = {} if stored is None else stored["files"]
    foreign = [name for name in files if name not in old and (folder / name).exists()]
    if stored is None and (folder / GRID_FILE).exists() and not is_ours(folder / GRID_FILE):
        foreign.append(GRID_FILE)
    if foreign:
        raise UsageError(f"{folder / foreign[0]}: is there already and not of our making; name another --out")
    record = OutputRecord(folder, by, {} if overwrite else dict(old))
    done = set()
    for name, metadata in files.items():
        entry = record.files.get(name)
        same = entry is not None and {key: entry.get(key) for key in metadata} == dict(metadata)
        if same and (folder / name).is_file():
            done.add(name)
        else:
            record.files[name] = dict(metadata)
    return record, done


def remove_stale(folder: Path, made: OutputRecord, done: set[str]) -> int:
    """Remove images of earlier jobs that `made` describes otherwise or not at all; return their number.

    Call it before the record is written: else a crash between the two would leave an old image under a new
    description.
    """
    stored = _read_record(folder)
    files = {} if stored is None else stored["files"]
    names = [name for name in files if name not in done and (folder / name).is_file()]
    stale = [name for name in names if made.files.get(name) != files[name]]
    for name in stale:
        (folder / name).unlink()
    return len(stale)


def _read_record(folder: Path) -> dict[str, Any] | None:
    path = folder / RECORD_FILE
    if not path.exists():
        return None
    try:
        record = read_json(path)
    except (OSError, ValueError) as error:
        raise SketchforgeError(f"{path}: cannot be read as JSON ({error}); name another --out") from error
    if not isinstance(record, dict) or not isinstance(record.get("files", {}), dict):
        raise UsageError(f"{path}: not a record of {FORMAT}; name another --out")
    check_format(path, record, FORMAT, VERSION)
    # Names are joined to the folder's path, and what they name may be removed: plain names only.
    files = {name: dict(metadata) for name, metadata in record.get("files", {}).items()
             if isinstance(metadata, Mapping) and Path(name).name == name}  # fmt: skip
    return record | {"files": files}


def _check_same_job(folder: Path, stored: Mapping[str, Any], by: Mapping[str, Any]) -> None:
    for name in by:
        before, now = stored.get(name), by[name]
        if isinstance(now, Mapping) and isinstance(before, Mapping):
            for part in sorted({*now, *before} - {LOCATION}):
                if before.get(part) == now.get(part):
                    continue
                if name == "options":
                    _refuse_change(folder, f"--{part}", before.get(part), now.get(part))
                # The entry's name is the option's; a digest alone would not say which file is meant.
                values = (
                    f"{entry.get(LOCATION)} ({part} {str(entry.get(part))[:12]})" for entry in (before, now)
                )
                _refuse_change(folder, f"--{name}", *values)
        elif before != now:
            _refuse_change(folder, name, before, now)


def _refuse_change(folder: Path, name: str, before: Any, now: Any) -> None:
    raise UsageError(
        f"{folder}: its images were made with {name} {before}, now asked for {now}; name another "
        "--out (only --overwrite replaces them)"
    )
