"""What `convert` can make of shards: one entry a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from sketchforge.convert.drawings import LineDrawing
from sketchforge.convert.image_folder import (
    METADATA,
    PROMPTS,
    ControlNet,
    ImageFolder,
    Pix2pix,
    write_folders,
)
from sketchforge.convert.ndjson import open_ndjson
from sketchforge.convert.pairs import PairSource
from sketchforge.convert.parquet import FOLDER, check_parquet, write_parquet
from sketchforge.convert.stroke3 import open_stroke3
from sketchforge.convert.svg import open_svg_folder
from sketchforge.utils.progress import Progress


class DrawingWriter(Protocol):
    """What takes drawings, sample after sample."""

    def has(self, key: str) -> bool:
        """Whether all drawings of a sample are there already."""

    def add(self, drawing: LineDrawing) -> None: ...


@dataclass(frozen=True)
class Target:
    """A format of strokes. ending: of its file; None: it is a folder, which is continued where it was left."""

    ending: str | None
    open: Callable[[Path, Sequence[str]], AbstractContextManager[DrawingWriter]]


TARGETS = {
    "svg": Target(None, open_svg_folder),
    "ndjson": Target(".ndjson", open_ndjson),
    "stroke3": Target(".npz", open_stroke3),
}


@dataclass(frozen=True)
class PairTarget:
    """A format of images and sketches: a folder.

    write: writes what is not there yet, and returns how many images were. check: raises UsageError where a library is
    missing. files: patterns of its files' names.
    """

    write: Callable[[Path, PairSource, Progress], int]
    files: Sequence[str]
    check: Callable[[], None] = lambda: None


def _write_layout(layout: type, out: Path, source: PairSource, progress: Progress) -> int:
    return write_folders(out, source, layout(source), progress)


PAIR_TARGETS = {
    "parquet": PairTarget(write_parquet, [f"{FOLDER}/*-*-of-*.parquet"], check_parquet),
    "imagefolder": PairTarget(
        partial(_write_layout, ImageFolder),
        [
            "*/images/**/*.jpg",
            "*/sketches/**/*.png",
            "*/masks/**/*.png",
            f"*/{METADATA}",
        ],
    ),
    "pix2pix": PairTarget(partial(_write_layout, Pix2pix), ["*/*-sketch*.jpg"]),
    "controlnet": PairTarget(
        partial(_write_layout, ControlNet),
        [f"{folder}{name}" for folder in ("", "*/") for name in ("source/*.png", "target/*.jpg", PROMPTS)],
    ),
}
