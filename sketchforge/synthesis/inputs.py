"""The images that a user names, each with a unique name for files and grids."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.sources import (
    ImageSource,
    builtin_images,
    describe_passed_over,
    search_images,
)
from sketchforge.images.sources.parquet_rows import is_parquet
from sketchforge.images.sources.source import ByteSource
from sketchforge.utils.progress import Progress

JOINT = "--"  # between the names of sketch and style in a file name; no name contains it
MAX_NAME = 100  # bytes; two of them, JOINT and an ending stay below what file systems take

# Few enough to look at, and each of another of the seven photos.
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
    """An image of the user's: its name, its source and its bytes as they were when it was found."""

    name: str  # unique among the images found together, case aside
    source: str  # its path, or a description where it has none
    image: ImageSource
    sha256: str = ""  # of its bytes

    def read(self) -> np.ndarray:
        """uint8 H×W×3 RGB. Raises ImageError, which names `source`."""
        return self._decode()[1]

    def check(self) -> ImageInput:
        """The same input with its digest. Raises ImageError where the image cannot be read."""
        return replace(self, sha256=hashlib.sha256(self._decode()[0]).hexdigest())

    def _decode(self) -> tuple[bytes, np.ndarray]:
        try:
            data = self.image.read()
            return data, decode_image(data).pixels
        except ImageError as error:
            raise ImageError(error.reason, self.source) from error


def find_image_inputs(
    given: Iterable[str], repeats: bool = False, progress: Progress | None = None
) -> list[ImageInput]:
    """The images of files, folders, patterns, lists and tars (`sources.find_images`), in the order given.

    repeats: whether a file that is named twice counts twice; else it counts once.
    progress: is told what was passed over.
    Images of one name are distinguished by their endings, else by the folder they lie in:

        a.jpg, b.jpg      -> a, b
        a.jpg, a.png      -> a_jpg, a_png
        x/a.jpg, y/a.jpg  -> x_a_jpg, y_a_jpg

    Raises UsageError where nothing is found, or where two images would still have one name.
    """
    matches: list[tuple[str, str, ImageSource]] = []  # path, name relative to the argument, source
    for argument in given:
        images, passed_over = search_images(argument)
        if progress is not None and (line := describe_passed_over(passed_over)):
            progress.note(f"{argument}: {line}")
        for image in images:
            file = image.image.file
            path = image.source if file is None or _in_tar(image) else file.path
            matches.append((path, image.source, image))
    if not repeats:
        matches = list(
            {Path(path).absolute(): match for path, *_ in matches for match in [(path, *_)]}.values()
        )
    return _assign_names(matches)


def builtin_photos(names: Sequence[str] = BUILTIN_PHOTOS) -> list[ImageInput]:
    """Some of the built-in photos."""
    images = {PurePosixPath(image.source).stem: image for image in builtin_images()}
    return [ImageInput(name, f"built-in photo {name}", images[name]) for name in names]


def builtin_drawings() -> list[ImageInput]:
    """Some of the built-in line drawings."""
    from sketchforge.images.builtin.drawings import draw

    inputs = []
    for words in BUILTIN_DRAWINGS:
        name, pen = words.split()
        pixels = draw(name, pen)
        data = b"P5\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        source = ImageSource(name, f"{name}.pgm", ByteSource(len(data), data=data))
        inputs.append(ImageInput(name, f"built-in drawing {name}", source))
    return inputs


def check_images(images: Sequence[ImageInput], progress: Progress) -> list[ImageInput]:
    """Read every image once, so that one that cannot be read stops a command before it begins.

    Returns the inputs with their digests. Raises ImageError.
    """
    checked = []
    for image in images:
        checked.append(image.check())
        progress.advance()
    return checked


def _assign_names(matches: Sequence[tuple[str, str, ImageSource]]) -> list[ImageInput]:
    namings: list[Callable[[str, str], str]] = [
        lambda path, name: str(PurePosixPath(name).with_suffix("")),
        lambda path, name: name.replace(".", "_"),
        lambda path, name: f"{Path(path).absolute().parent.name}_{name}".replace(".", "_"),
    ]
    names = [""] * len(matches)
    paths = [path for path, *_ in matches]
    unnamed = list(range(len(matches)))
    for naming in namings:
        for index in unnamed:
            names[index] = file_name(naming(*matches[index][:2]))
        paths_by_name: dict[str, set[str]] = {}
        for path, name in zip(paths, names, strict=True):
            paths_by_name.setdefault(name.casefold(), set()).add(path)
        unnamed = [index for index in unnamed if len(paths_by_name[names[index].casefold()]) > 1]
    if unnamed:
        clashing = [
            paths[index] for index in unnamed if names[index].casefold() == names[unnamed[0]].casefold()
        ]
        raise UsageError(
            f"{clashing[0]} and {clashing[1]}: both would be called {names[unnamed[0]]}; rename one of them"
        )
    return [ImageInput(name, path, image) for name, (path, _, image) in zip(names, matches, strict=True)]


def file_name(text: str) -> str:
    """Text -> a part of a file name that any system accepts and that does not contain JOINT."""
    text = re.sub(r"[^\w .+()-]", "_", text.replace("/", "_"))
    text = re.sub(r"--+", "-", text).strip(". -") or "image"
    return text.encode()[:MAX_NAME].decode(errors="ignore")


def _in_tar(image: ImageSource) -> bool:
    file = image.image.file
    return file is not None and (image.image.offset > 0 or image.image.gzipped or is_parquet(file.path))
