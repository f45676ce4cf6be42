"""Images of many sketches and many styles, into a folder: what `synthesize`, `mix` and `transfer` do.

    DIR/SKETCH--STYLE.png   one for each sketch and style, or pair
    DIR/A+B.png             mix: the style images cut and stitched
    DIR/IMAGE.sketch.png    transfer: what TOM drew
    DIR/grid.png            all of it, or the beginning, with names
    DIR/outputs.json           what each was made of (`record.py`)

The same call again makes what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.encode import write_png
from sketchforge.options import SynthesisOptions, SynthesizeOptions
from sketchforge.synthesis import record as records
from sketchforge.synthesis.grid import SynthesisGrid, grid_of, pairs_grid
from sketchforge.synthesis.plan import KEPT_IN_MEMORY, Plan, Style, plan_job
from sketchforge.synthesis.record import GRID_FILE, OutputRecord
from sketchforge.utils.device import set_threads
from sketchforge.utils.progress import Progress


@dataclass(frozen=True)
class Summary:
    """What a making did."""

    num_made: int
    num_kept: int  # of what was asked for, there already
    grid: Path
    left_out: str  # what the grid does not show; empty where it shows everything


def run_job(options: SynthesisOptions, progress: Progress | None = None) -> Summary:
    """Make what the options of a command ask for; the same call again makes what is missing.

    Errors as `plan_making` and `made.begin` have them, all before anything is written.
    """
    progress = progress or Progress()
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out}: is a file; name a folder")
    set_threads(options.threads)
    plan = plan_job(options, progress)
    made, done = records.begin_record(options.out, plan.by, plan.described(), options.overwrite)
    if stale := records.remove_stale(options.out, made, done):
        progress.note(f"{stale} files of an earlier run are replaced")
    made.write()
    todo = [cell for cell in plan.cells if plan.name_of(cell) not in done]
    if todo and len(todo) < len(plan.cells):
        progress.note(f"{len(plan.cells) - len(todo)} of {len(plan.cells)} images are there already and kept")
    try:
        _make_all(plan, todo, options, made, done, progress)
    finally:
        made.write()  # with the notes
    shown = _grid(plan, options)
    write_png(options.out / GRID_FILE, shown.image)
    return Summary(len(todo), len(plan.cells) - len(todo), options.out / GRID_FILE, shown.left_out)


def _make_all(
    plan: Plan,
    todo: Sequence[tuple[int, int]],
    options: SynthesisOptions,
    made: OutputRecord,
    done: set[str],
    progress: Progress,
) -> None:
    @lru_cache(KEPT_IN_MEMORY)
    def read(style: Style) -> np.ndarray:
        return style.read(plan.model.size)

    for style in plan.styles:
        if len(style.parts) > 1 and (name := f"{style.name}.png") not in done:
            write_png(made.folder / name, read(style))
    at_once = options.batch_size or plan.model.batch_size
    noted: set[int] = set()
    with progress.track("image", len(todo)):
        for start in range(0, len(todo), at_once):
            batch = todo[start : start + at_once]
            fitted = [plan.fit(plan.sketches[row]) for row, _ in batch]
            for (row, column), sketch in zip(batch, fitted, strict=True):
                source = plan.sketches[row]
                if row not in noted:
                    noted.add(row)
                    for note in sketch.notes:
                        progress.note(f"{source.source}: {note}")
                    if plan.drawn and (name := f"{source.name}.sketch.png") not in done:
                        write_png(made.folder / name, sketch.drawing)
                if sketch.notes:
                    made.files[plan.name_of((row, column))]["notes"] = list(sketch.notes)
            styles = [read(plan.styles[column]) for _, column in batch]
            keys = [plan.key_of(cell) for cell in batch]
            results = plan.model.generate(fitted, styles, keys, _noise(options), at_once)
            for cell, image in zip(batch, results, strict=True):
                write_png(made.folder / plan.name_of(cell), image)
                progress.advance()


def _grid(plan: Plan, options: SynthesisOptions) -> SynthesisGrid:
    def result(row: int, column: int) -> np.ndarray:
        from PIL import Image

        with Image.open(options.out / plan.name_of((row, column))) as image:
            return np.asarray(image.convert("RGB"))

    def again(row: int, style: Style) -> np.ndarray:
        sketch = plan.sketches[row]
        fitted, key = plan.fit(sketch), plan.key(sketch, style)
        return next(plan.model.generate([fitted], [style.read(plan.model.size)], [key], _noise(options)))

    if isinstance(options, SynthesizeOptions) and options.pairs:
        return pairs_grid(plan, result)
    return grid_of(plan, result, again)


def _noise(options: SynthesisOptions) -> int | None:
    return options.seed if options.noise else None
