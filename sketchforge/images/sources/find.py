"""Find the images that a user names by `--images`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sketchforge.errors import UsageError
from sketchforge.images.sources.folder import extension_of, images_in_folder
from sketchforge.images.sources.keys import as_text, check_keys, image_key, readable_extensions
from sketchforge.images.sources.passed_over import PACKAGES, count_ending, describe_passed_over
from sketchforge.images.sources.patterns import check_path, expand_pattern, read_list
from sketchforge.images.sources.remote import (
    expand_remote,
    find_states,
    images_in_remote_folder,
    is_remote_folder,
    name_below,
)
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource
from sketchforge.images.sources.tar import TAR_ENDINGS, images_in_tar, is_tar
from sketchforge.storage.filesystems import is_url
from sketchforge.utils.seeding import numpy_generator
from sketchforge.utils.text import count_noun

LIST_EXTENSIONS = ("txt", "lst")


class FoundImages(NamedTuple):
    """The images of an input, and what was passed over beside them: kind -> count, sorted by kind."""

    images: list[ImageSource]
    passed_over: dict[str, int]


def find_images(source: str | Path, prefix_keys: bool = False) -> list[ImageSource]:
    """The images of `search_images`, without the counts."""
    return search_images(source, prefix_keys).images


def search_images(source: str | Path, prefix_keys: bool = False) -> FoundImages:
    """The images of a folder tree, tar shards, image files or a list of files.

    source: a folder; a tar or several by a glob or brace pattern (`laion/{00000..00009}.tar`); an image or a
    pattern of images; or a text file (.txt, .lst) with one path a line, relative to the file's folder. Each may be a URL
    (s3://, gs://, https:// and so on), and a line of a list, too.
    Order: as listed, as patterns expand (globs sorted), as tars hold them; folders by path.
    prefix_keys: put the tar's name before the keys, for tars whose keys repeat.
    Raises UsageError where no image is found or two images share a key, SketchforgeError where something
    cannot be read.
    """
    name = os.fspath(source)
    passed_over: Counter[str] = Counter()
    if os.path.isdir(name):
        images = images_in_folder(Path(name), passed_over)
    elif is_url(name) and is_remote_folder(name):
        images = images_in_remote_folder(name, passed_over)
    else:
        check_path(name, f"--images {name}")
        states: dict[str, FileState] = {}
        if extension_of(name) in LIST_EXTENSIONS:
            files = read_list(name)
        elif is_url(name):
            states = expand_remote(name)
            files = name_below(states, name)
        else:
            files = expand_pattern(name, passed_over)
        images = _list_images(name, files, states, prefix_keys, passed_over)
    check_keys(images)
    return FoundImages(images, dict(sorted(passed_over.items())))


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


def _list_images(
    source: str,
    files: Mapping[str, str],
    states: Mapping[str, FileState],
    prefix_keys: bool,
    passed_over: Counter[str],
) -> list[ImageSource]:
    """List the images of `files`, path -> name relative to the input; `source` is what the user named.

    states: of those files whose state is known already.
    """
    extensions = readable_extensions()
    tars = {path: name for path, name in files.items() if is_tar(path)}
    image_files = {path: name for path, name in files.items() if extension_of(path) in extensions}
    for path in files:
        if path not in tars and path not in image_files:
            count_ending(passed_over, extension_of(path))
    if not tars and not image_files:
        path = next(iter(files))
        where = path if source == path else f"{source}: {path}"
        package = PACKAGES.get(f".{extension_of(path)}")
        hint = f"; pip install {package} reads such files" if package else ""
        raise UsageError(
            f"{where}: not a folder, a tar ({', '.join(TAR_ENDINGS)}), an image or a list of "
            f"files ({', '.join('.' + ending for ending in LIST_EXTENSIONS)}){hint}"
        )
    if tars and image_files:
        raise UsageError(
            f"{source}: means tars and images ({next(iter(tars))}, {next(iter(image_files))}); "
            "name one kind only"
        )
    if image_files:
        unknown = [path for path in image_files if path not in states]
        states = {**states, **find_states(unknown)}
        return [
            ImageSource(image_key(name), as_text(name), ByteSource.of_file(states[path]))
            for path, name in image_files.items()
        ]
    images = [
        image for path, name in tars.items() for image in images_in_tar(path, name, prefix_keys, passed_over)
    ]
    if not any(image.image.reason is None for image in images):
        damaged = f", {len(images)} of them damaged" if images else ""
        counts = describe_passed_over(passed_over)
        raise UsageError(
            f"{source}: no images found in {count_noun(len(tars), 'tar')}{damaged}; expected members such as "
            f"KEY.jpg{f'; {counts}' if counts else ''}"
        )
    return images
