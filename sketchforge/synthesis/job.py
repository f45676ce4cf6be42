"""`synthesize`, `mix` and `transfer`: generate images of many sketches and styles into a folder.

    DIR/SKETCH--STYLE.png   one for each sketch and style, or pair
    DIR/A+B.png             mix: the style images cut and stitched
    DIR/IMAGE.sketch.png    transfer: what TOM drew
    DIR/grid.png            all of it, or the beginning, with names
    DIR/outputs.json        what each was made of (`record.py`)

The same call again makes what is missing. DIR may be NAME.png where there is one image to make (`single.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.encode import write_captioned_png, write_png
from sketchforge.options import SynthesisOptions, SynthesizeOptions
from sketchforge.synthesis import record as records
from sketchforge.synthesis.grid import SynthesisGrid, grid_of, pairs_grid
from sketchforge.synthesis.plan import KEPT_IN_MEMORY, Plan, Style, plan_job
from sketchforge.synthesis.record import GRID_FILE, OutputRecord
from sketchforge.synthesis.single import check_image_path, names_image, write_only_image
from sketchforge.utils.device import set_threads
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun


@dataclass(frozen=True)
class Summary:
    """The counts of a finished job."""

    num_made: int
    num_kept: int  # requested images that were there already
    grid: Path | None  # None where the output is one image
    left_out: str  # what the grid does not show; empty where it shows everything


def run_job(options: SynthesisOptions, progress: Progress | None = None) -> Summary:
    """Generate the images that a command's options request; the same call again generates missing ones.

    Raises the errors of `plan_job` and `begin_record`, all before anything is written.
    """
    progress = progress or Progress()
    if is_single := names_image(options.out):
        check_image_path(options)
    elif options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out}: is a file; name a folder")
    set_threads(options.threads)
    plan = plan_job(options, progress)
    if is_single:
        write_only_image(plan, options.out, plan.noise_seed(options), progress)
        return Summary(1, 0, None, "")
    record, done = records.begin_record(options.out, plan.by, plan.describe_files(), options.overwrite)
    if stale := records.remove_stale(options.out, record, done):
        progress.note(f"{count_noun(stale, 'file')} of an earlier run replaced")
    record.write()
    missing = [cell for cell in plan.cells if plan.name_of(cell) not in done]
    if missing and len(missing) < len(plan.cells):
        progress.note(
            f"{len(plan.cells) - len(missing)} of {count_noun(len(plan.cells), 'image')} there already and "
            "kept"
        )
    try:
        _write_images(plan, missing, options, record, done, progress)
    finally:
        record.write()  # with the notes
    grid = _build_grid(plan, options)
    write_captioned_png(options.out / GRID_FILE, grid.image, grid.caption)
    return Summary(len(missing), len(plan.cells) - len(missing), options.out / GRID_FILE, grid.left_out)


def _write_images(
    plan: Plan,
    missing: Sequence[tuple[int, int]],
    options: SynthesisOptions,
    record: OutputRecord,
    done: set[str],
    progress: Progress,
) -> None:
    @lru_cache(KEPT_IN_MEMORY)
    def read_style(style: Style) -> np.ndarray:
        return style.read(plan.model.size)

    for style in plan.styles:
        if len(style.parts) > 1 and (name := f"{style.name}.png") not in done:
            write_png(record.folder / name, read_style(style))
    batch_size = options.batch_size or plan.model.batch_size
    noted: set[int] = set()
    with progress.track("image", len(missing)):
        for start in range(0, len(missing), batch_size):
            batch = missing[start : start + batch_size]
            fitted = [plan.fit(plan.sketches[row]) for row, _ in batch]
            for (row, column), sketch in zip(batch, fitted, strict=True):
                source = plan.sketches[row]
                if row not in noted:
                    noted.add(row)
                    for note in sketch.notes:
                        progress.note(f"{source.source}: {note}")
                    if plan.drawn and (name := f"{source.name}.sketch.png") not in done:
                        write_png(record.folder / name, sketch.drawing)
                if sketch.notes:
                    record.files[plan.name_of((row, column))]["notes"] = list(sketch.notes)
            styles = [read_style(plan.styles[column]) for _, column in batch]
            keys = [plan.noise_key(plan.sketches[row], plan.styles[column]) for row, column in batch]
            results = plan.model.generate(fitted, styles, keys, plan.noise_seed(options), batch_size)
            for cell, image in zip(batch, results, strict=True):
                write_png(record.folder / plan.name_of(cell), image, plan.describe(cell))
                progress.advance()


def _build_grid(plan: Plan, options: SynthesisOptions) -> SynthesisGrid:
    def result(row: int, column: int) -> np.ndarray:
        from PIL import Image

        with Image.open(options.out / plan.name_of((row, column))) as image:
            return np.asarray(image.convert("RGB"))

    def again(row: int, style: Style) -> np.ndarray:
        sketch = plan.sketches[row]
        fitted, key = plan.fit(sketch), plan.noise_key(sketch, style)
        return next(
            plan.model.generate([fitted], [style.read(plan.model.size)], [key], plan.noise_seed(options))
        )

    if isinstance(options, SynthesizeOptions) and options.pairs:
        return pairs_grid(plan, result)
    return grid_of(plan, result, again)
