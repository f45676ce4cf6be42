"""outputs.json: what the images in a folder were made of, and by what; it is how the making goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import check_format, read_json, write_json
from sketchforge.utils.outputs import is_ours

FORMAT, VERSION = "sketchforge-outputs", 1
LOCATION = "file"  # where something lay, in a part of the record: it may lie elsewhere the next time
RECORD_FILE, GRID_FILE = "outputs.json", "grid.png"


@dataclass
class OutputRecord:
    """The record of a folder."""

    folder: Path
    by: Mapping[str, Any]  # command, model and options: the same for all files
    files: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # by name: what each was made of, and notes

    def write(self) -> None:
        record = {"format": FORMAT, "version": VERSION} | dict(self.by) | {"files": self.files}
        write_json(self.folder / RECORD_FILE, record)


def begin_record(
    folder: Path, by: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], overwrite: bool
) -> tuple[OutputRecord, set[str]]:
    """(the record to go on with, names of `files` that are there already). Writes nothing.

    by, files: as in `Made`, of what is to be made now. What the folder holds of the same kind is kept beside.
    Raises UsageError where the folder was filled in another way, or holds files of those names that are not
    ours; SketchforgeError for a record that cannot be read.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: is a file; name a folder")
    found = _read(folder)
    if found is not None and not overwrite:
        _check_same(folder, found, by)
    old = {} if found is None else found["files"]
    foreign = [name for name in files if name not in old and (folder / name).exists()]
    if found is None and (folder / GRID_FILE).exists() and not is_ours(folder / GRID_FILE):
        foreign.append(GRID_FILE)
    if foreign:
        raise UsageError(f"{folder / foreign[0]}: is there already and not of our making; name another --out")
    made = OutputRecord(folder, by, {} if overwrite else dict(old))
    done = set()
    for name, metadata in files.items():
        before = made.files.get(name)
        same = before is not None and {key: before.get(key) for key in metadata} == dict(metadata)
        if same and (folder / name).is_file():
            done.add(name)
        else:
            made.files[name] = dict(metadata)
    return made, done


def remove_stale(folder: Path, made: OutputRecord, done: set[str]) -> int:
    """Remove our own images that the record no longer describes; how many there were.

    To be called before the record is written: or a crash between the two would leave an old image under a
    new description.
    """
    found = _read(folder)
    names = (
        []
        if found is None
        else [name for name in found["files"] if name not in done and (folder / name).is_file()]
    )
    stale = [name for name in names if made.files.get(name) != found["files"][name]]
    for name in stale:
        (folder / name).unlink()
    return len(stale)


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / RECORD_FILE
    if not path.exists():
        return None
    try:
        record = read_json(path)
    except (OSError, ValueError) as error:
        raise SketchforgeError(f"{path}: cannot be read as JSON ({error}); name another --out") from error
    if not isinstance(record, dict) or not isinstance(record.get("files", {}), dict):
        raise SketchforgeError(f"{path}: not a record of {FORMAT}; name another --out")
    check_format(path, record, FORMAT, VERSION)
    # Names are joined to the folder's path, and what they name may be removed: plain names only.
    files = {name: dict(metadata) for name, metadata in record.get("files", {}).items()
             if isinstance(metadata, Mapping) and Path(name).name == name}  # fmt: skip
    return record | {"files": files}


def _check_same(folder: Path, found: Mapping[str, Any], by: Mapping[str, Any]) -> None:
    for name in by:
        before, now = found.get(name), by[name]
        if isinstance(now, Mapping) and isinstance(before, Mapping):
            for part in sorted({*now, *before} - {LOCATION}):
                if before.get(part) != now.get(part):
                    _refuse(
                        folder,
                        f"{name}'s {part}" if name != "options" else f"--{part}",
                        before.get(part),
                        now.get(part),
                    )
        elif before != now:
            _refuse(folder, name, before, now)


def _refuse(folder: Path, name: str, before: Any, now: Any) -> None:
    shown = [str(value)[:8] if name.endswith("sha256") else value for value in (before, now)]
    raise UsageError(
        f"{folder}: its images were made with {name} {shown[0]}, now asked for {shown[1]}; name another "
        "--out (only --overwrite replaces them)"
    )
