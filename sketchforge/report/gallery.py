"""A shard folder at a glance: some of its images beside their sketches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.errors import UsageError
from sketchforge.options import GalleryOptions
from sketchforge.report.sheet import contact_sheet, write_png
from sketchforge.shards.manifest import read_manifest
from sketchforge.shards.reader import read_samples, sample_keys
from sketchforge.shards.writer import disk_errors

if TYPE_CHECKING:
    import numpy as np


def gallery(options: GalleryOptions) -> Path:
    """Draw the contact sheet that `options` ask for, write it as PNG and return its path.

    Rows are taken at equal distances over all samples (with `compare`: over those whose keys are in both
    folders), so that a large collection is shown from end to end. Raises UsageError where there are no such
    samples.
    """
    folders = [options.shards] + ([options.compare] if options.compare else [])
    manifests = [read_manifest(folder) for folder in folders]
    keys = [sample_keys(folder, manifest) for folder, manifest in zip(folders, manifests, strict=True)]
    common = [key for key in keys[0] if all(key in others for others in keys)]
    if not common:
        where = (
            f"{options.shards} and {options.compare}: have no samples in common"
            if options.compare
            else (f"{options.shards}: holds no samples yet")
        )
        raise UsageError(f"{where}; render the same images into both" if options.compare else where)
    chosen = _spread(common, options.rows)
    samples = [read_samples(folder, found, chosen) for folder, found in zip(folders, keys, strict=True)]
    rows: list[list[np.ndarray | None]] = []
    for key in chosen:
        rows.append(
            [samples[0][key].image, *(sketch for stored in samples for sketch in stored[key].sketches)]
        )
    labels = ["photo", *(style for manifest in manifests for style in manifest["styles"])]
    with disk_errors(options.png):
        write_png(options.png, contact_sheet(rows, labels))
    return options.png


def _spread(items: list[str], count: int) -> list[str]:
    """At most `count` of `items`, at equal distances, the first and the last among them."""
    if count >= len(items):
        return items
    return [items[round(index * (len(items) - 1) / max(1, count - 1))] for index in range(count)]
