"""Commands that look at several shard folders, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from sketchforge.errors import SketchforgeError


def look_at_each(folders: Sequence[str | Path], look: Callable[[str | Path], None]) -> int:
    """Call `look` for every folder and return the worst exit code: an error of one does not end the others.

    With a single folder its error is raised.
    """
    if len(folders) == 1:
        look(folders[0])
        return 0
    worst = 0
    for folder in folders:
        try:
            look(folder)
        except SketchforgeError as error:
            click.echo(f"error: {error}", err=True)
            worst = max(worst, error.exit_code)
    return worst
