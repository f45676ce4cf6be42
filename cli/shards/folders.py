"""Commands that look at several shard folders, one after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.json_output import check_json_output, write_json_output
from cli.verbosity import print_error
from sketchforge.errors import SketchforgeError


def look_at_each(
    folders: Sequence[str | Path],
    look: Callable[[str | Path], Any],
    describe: Callable[[str, Any, str | None], Mapping[str, Any]],
    head: Mapping[str, Any],
    json: Path | None,
) -> int:
    """Look at every folder and return the worst exit code: an error of one does not end the others.

    look: prints what it finds and returns it, or raises SketchforgeError; with a single folder that is raised again.
    describe: a folder, what was found there (None: nothing) and the error (None: none), as a JSON object.
    head: format and version of the document that `json`, the value of --json, asks for.
    """
    check_json_output(json)
    found, errors = [], []
    for folder in folders:
        try:
            found.append(describe(_as_text(folder), look(folder), None))
        except SketchforgeError as error:
            found.append(describe(_as_text(folder), None, str(error)))
            errors.append(error)
            if len(folders) > 1:
                print_error(f"error: {error}")
    write_json_output(json, lambda: {**head, "folders": found})
    if errors and len(folders) == 1:
        raise errors[0]
    return max((error.exit_code for error in errors), default=0)


def _as_text(folder: str | Path) -> str:
    """The folder's name; bytes in it that are no text become marks, for JSON holds text only."""
    return os.fsencode(folder).decode(errors="replace")
