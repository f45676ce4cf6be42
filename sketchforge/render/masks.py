"""Where the subject of each input is: by a learned head, by colour, by the source's own alpha, or by masks that the user has."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sketchforge.errors import UsageError
from sketchforge.images.decode import NO_MASK
from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.folder import extension_of, walk_files
from sketchforge.images.sources.source import ByteSource, FileState

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


def add_masks(images: Sequence[ImageSource], folder: Path) -> list[ImageSource]:
    """Give each image its mask: the file of `folder` with its path, or its key, and any ending of an image.

    One that has none fails later, as one that cannot be read does. Raises UsageError where no image has a mask,
    SketchforgeError where the folder cannot be listed.
    """
    files: dict[str, FileState] = {}
    for name, state in walk_files(str(folder), Counter()):
        if extension_of(name) in MASK_EXTENSIONS:
            files.setdefault(os.path.splitext(name)[0], state)
    masked = [
        replace(image, mask=_find_mask(files, os.path.splitext(image.source)[0], image.key))
        for image in images
    ]
    if masked and all(image.mask is None or image.mask.reason is not None for image in masked):
        raise UsageError(
            f"--masks {folder}: holds a mask for none of the images; the first one's would be "
            f"{os.path.splitext(masked[0].source)[0]}.png or {masked[0].key}.png"
        )
    return masked


def _find_mask(files: dict[str, FileState], *stems: str) -> ByteSource:
    state = next((files[stem] for stem in stems if stem in files), None)
    return ByteSource(0, reason=NO_MASK) if state is None else ByteSource.of_file(state)
