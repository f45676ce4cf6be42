"""Convert: the strokes of a shard folder in formats that others read.

A file appears when it is complete. A folder is continued by the same command; its record says what it is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchforge.convert.drawings import pick_names, read_drawings
from sketchforge.convert.targets import TARGETS, Target
from sketchforge.errors import UsageError
from sketchforge.options import ConvertOptions
from sketchforge.shards.shard_set import open_shards, shards_digest
from sketchforge.utils.files import disk_errors, has_shape, read_json, write_json
from sketchforge.utils.outputs import check_local, check_new_file
from sketchforge.utils.progress import Progress

FORMAT, VERSION = "sketchforge-conversion", 1
RECORD = "conversion.json"
_SHAPE = {"format": str, "version": int, "to": str, "shards": str, "hands": [str]}


@dataclass(frozen=True)
class Conversion:
    """What was done."""

    out: Path
    hands: list[str]
    num_images: int
    num_kept: int  # of them, those whose drawings were there already


def convert(options: ConvertOptions, progress: Progress | None = None) -> Conversion:
    """Write the drawings of `options.shards` to `options.out`.

    Raises UsageError for shards that are missing, unfinished or keep no strokes, an unknown hand, and an output that
    is something else; SketchforgeError for damaged shards.
    """
    progress = progress or Progress()
    target = TARGETS[options.to]
    _check_name(options, target)
    shards = open_shards(options.shards).require_strokes()
    names = pick_names(shards, options.hand)
    if target.ending is None:
        record = {"format": FORMAT, "version": VERSION, "to": options.to}
        _begin_folder(options, record | {"shards": shards_digest(shards), "hands": names})
    else:
        check_new_file(options.out, "--out", options.overwrite)
    with disk_errors(options.out), target.open(options.out, names) as writer:
        todo = [key for key in shards.keys if not writer.has(key)]
        num_kept = len(shards.keys) - len(todo)
        with progress.track("image", len(shards.keys), num_kept):
            for drawings in read_drawings(shards, todo, names):
                for drawing in drawings:
                    writer.add(drawing)
                progress.advance()
    return Conversion(options.out, names, len(shards.keys), num_kept)


def _check_name(options: ConvertOptions, target: Target) -> None:
    check_local(options.out, "--out")
    if target.ending is not None and options.out.suffix != target.ending:
        raise UsageError(f"--out {options.out}: expected a file name that ends in {target.ending}")
    if target.ending is None and options.out.is_file():
        raise UsageError(f"--out {options.out}: is a file; --to {options.to} makes a folder")


def _begin_folder(options: ConvertOptions, record: dict[str, Any]) -> None:
    """Begin a folder, or continue one of the same record.

    Raises UsageError for one that holds anything else.
    """
    out = options.out
    earlier = _read_record(out)
    if earlier is None and out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise UsageError(
            f"{out}: holds files that are not of this command; name an empty or a new folder as --out"
        )
    if earlier is not None and earlier != record:
        name = next(name for name in record if earlier.get(name) != record[name])
        if not options.overwrite:
            raise UsageError(
                f"{out}: was made with other {_WORDS.get(name, name)}; name another folder as --out"
            )
    if earlier is not None and options.overwrite:
        with disk_errors(out):
            for path in out.glob("*/*.svg"):
                path.unlink()
            for path in out.iterdir():
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()
    with disk_errors(out / RECORD):
        write_json(out / RECORD, record)


_WORDS = {"to": "--to", "hands": "--hand", "shards": "shards"}


def _read_record(out: Path) -> dict[str, Any] | None:
    try:
        record = read_json(out / RECORD)
    except (OSError, ValueError):
        return None
    return record if has_shape(record, _SHAPE) and record["format"] == FORMAT else None
