"""What `convert` can make of shards: one entry a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sketchforge.convert.drawings import LineDrawing
from sketchforge.convert.ndjson import open_ndjson
from sketchforge.convert.stroke3 import open_stroke3
from sketchforge.convert.svg import open_svg_folder


class DrawingWriter(Protocol):
    """What takes drawings, sample after sample."""

    def has(self, key: str) -> bool:
        """Whether all drawings of a sample are there already."""

    def add(self, drawing: LineDrawing) -> None: ...


@dataclass(frozen=True)
class Target:
    """A format. ending: of its file; None: it is a folder, which is continued where it was left."""

    ending: str | None
    open: Callable[[Path, Sequence[str]], AbstractContextManager[DrawingWriter]]


TARGETS = {
    "svg": Target(None, open_svg_folder),
    "ndjson": Target(".ndjson", open_ndjson),
    "stroke3": Target(".npz", open_stroke3),
}
