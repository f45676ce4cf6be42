"""The images that a user names, each with a name of its own for files and grids."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.sources import ImageSource, builtin_images, find_images
from sketchforge.images.sources.source import ByteSource
from sketchforge.utils.progress import Progress

JOINT = "--"  # between the names of sketch and style in a file's name; no name has it within
MAX_NAME = 100  # bytes; two of them, JOINT and an ending stay below what file systems take

# Few enough to be looked at, and of seven photos each another.
BUILTIN_PHOTOS = (
    "astronaut-s0-00",
    "cat-s0-01",
    "coffee-s0-01",
    "dahlia-s0-01",
    "pagoda-s0-01",
    "rocket-s0-01",
)
BUILTIN_DRAWINGS = ("cat marker", "woman quill", "cottage pencil", "sunflower pressure", "sailing-boat brush",
                    "teapot doubled")  # fmt: skip


@dataclass(frozen=True)
class ImageInput:
    """An image that can be read, as it was when it was found."""

    name: str  # unique among those found with it, case aside
    source: str  # its path, or what it is called where it has none
    image: ImageSource
    sha256: str = ""  # of its bytes

    def read(self) -> np.ndarray:
        """uint8 H×W×3 RGB; ImageError naming `source`."""
        return self._decoded()[1]

    def checked(self) -> ImageInput:
        """The same with its digest; ImageError where it cannot be read."""
        return replace(self, sha256=hashlib.sha256(self._decoded()[0]).hexdigest())

    def _decoded(self) -> tuple[bytes, np.ndarray]:
        try:
            data = self.image.read()
            return data, decode_image(data).pixels
        except ImageError as error:
            raise ImageError(error.reason, self.source) from error


def find_image_inputs(given: Iterable[str], repeats: bool = False) -> list[ImageInput]:
    """The images of files, folders, patterns, lists and tars (`sources.find_images`), in the order given.

    A file that is named twice counts once, unless it `repeats`. Images of one name are told apart by their
    endings, else by the folder they lie in. Raises UsageError where nothing is found or names cannot be told
    apart.
    """
    found: list[tuple[str, str, ImageSource]] = []  # path, name relative to what was given, source
    for one in given:
        for image in find_images(one):
            file = image.image.file
            path = image.source if file is None or _in_tar(image) else file.path
            found.append((path, image.source, image))
    if not repeats:
        found = list({Path(path).absolute(): each for path, *_ in found for each in [(path, *_)]}.values())
    return _named(found)


def builtin_photos(names: Sequence[str] = BUILTIN_PHOTOS) -> list[ImageInput]:
    """Some of the photos built in."""
    images = {PurePosixPath(image.source).stem: image for image in builtin_images()}
    return [ImageInput(name, f"built-in photo {name}", images[name]) for name in names]


def builtin_drawings() -> list[ImageInput]:
    """Some of the line drawings built in."""
    from sketchforge.images.builtin.drawings import draw

    inputs = []
    for words in BUILTIN_DRAWINGS:
        pixels = draw(*words.split())
        name = words.split()[0]
        data = b"P5\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        source = ImageSource(name, f"{name}.pgm", ByteSource(len(data), data=data))
        inputs.append(ImageInput(name, f"built-in drawing {name}", source))
    return inputs


def check_images(images: Sequence[ImageInput], progress: Progress) -> list[ImageInput]:
    """Read every image once: what cannot be read is to stop a command before it begins. ImageError."""
    found = []
    for image in images:
        found.append(image.checked())
        progress.advance()
    return found


def _named(found: Sequence[tuple[str, str, ImageSource]]) -> list[ImageInput]:
    ways: list[Callable[[str, str], str]] = [
        lambda path, name: str(PurePosixPath(name).with_suffix("")),
        lambda path, name: name.replace(".", "_"),
        lambda path, name: f"{Path(path).absolute().parent.name}_{name}".replace(".", "_"),
    ]
    names = [""] * len(found)
    paths = [path for path, *_ in found]
    open_ = list(range(len(found)))
    for way in ways:
        for index in open_:
            names[index] = file_name(way(*found[index][:2]))
        taken: dict[str, set[str]] = {}
        for path, name in zip(paths, names, strict=True):
            taken.setdefault(name.casefold(), set()).add(path)
        open_ = [index for index in open_ if len(taken[names[index].casefold()]) > 1]
    if open_:
        same = [paths[index] for index in open_ if names[index].casefold() == names[open_[0]].casefold()]
        raise UsageError(
            f"{same[0]} and {same[1]}: both would be called {names[open_[0]]}; rename one of them"
        )
    return [ImageInput(name, path, image) for name, (path, _, image) in zip(names, found, strict=True)]


def file_name(text: str) -> str:
    """Text as part of a file's name: on any system, and without JOINT."""
    text = re.sub(r"[^\w .+()-]", "_", text.replace("/", "_"))
    text = re.sub(r"--+", "-", text).strip(". -") or "image"
    return text.encode()[:MAX_NAME].decode(errors="ignore")


def _in_tar(image: ImageSource) -> bool:
    return image.image.file is not None and (image.image.offset > 0 or image.image.gzipped)
