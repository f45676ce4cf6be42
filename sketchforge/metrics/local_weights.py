"""Weights files of measures: named by the user or lying where they belong; never downloaded."""

from __future__ import annotations

from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import sha256_of
from sketchforge.weight_files import KNOWN


class AbsentError(SketchforgeError):
    """What a measure needs is not there: a gap in the report, no failure."""


def local_weights(name: str, given: Path | None, option: str, called: str | None = None) -> Path:
    """The file `given`, else the one of `name` where `sketchforge weights list` looks for it.

    called: what `option` calls it where that differs. Raises UsageError where `given` does not exist,
    AbsentError where nothing is found.
    """
    if given is not None:
        if not given.is_file():
            raise UsageError(f"{option} {called or name}={given}: no such file; expected weights of {name}")
        return given
    if name not in KNOWN:
        raise AbsentError(f"no weights of {name}: name a file, {option} {called or name}=FILE")
    path = KNOWN[name].found()
    if path is None:
        file = KNOWN[name]
        raise AbsentError(
            f"no weights of {name}: looked for {file.looked_for()}; place them there (docs/weights.md) or "
            f"name a file, {option} {called or name}=FILE"
        )
    return path


def is_published(name: str, path: Path) -> bool:
    """Whether a file is the very one that its publisher's digest names."""
    start = KNOWN[name].sha256_start if name in KNOWN else ""
    return bool(start) and sha256_of(path).startswith(start)
