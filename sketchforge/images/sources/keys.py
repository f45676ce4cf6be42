"""The name of every image's sample.

A key depends on the image's own path (relative to the input) and on nothing else, so adding or removing other
files never renames a sample:

* the path's slashes become `__` and the ending `.jpg` goes: `cats/tom.jpg` -> `cats__tom`;
* any other ending is kept behind an underscore: `cats/tom.png` -> `cats__tom_png`;
* where that text does not lead back to exactly this path (dots, spaces, capitals, other alphabets, double
  underscores, great length), a hash of the path is appended: `a.b.jpg` -> `a_b-<16 hex digits>`.

Keys are ASCII letters, digits, `_` and `-`: no dots, since WebDataset takes all up to the first dot as the
key and silently merges samples whose keys agree; and no two keys differ in case only, since some file systems
ignore case.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence

from sketchforge.errors import UsageError
from sketchforge.images.sources.source import ImageSource

# What images of `images.FORMATS` are called; of several in one sample of a tar, the first of these counts.
EXTENSIONS = (
    *("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm"),
    *("jpe", "jfif", "mpo", "apng", "pgm", "pbm", "pnm", "avif", "jp2"),
)
MAX_KEY = 80  # characters; with ".sketch999.png" a member name stays under tar's 100
_KEPT_EXTENSION = re.compile(rf"(.*)_({'|'.join(EXTENSIONS[1:])})", re.DOTALL)
_FIT = re.compile(r"[a-z0-9_][a-z0-9_-]*")
_HASHED = re.compile(r".*-[0-9a-f]{16}", re.DOTALL)


def image_key(relative_path: str) -> str:
    """The key of an image, from its path with forward slashes; see the head of this module."""
    # Plain text operations: pathlib's idea of a suffix differs between versions of Python, and keys must not.
    stem, _, extension = relative_path.rpartition(".")
    named = bool(stem) and not stem.endswith("/") and "/" not in extension
    text = stem if named and extension.lower() == "jpg" else relative_path
    text = re.sub(r"[^A-Za-z0-9_-]+", "_", text.replace("/", "__"))
    text = re.sub(r"^-+", "_", text)  # a leading hyphen would read as an option wherever a key is typed
    bare = len(text) <= MAX_KEY and not _HASHED.fullmatch(text) and text == text.lower()
    if bare and _path_of(text) == relative_path:
        return text
    digest = hashlib.sha256(os.fsencode(relative_path)).hexdigest()[:16]
    return f"{text[: MAX_KEY - 17]}-{digest}"


def sanitize_key(sample: str) -> str:
    """The key of a sample that has one already: the same where it is fit for a key, else made like a path's."""
    return sample if len(sample) <= MAX_KEY and _FIT.fullmatch(sample) else image_key(f"{sample}.jpg")


def _path_of(bare_key: str) -> str:
    """The one path that a key without a hash stands for: being a function, it proves such keys distinct."""
    kept = _KEPT_EXTENSION.fullmatch(bare_key)
    stem, extension = (kept[1], kept[2]) if kept else (bare_key, "jpg")
    return f"{stem.replace('__', '/')}.{extension}"


def check_keys(images: Sequence[ImageSource]) -> None:
    """Raise UsageError if two images share a key, case aside: tars may, and a hash might."""
    seen: dict[str, str] = {}
    for image in images:
        other = seen.setdefault(image.key.lower(), image.source)
        if other is not image.source:
            raise UsageError(
                f"{image.source}: has the same key as {other} ({image.key}), and keys must be unique; "
                "rename one of them, or for tars whose names repeat add --prefix-keys"
            )


def as_text(name: str) -> str:
    """A path as text that every encoding can carry: bytes that are not UTF-8 appear as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
