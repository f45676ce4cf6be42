"""Where the subject of each input is: by a learned head, by colour, by the source's own alpha, or by masks that the user has."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.decode import NO_MASK, REASONS
from sketchforge.images.sources import ImageTable
from sketchforge.images.sources.folder import extension_of, walk_files
from sketchforge.images.sources.table import UNUSABLE, Places
from sketchforge.images.sources.table_builder import TableBuilder

HEAD, COLOUR, ALPHA = "head", "colour", "alpha"
FOREGROUND = HEAD  # what hands go by where --masks does not say
METHODS = (HEAD, COLOUR, ALPHA)  # everything else is a folder of masks
MASK_EXTENSIONS = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff")


def mask_folder(masks: str | None) -> Path | None:
    """The folder that --masks names; None where it names none. Raises UsageError for one that does not exist."""
    if masks is None or masks in METHODS:
        return None
    folder = Path(masks)
    if not folder.is_dir():
        raise UsageError(
            f"--masks {masks}: no such folder; expected {', '.join(METHODS)} or a folder of masks"
        )
    return folder


def add_masks(images: ImageTable, folder: Path) -> ImageTable:
    """Give each image its mask: the file of `folder` with its path, or its key, and any ending of an image.

    One that has none fails later, as one that cannot be read does. Raises UsageError where no image has a mask,
    SketchforgeError where the folder cannot be listed.
    """
    files = TableBuilder()
    numbers: dict[str, int] = {}
    for name, state in walk_files(str(folder), Counter()):
        stem = os.path.splitext(name)[0]
        if extension_of(name) in MASK_EXTENSIONS and stem not in numbers:
            numbers[stem] = files.add_file(state, gzipped=False)
    table = files.build().columns.image.files
    stems = ((os.path.splitext(source)[0], key) for key, source in images.names())
    missing = UNUSABLE - REASONS.index(NO_MASK)
    of_images = np.fromiter(
        (numbers.get(stem, numbers.get(key, missing)) for stem, key in stems), np.int32, len(images)
    )
    if len(images) and (of_images == missing).all():
        key, source = next(images.names())
        raise UsageError(
            f"--masks {folder}: holds a mask for none of the images; the first one's would be "
            f"{os.path.splitext(source)[0]}.png or {key}.png"
        )
    number = np.full(len(images.columns.names), missing, np.int32)
    number[images.rows] = of_images
    size = np.zeros(len(number), np.int64)
    has_mask = number >= 0
    size[has_mask] = table.sizes[number[has_mask]]
    return images.with_masks(Places(table, number, np.zeros_like(size), size))
