"""A shard folder at a glance: some of its images beside their sketches, as a picture or as a web page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.errors import UsageError
from sketchforge.images.contact_sheet import contact_sheet
from sketchforge.images.encode import write_png
from sketchforge.options import GalleryOptions
from sketchforge.report.gallery.page import ShownFolder, gallery_page
from sketchforge.report.html import write_page
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.reader import finished_shards, read_samples, sample_keys
from sketchforge.shards.selection import spread, whole_samples
from sketchforge.utils.files import disk_errors
from sketchforge.utils.outputs import check_output

if TYPE_CHECKING:
    import numpy as np

SHEET_ROWS = 8
PAGE_ROWS = 200


def gallery(options: GalleryOptions) -> list[Path]:
    """Write what `options` ask for, contact sheet (PNG), page (HTML) or both, and return the paths.

    Rows are taken at equal distances over all samples (with `compare`: over those whose keys are in both
    folders), so that a large collection is shown from end to end. Equal folders and options give equal
    bytes. Raises UsageError where there are no such samples or nothing to write, or what is there is not ours,
    SketchforgeError on damaged shards.
    """
    if not options.png and not options.html:
        raise UsageError("gallery: nothing to write; give --html FILE, --png FILE or both")
    check_output(options.png, "--png", options.overwrite)
    check_output(options.html, "--html", options.overwrite)
    paths = [options.shards] + ([options.compare] if options.compare else [])
    manifests = [read_manifest(path) for path in paths]
    folders = [
        ShownFolder(path, manifest, len(finished_shards(path, manifest)), sample_keys(path, manifest))
        for path, manifest in zip(paths, manifests, strict=True)
    ]
    common = [key for key in folders[0].keys if all(key in folder.keys for folder in folders)]
    if not common:
        where = (
            f"{options.shards} and {options.compare}: have no samples in common"
            if options.compare
            else (f"{options.shards}: holds no samples")
        )
        raise UsageError(f"{where}; render the same images into both" if options.compare else where)
    if options.png:
        _write_sheet(options.png, folders, spread(common, options.rows or SHEET_ROWS))
    if options.html:
        chosen = spread(common, options.rows or PAGE_ROWS)
        _write_page(options.html, folders, chosen, len(common))
    return [path for path in (options.png, options.html) if path]


def _write_sheet(path: Path, folders: Sequence[ShownFolder], chosen: Sequence[str]) -> None:
    samples = [read_samples(folder.path, folder.keys, chosen) for folder in folders]
    rows: list[list[np.ndarray | None]] = []
    for key in chosen:
        rows.append(
            [samples[0][key].image, *(sketch for stored in samples for sketch in stored[key].sketches)]
        )
    labels = ["photo", *(style for folder in folders for style in folder.manifest["styles"])]
    with disk_errors(path):
        write_png(path, contact_sheet(rows, labels))


def _write_page(path: Path, folders: Sequence[ShownFolder], chosen: Sequence[str], num_common: int) -> None:
    samples = [
        {sample.key: sample for sample in whole_samples(folder.path, folder.manifest, folder.keys, chosen)}
        for folder in folders
    ]
    rows = [[stored[key] for stored in samples] for key in chosen]
    write_page(path, gallery_page(folders, rows, num_common))
