"""Find the images that a user names by `--images`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sketchforge.errors import UsageError
from sketchforge.images.sources.folder import extension_of, images_in_folder
from sketchforge.images.sources.index import index_beside, is_index, open_index
from sketchforge.images.sources.keys import as_text, check_keys, image_key, readable_extensions
from sketchforge.images.sources.parquet import images_in_parquet
from sketchforge.images.sources.parquet_rows import ENDING, is_parquet
from sketchforge.images.sources.passed_over import PACKAGES, add_counts, count_ending, describe_passed_over
from sketchforge.images.sources.patterns import check_path, expand_pattern, folder_of, read_list
from sketchforge.images.sources.remote import (
    expand_remote,
    find_states,
    images_in_remote_folder,
    is_remote_folder,
    name_below,
)
from sketchforge.images.sources.source import ByteSource, FileState, ImageSource
from sketchforge.images.sources.table import ImageTable
from sketchforge.images.sources.table_builder import TableBuilder, build_table
from sketchforge.images.sources.tar import TAR_ENDINGS, images_in_tar, is_tar
from sketchforge.storage.filesystems import is_url
from sketchforge.utils.progress import Progress
from sketchforge.utils.seeding import numpy_generator
from sketchforge.utils.text import count_noun

LIST_EXTENSIONS = ("txt", "lst")


class FoundImages(NamedTuple):
    """The images of an input, and what was passed over beside them: kind -> count, sorted by kind."""

    images: ImageTable
    passed_over: dict[str, int]


def find_images(source: str | Path, prefix_keys: bool = False) -> ImageTable:
    """The images of `search_images`, without the counts."""
    return search_images(source, prefix_keys).images


def search_images(
    source: str | Path, prefix_keys: bool = False, progress: Progress | None = None, videos: bool = False
) -> FoundImages:
    """The images of a folder tree, tar shards, parquet files, image files, a list of files or an index.

    source: a folder; a tar or several by a glob or brace pattern (`laion/{00000..00009}.tar`); parquet files likewise; an
    image or a pattern of images; a text file (.txt, .lst) with one path a line, relative to the file's folder; or an index that
    `sketchforge index` has made. One that lies among the images is used unasked, and `progress` told so. Each may be a
    URL (s3://, gs://, https:// and so on), and a line of a list, too.
    Order: as listed, as patterns expand (globs sorted), as tars and parquet files hold them; folders by path.
    prefix_keys: put the tar's or parquet file's name before the keys, for those whose keys repeat.
    progress: counts the files that are read. videos: take files with a video's ending for images, too; those in
    tars, in an index and at URLs are passed over all the same.
    Raises UsageError where no image is found, two images share a key or an index is out of date, SketchforgeError
    where something cannot be read.
    """
    progress = progress or Progress()
    name = os.fspath(source)
    passed_over: Counter[str] = Counter()
    index = open_index(name) if is_index(name) else None
    if index is not None:
        name = index.source
    if os.path.isdir(name):
        if index := index or index_beside(name, is_folder=True):
            index.check_options(True, prefix_keys)
            images = index.take_folder(passed_over)
            progress.note(index.describe(images, 0))
            return FoundImages(images, dict(sorted(passed_over.items())))
        images = build_table(images_in_folder(Path(name), passed_over, progress=progress, videos=videos))
    elif is_url(name) and is_remote_folder(name):
        images = build_table(images_in_remote_folder(name, passed_over))
    else:
        folder, files, states = list_files(name, passed_over)
        tars, image_files, parquets = sort_files(name, files, passed_over, videos and not is_url(name))
        if parquets:
            read = partial(images_in_parquet, prefix_keys=prefix_keys)
            images = _read_each(parquets, "parquet file", read, passed_over, progress)
            check_usable(name, images, "parquet file", len(parquets), passed_over)
        elif image_files:
            states |= find_states(path for path in image_files if path not in states)
            images = build_table(
                ImageSource(image_key(relative), as_text(relative), ByteSource.of_file(states[path]))
                for path, relative in image_files.items()
            )
        elif index := index or index_beside(folder, is_folder=False):
            index.check_options(False, prefix_keys)
            images = index.take_tars(name, tars, passed_over)
            progress.note(index.describe(images, len(tars)))
            check_usable(name, images, "tar", len(tars), passed_over)
            return FoundImages(images, dict(sorted(passed_over.items())))
        else:
            read = partial(images_in_tar, prefix_keys=prefix_keys)
            images = _read_each(tars, "tar", read, passed_over, progress)
            check_usable(name, images, "tar", len(tars), passed_over)
    check_keys(images)
    return FoundImages(images, dict(sorted(passed_over.items())))


def arrange(images: ImageTable, shuffle_seed: int | None, limit: int | None) -> ImageTable:
    """The images in the order of a seed (None: as found), and the first `limit` of them."""
    if shuffle_seed is not None:
        images = images.take(numpy_generator(shuffle_seed, "order of inputs").permutation(len(images)))
    return images if limit is None else images[:limit]


def builtin_images() -> ImageTable:
    """The built-in photos as uncompressed PPM: their bytes do not depend on the version of a codec."""
    from sketchforge.images.builtin.photos import load_photos

    sources = []
    for name, pixels in load_photos():
        data = b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        sources.append(ImageSource(image_key(f"{name}.jpg"), f"{name}.ppm", ByteSource(len(data), data=data)))
    images = build_table(sources)
    check_keys(images)
    return images


def list_files(source: str, passed_over: Counter[str]) -> tuple[str, dict[str, str], dict[str, FileState]]:
    """The folder of a pattern or a list, and the files that it means: path -> name relative to the folder.

    Also the states of those that are known by now. Folders that match are counted in `passed_over`. Raises UsageError
    where there is none.
    """
    check_path(source, f"--images {source}")
    if extension_of(source) in LIST_EXTENSIONS:
        return os.path.dirname(source), read_list(source), {}
    if is_url(source):
        states = expand_remote(source)
        files = name_below(states, source)
        path, name = next(iter(files.items()))
        return path.removesuffix(name).rstrip("/"), files, states
    return folder_of(source), expand_pattern(source, passed_over), {}


class SortedFiles(NamedTuple):
    """Files by their kind, path -> name: all are of one."""

    tars: dict[str, str]
    images: dict[str, str]
    parquets: dict[str, str]


def sort_files(
    source: str, files: Mapping[str, str], passed_over: Counter[str], videos: bool = False
) -> SortedFiles:
    """The tars, images or parquet files among `files`, path -> name; the others are counted in `passed_over`.

    Raises UsageError where there are several kinds, or none; `source` is what the user named.
    """
    extensions = readable_extensions(videos)
    found = SortedFiles({}, {}, {})
    for path, name in files.items():
        if is_tar(path):
            found.tars[path] = name
        elif extension_of(path) in extensions:
            found.images[path] = name
        elif is_parquet(path):
            found.parquets[path] = name
        else:
            count_ending(passed_over, extension_of(path))
    kinds = {kind: paths for kind, paths in found._asdict().items() if paths}
    if not kinds:
        path = next(iter(files))
        where = path if source == path else f"{source}: {path}"
        package = PACKAGES.get(f".{extension_of(path)}")
        hint = f"; pip install {package} reads such files" if package else ""
        raise UsageError(
            f"{where}: not a folder, a tar ({', '.join(TAR_ENDINGS)}), a parquet file ({ENDING}), an image or a list of "
            f"files ({', '.join('.' + ending for ending in LIST_EXTENSIONS)}){hint}"
        )
    if len(kinds) > 1:
        first, second, *_ = kinds.items()
        raise UsageError(
            f"{source}: means {_KINDS[first[0]]} and {_KINDS[second[0]]} ({next(iter(first[1]))}, "
            f"{next(iter(second[1]))}); name one kind only"
        )
    return found


_KINDS = {"tars": "tars", "images": "images", "parquets": "parquet files"}


_CONTENTS = {"tar": "members such as KEY.jpg", "parquet file": "rows with images"}


def check_usable(
    source: str, images: ImageTable, kind: str, num_files: int, passed_over: Mapping[str, int]
) -> None:
    """Raise UsageError where files hold no image, or all of them are damaged.

    source: what the user named. kind: of the files, as a noun.
    """
    if images.all_unusable:
        damaged = f", {len(images)} of them damaged" if images else ""
        counts = describe_passed_over(passed_over)
        raise UsageError(
            f"{source}: no images found in {count_noun(num_files, kind)}{damaged}; expected {_CONTENTS[kind]}"
            f"{f'; {counts}' if counts else ''}"
        )


def _read_each(
    files: Mapping[str, str],
    kind: str,
    read: Callable[..., Iterator[ImageSource]],
    passed_over: Counter[str],
    progress: Progress,
) -> ImageTable:
    """The images of tars or parquet files, by `read` of each."""
    builder = TableBuilder()
    with progress.track(kind, len(files)):
        for path, name in files.items():
            counts: Counter[str] = Counter()
            for image in read(path, name, passed_over=counts):
                builder.add(image)
            add_counts(passed_over, counts)
            progress.advance(found=count_noun(len(builder), "image"))
    return builder.build()
