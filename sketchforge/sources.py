"""Where images come from: a folder tree, or the photos built in.

Every image gets a key, the name of its sample. A key depends on the image's own path (relative to the input
folder) and on nothing else, so adding or removing other files never renames a sample:

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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images import read_bytes

EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm")
MAX_KEY = 80  # characters; with ".sketch999.png" a member name stays under tar's 100
_KEPT_EXTENSION = re.compile(rf"(.*)_({'|'.join(EXTENSIONS[1:])})", re.DOTALL)
_HASHED = re.compile(r".*-[0-9a-f]{16}", re.DOTALL)
_OUR_FORMAT = b'"format": "sketchforge-'


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One image to be read: bytes in memory, or a file."""

    key: str
    source: str  # path relative to the input, with forward slashes
    num_bytes: int  # size of the file when it was found, -1 if that could not be told
    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)

    def read(self) -> bytes:
        """The encoded picture; raises ImageError where the file cannot be read."""
        if self.data is not None:
            return self.data
        assert self.path is not None
        return read_bytes(self.path)


def find_images(folder: Path) -> list[ImageSource]:
    """All images under `folder`, at any depth, in byte order of their relative paths.

    Known by extension (EXTENSIONS, any case). Hidden files and folders are passed over, and so are folders
    that sketchforge wrote. Symbolic links are followed, save those that lead back to a folder they lie in.
    Raises UsageError when the folder does not exist or holds no image, SketchforgeError when a part of it
    cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; expected images there"
        )
    files = sorted(_walk(str(folder), "", ()), key=lambda file: os.fsencode(file[0]))
    if not files:
        raise UsageError(
            f"{folder}: no images found, looked for {', '.join('.' + name for name in EXTENSIONS)}"
        )
    images = [ImageSource(image_key(name), _as_text(name), size, folder / name) for name, size in files]
    check_keys(images)
    return images


def builtin_images() -> list[ImageSource]:
    """The photos built in, as uncompressed PPM: the same bytes whatever library encodes or decodes."""
    from sketchforge.samples.photos import load_photos

    images = []
    for name, pixels in load_photos():
        data = b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        images.append(ImageSource(image_key(f"{name}.jpg"), f"{name}.ppm", len(data), data=data))
    check_keys(images)
    return images


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


def _path_of(bare_key: str) -> str:
    """The one path that a key without a hash stands for: being a function, it proves such keys distinct."""
    kept = _KEPT_EXTENSION.fullmatch(bare_key)
    stem, extension = (kept[1], kept[2]) if kept else (bare_key, "jpg")
    return f"{stem.replace('__', '/')}.{extension}"


def check_keys(images: Sequence[ImageSource]) -> None:
    """Raise SketchforgeError if two images share a key (a 64-bit hash collision), case aside."""
    seen: dict[str, str] = {}
    for image in images:
        other = seen.setdefault(image.key.lower(), image.source)
        if other is not image.source:
            raise SketchforgeError(
                f"{image.source}: has the same key as {other}; rename one of the two files"
            )


def _walk(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, int]]:
    """(relative path, size in bytes) of every image file; `above` identifies the folders being walked."""
    try:
        with os.scandir(folder) as listing:
            entries = [
                entry for entry in listing if not entry.name.startswith(".") and entry.name != "__MACOSX"
            ]
        status = os.stat(folder)
    except OSError as error:
        raise SketchforgeError(f"{folder}: cannot be listed ({error.strerror or error})") from error
    here = (status.st_dev, status.st_ino)
    if here in above or any(entry.name == "manifest.json" and _is_ours(entry.path) for entry in entries):
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/", (*above, here))
        elif os.path.splitext(entry.name)[1][1:].lower() in EXTENSIONS:
            # A dangling link counts as an image: it is reported as unreadable, not dropped unseen.
            if entry.is_file() or entry.is_symlink():
                yield prefix + entry.name, _size_of(entry)


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return -1


def _is_ours(manifest: str) -> bool:
    try:
        with open(manifest, "rb") as file:
            return _OUR_FORMAT in file.read()
    except OSError:
        return False


def _as_text(name: str) -> str:
    """A path as text that every encoding can carry: bytes that are not UTF-8 appear as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
