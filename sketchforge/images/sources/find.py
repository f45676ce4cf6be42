"""Find the images that a user names by `--images`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sketchforge.errors import UsageError
from sketchforge.images.sources.folder import extension_of, images_in_folder
from sketchforge.images.sources.keys import EXTENSIONS, as_text, check_keys, image_key
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource
from sketchforge.images.sources.tar import TAR_ENDINGS, images_in_tar, is_tar
from sketchforge.utils.seeding import numpy_generator
from sketchforge.utils.text import count_noun

LIST_EXTENSIONS = ("txt", "lst")


def find_images(source: str | Path, prefix_keys: bool = False) -> list[ImageSource]:
    """The images of a folder tree, tar shards, image files or a list of files.

    source: a folder; a tar or several by a glob or brace pattern (`laion/{00000..00009}.tar`); an image or a
    pattern of images; or a text file (.txt, .lst) with one path a line, relative to the file's folder.
    Order: as listed, as patterns expand (globs sorted), as tars hold them; folders by path.
    prefix_keys: put the tar's name before the keys, for tars whose keys repeat.
    Raises UsageError where no image is found or two images share a key, SketchforgeError where something
    cannot be read.
    """
    name = os.fspath(source)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", name) and not os.path.exists(name):
        raise UsageError(
            f"--images {name}: URLs and commands are not read; copy or mount what is there, and name a path"
        )
    if os.path.isdir(name):
        images = images_in_folder(Path(name))
    else:
        files = _read_list(name) if extension_of(name) in LIST_EXTENSIONS else _expand_pattern(name)
        images = _list_images(name, files, prefix_keys)
    check_keys(images)
    return images


def arrange(
    images: Sequence[ImageSource], shuffle_seed: int | None, limit: int | None
) -> Sequence[ImageSource]:
    """The images in the order of a seed (None: as found), and the first `limit` of them."""
    if shuffle_seed is not None:
        order = numpy_generator(shuffle_seed, "order of inputs").permutation(len(images))
        images = [images[int(index)] for index in order]
    return images if limit is None else images[:limit]


def builtin_images() -> list[ImageSource]:
    """The built-in photos as uncompressed PPM: their bytes do not depend on the version of a codec."""
    from sketchforge.images.builtin.photos import load_photos

    images = []
    for name, pixels in load_photos():
        data = b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        images.append(ImageSource(image_key(f"{name}.jpg"), f"{name}.ppm", ByteSource(len(data), data=data)))
    check_keys(images)
    return images


def _list_images(source: str, files: Mapping[str, str], prefix_keys: bool) -> list[ImageSource]:
    """List the images of `files`, path -> name relative to the input; `source` is what the user named."""
    tars = {path: name for path, name in files.items() if is_tar(path)}
    image_files = {path: name for path, name in files.items() if extension_of(path) in EXTENSIONS}
    unknown = next((path for path in files if path not in tars and path not in image_files), None)
    if unknown is not None or not files:
        raise UsageError(
            f"{unknown or source}: not a folder, a tar ({', '.join(TAR_ENDINGS)}), an image or a list of "
            f"files ({', '.join('.' + ending for ending in LIST_EXTENSIONS)})"
        )
    if tars and image_files:
        raise UsageError(
            f"{source}: means tars and images ({next(iter(tars))}, {next(iter(image_files))}); "
            "name one kind only"
        )
    if image_files:
        return [
            ImageSource(image_key(name), as_text(name), ByteSource.of_file(FileState.now(path)))
            for path, name in image_files.items()
        ]
    images = [image for path, name in tars.items() for image in images_in_tar(path, name, prefix_keys)]
    if not any(image.image.reason is None for image in images):
        damaged = f", {len(images)} of them damaged" if images else ""
        raise UsageError(
            f"{source}: no images found in {count_noun(len(tars), 'tar')}{damaged}; expected members such "
            "as KEY.jpg"
        )
    return images


def _expand_pattern(pattern: str) -> dict[str, str]:
    """Expand braces and wildcards to files, path -> name relative to the part before the first wildcard."""
    from braceexpand import UnbalancedBracesError, braceexpand

    try:
        alternatives = [pattern] if os.path.exists(pattern) else list(braceexpand(pattern))
    except UnbalancedBracesError as error:
        raise UsageError(f"{pattern}: its braces do not match ({error})") from error
    base = os.path.dirname(pattern if os.path.exists(pattern) else re.split(r"[*?\[{]", pattern)[0])
    files = {}
    for alternative in alternatives:
        paths = (
            [alternative] if os.path.exists(alternative) else sorted(glob.glob(alternative, recursive=True))
        )
        if not paths:
            origin = "" if alternative == pattern else f", from {pattern}"
            raise UsageError(f"{alternative}: no such folder or file{origin}; expected images there")
        for path in paths:
            if not os.path.isdir(path):
                files[path] = os.path.relpath(path, base or ".").replace(os.sep, "/")
    return files


def _read_list(path: str) -> dict[str, str]:
    """Read a list of files: one path a line, relative to the list's folder; empty lines are skipped."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such folder or file; expected images there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a list of files ({error})") from error
    folder, files = os.path.dirname(path), {}
    for name in filter(None, (line.strip() for line in lines)):
        file = os.path.normpath(os.path.join(folder, name))
        if file in files:
            raise UsageError(f"{path}: lists {name} more than once")
        files[file] = os.path.normpath(name).replace(os.sep, "/")
    if not files:
        raise UsageError(f"{path}: lists no images; expected a path on every line")
    return files
