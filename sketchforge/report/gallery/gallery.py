"""The gallery of a shard folder: some of its images beside their sketches, as a PNG or a web page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.errors import UsageError
from sketchforge.images.contact_sheet import contact_sheet, describe_fidelity
from sketchforge.images.encode import write_captioned_png
from sketchforge.options import GalleryOptions
from sketchforge.report.gallery.page import describe_count, describe_folders, gallery_page
from sketchforge.report.html import write_page
from sketchforge.shards.reader import raw_samples, read_samples
from sketchforge.shards.selection import look_into_some, spread_evenly
from sketchforge.shards.shard_set import ShardSet, open_folder
from sketchforge.shards.sidecars import count_samples
from sketchforge.utils.files import disk_errors
from sketchforge.utils.outputs import check_output

if TYPE_CHECKING:
    import numpy as np

SHEET_ROWS = 8
SHEET_CELL = 512  # pixels; larger sketches are reduced, on the sheet
PAGE_ROWS = 200


def gallery(options: GalleryOptions) -> list[Path]:
    """Write the contact sheet (PNG), the page (HTML) or both, as `options` say, and return the paths.

    Rows are taken at equal distances over all samples (with `compare`: over those whose keys are in both
    folders; else over those of MAX_LOOKED_INTO shards, themselves spread evenly), so that they show a large
    collection from end to end. Equal folders and options give equal
    bytes.

    Raises UsageError where there are no such samples, where there is nothing to write, or where an output
    exists that sketchforge has not written; SketchforgeError on damaged shards.
    """
    if not options.png and not options.html:
        raise UsageError("gallery: nothing to write; give --html FILE, --png FILE or both")
    check_output(options.png, "--png", options.overwrite)
    check_output(options.html, "--html", options.overwrite)
    paths = [options.shards] + ([options.compare] if options.compare else [])
    folders = [open_folder(path) for path in paths]
    num_samples = count_samples(folders[0].folder, folders[0].manifest)
    read = folders if options.compare else [look_into_some(folders[0], num_samples)]
    folder_keys = [folder.keys for folder in read]
    common = [key for key in folder_keys[0] if all(key in keys for keys in folder_keys)]
    num_common = len(common) if options.compare else sum(num_samples.values())
    if not common:
        problem = (
            f"{options.shards} and {options.compare}: have no samples in common"
            if options.compare
            else (f"{options.shards}: holds no samples")
        )
        raise UsageError(f"{problem}; render the same images into both" if options.compare else problem)
    if options.png:
        _write_sheet(options.png, read, spread_evenly(common, options.rows or SHEET_ROWS), num_common)
    if options.html:
        chosen = spread_evenly(common, options.rows or PAGE_ROWS)
        _write_page(options.html, folders, read, chosen, num_common)
    return [path for path in (options.png, options.html) if path]


def _write_sheet(path: Path, folders: Sequence[ShardSet], chosen: Sequence[str], num_common: int) -> None:
    samples = [read_samples(folder, chosen) for folder in folders]
    rows: list[list[np.ndarray | None]] = []
    sketches: list[np.ndarray] = []
    for key in chosen:
        drawn = [sketch for stored in samples for sketch in stored[key].sketches]
        rows.append([samples[0][key].image, *drawn])
        sketches += drawn
    labels = ["photo", *(style for folder in folders for style in folder.styles)]
    cell = min(SHEET_CELL, max(max(sketch.shape) for sketch in sketches))
    caption = "; ".join(
        [
            f"{' and '.join(folder.name for folder in folders)}: "
            f"{describe_count(len(chosen), num_common, len(folders))}",
            *describe_folders(folders),
            describe_fidelity(sketches, cell),
        ]
    )
    with disk_errors(path):
        write_captioned_png(path, contact_sheet(rows, labels, cell, chosen), caption)


def _write_page(
    path: Path, folders: Sequence[ShardSet], read: Sequence[ShardSet], chosen: Sequence[str], num_common: int
) -> None:
    """Write the page of `folders`; `read`: those shards of each that hold the samples `chosen`."""
    samples = [{sample.key: sample for sample in raw_samples(folder, chosen)} for folder in read]
    rows = [[stored[key] for stored in samples] for key in chosen]
    write_page(path, gallery_page(folders, rows, num_common))
