"""The name of every image's sample.

A key depends only on the image's path (relative to the input), so adding or removing other files never
renames a sample:

* the path's slashes become `__` and the ending `.jpg` goes: `cats/tom.jpg` -> `cats__tom`;
* any other ending is kept behind an underscore: `cats/tom.png` -> `cats__tom_png`;
* a frame of an animated image or a video has its file's key and the frame's number from 1: `tom_gif-f0001`;
* where the path cannot be restored from that text (dots, spaces, capitals, other alphabets, double
  underscores, more than MAX_KEY characters), a hash of the path is appended:
  `a.b.jpg` -> `a_b-<16 hex digits>`.

Keys are ASCII letters, digits, `_` and `-`. They have no dots, since WebDataset takes all up to the first dot
as the key and silently merges samples whose keys agree. No two keys differ in case only, since some file
systems ignore case.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from functools import lru_cache

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.frames import VIDEO_EXTENSIONS
from sketchforge.images.sources.table import ImageTable

# File extensions of `decode.FORMATS`, those of HEIF, too, though not every machine reads them: keys depend on
# nothing but the path. If a sample of a tar has several images, the first of these counts.
HEIF_EXTENSIONS = ("heic", "heif", "hif")
EXTENSIONS = (
    *("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm"),
    *("jpe", "jfif", "mpo", "apng", "pgm", "pbm", "pnm", "avif", "jp2", *HEIF_EXTENSIONS),
)
MAX_KEY = 80  # characters; with ".sketch999.png" a member name stays under tar's 100
_KEPT_EXTENSION = re.compile(rf"(.*)_({'|'.join(EXTENSIONS[1:])})", re.DOTALL)
_KEPT_VIDEO = re.compile(rf"(.*)_({'|'.join(VIDEO_EXTENSIONS)})", re.DOTALL)
_VALID_KEY = re.compile(r"[a-z0-9_][a-z0-9_-]*")
_HASHED_KEY = re.compile(r".*-[0-9a-f]{16}", re.DOTALL)


@lru_cache
def readable_extensions(videos: bool = False) -> tuple[str, ...]:
    """Those of EXTENSIONS that are read here: HEIF's only where pillow-heif is installed. videos: and theirs."""
    others = VIDEO_EXTENSIONS if videos else ()
    if importlib.util.find_spec("pillow_heif") is not None:
        return EXTENSIONS + others
    return tuple(extension for extension in EXTENSIONS if extension not in HEIF_EXTENSIONS) + others


def image_key(relative_path: str) -> str:
    """The key of an image, from its path with forward slashes; see the head of this module."""
    # String operations: pathlib's suffixes differ between versions of Python, and keys must not.
    stem, _, extension = relative_path.rpartition(".")
    has_extension = bool(stem) and not stem.endswith("/") and "/" not in extension
    text = stem if has_extension and extension.lower() == "jpg" else relative_path
    text = re.sub(r"[^A-Za-z0-9_-]+", "_", text.replace("/", "__"))
    text = re.sub(r"^-+", "_", text)  # a leading hyphen would look like an option on a command line
    may_stay_bare = len(text) <= MAX_KEY and not _HASHED_KEY.fullmatch(text) and text == text.lower()
    # Videos have keys of their own, which no image has: frames' numbers follow them.
    kept = _KEPT_VIDEO if extension.lower() in VIDEO_EXTENSIONS else _KEPT_EXTENSION
    if may_stay_bare and _restore_path(text, kept) == relative_path:
        return text
    digest = hashlib.sha256(os.fsencode(relative_path)).hexdigest()[:16]
    return f"{text[: MAX_KEY - 17]}-{digest}"


def sanitize_key(sample: str) -> str:
    """The key of a sample that has one already: unchanged if valid, else derived like that of a path."""
    return sample if len(sample) <= MAX_KEY and _VALID_KEY.fullmatch(sample) else image_key(f"{sample}.jpg")


def frame_key(key: str, number: int) -> str:
    """The key of a frame, by the key of its file and its number, from 1."""
    suffix = f"-f{number:04d}"
    if len(key) + len(suffix) <= MAX_KEY:
        return key + suffix
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"{key[: MAX_KEY - len(suffix) - 17]}-{digest}{suffix}"


def _restore_path(bare_key: str, kept_extension: re.Pattern[str]) -> str:
    """Restore the path from a key without a hash; since this is possible, such keys are distinct."""
    match = kept_extension.fullmatch(bare_key)
    stem, extension = (match[1], match[2]) if match else (bare_key, "jpg")
    return f"{stem.replace('__', '/')}.{extension}"


def check_keys(images: ImageTable) -> None:
    """Raise UsageError if two images share a key, ignoring case: tars may repeat keys, hashes may collide."""
    # Numbers for keys: a set of millions of texts would take hundreds of megabytes.
    hashes = np.fromiter((hash(key.lower()) for key, _ in images.names()), np.int64, len(images))
    ordered = np.sort(hashes)
    repeated = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if not repeated:
        return
    seen: dict[str, str] = {}
    for (key, source), number in zip(images.names(), hashes.tolist(), strict=True):
        if number not in repeated:
            continue
        if key.lower() in seen:
            raise UsageError(
                f"{source}: has the same key as {seen[key.lower()]} ({key}), and keys must be unique; "
                "rename one of them, or for tars whose names repeat add --prefix-keys"
            )
        seen[key.lower()] = source


def as_text(name: str) -> str:
    """A path as text that every encoding can carry: bytes that are not UTF-8 appear as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
