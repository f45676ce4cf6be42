"""Reading samples back as they are stored: the members of a tar by their headers, and samples by key."""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import read_image
from sketchforge.shards import schema
from sketchforge.shards.shard_set import ShardSet
from sketchforge.utils.files import parse_json
from sketchforge.utils.tar_headers import Member, members

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class StoredSample:
    """One sample's images: the image as uint8 HxWx3 RGB and its sketches as uint8 HxW, 255 for paper."""

    key: str
    image: np.ndarray
    sketches: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class RawSample:
    """One sample as it lies in its tar, no image decoded."""

    key: str
    image: bytes  # JPEG
    sketches: tuple[bytes, ...]  # PNG
    metadata: dict[str, Any]  # the sample's JSON
    caption: str | None  # KEY.txt, where there is one


def read_samples(shards: ShardSet, wanted: Collection[str]) -> dict[str, StoredSample]:
    """The samples whose keys are `wanted`; only the shards they lie in are read.

    Raises SketchforgeError when one is missing or damaged.
    """
    samples = {}
    for raw in raw_samples(shards, wanted):
        with read_errors(shards.path, shards.tar(raw.key)):
            sketches = tuple(read_image(sketch)[..., 0] for sketch in raw.sketches)
            samples[raw.key] = StoredSample(raw.key, read_image(raw.image), sketches)
    return samples


def raw_samples(shards: ShardSet, wanted: Collection[str]) -> Iterator[RawSample]:
    """The samples whose keys are `wanted`, in the order in which they are stored, each with a sketch per style.

    Only the shards they lie in are opened, and what lies between them is passed over unread. Raises
    SketchforgeError for the first that is missing or damaged or has another number of sketches.
    """
    num_styles = len(shards.styles)
    for sample in _found(shards, wanted):
        if len(sample.sketches) != num_styles:
            raise SketchforgeError(
                f"{shards.tar(sample.key)}: {sample.key} has {len(sample.sketches)} sketches, expected "
                f"{num_styles}; see `sketchforge verify {shards.path}`"
            )
        yield sample


def _found(shards: ShardSet, wanted: Collection[str]) -> Iterator[RawSample]:
    by_shard: defaultdict[int, set[str]] = defaultdict(set)
    for key in wanted:
        by_shard[shards.keys[key]].add(key)
    most = schema.most_bytes(shards.side)
    for number, missing in sorted(by_shard.items()):
        path = schema.shard_files(shards.path, number).tar
        with read_errors(shards.path, path):
            for key, contents in tar_samples(path, most, missing):
                missing.discard(key)
                yield _raw(key, dict(contents))
                if not missing:
                    break
        if missing:
            raise SketchforgeError(
                f"{path}: sample {min(missing)} is missing; see `sketchforge verify {shards.path}`"
            )


@contextmanager
def read_errors(folder: Path, path: Path) -> Iterator[None]:
    """Turn whatever a damaged shard brings about into one line that names the file and the next step."""
    try:
        yield
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, SketchforgeError) as error:
        raise SketchforgeError(
            f"{path}: cannot be read ({error}); see `sketchforge verify {folder}`"
        ) from error


def keyed_members(file: BinaryIO) -> Iterator[tuple[int, str, Member]]:
    """(number of the sample, its key, member) for every member of a tar, from its headers alone.

    A sample is a run of members whose names are the same up to the first dot, as WebDataset has it. Raises as
    `members` does.
    """
    number, key = -1, None
    for member in members(file):
        start = member.name.partition(".")[0]
        if start != key:
            number, key = number + 1, start
        yield number, start, member


def tar_samples(
    path: Path, most: int, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, list[tuple[str, bytes | None]]]]:
    """(key, [(member name, contents), ...]) for every sample of a tar, complete or not.

    Contents of more than `most` bytes are None, unread. With `wanted`, samples of other keys are passed over unread.
    Raises OSError, and tarfile.TarError where the file is no sound tar.
    """
    last, last_key = -1, ""
    contents: list[tuple[str, bytes | None]] = []
    with open(path, "rb") as file:
        for number, key, member in keyed_members(file):
            if contents and number != last:
                yield last_key, contents
                contents = []
            if wanted is not None and key not in wanted:
                continue
            last, last_key = number, key
            contents.append((member.name, _contents(file, member, most)))
    if contents:
        yield last_key, contents


def _contents(file: BinaryIO, member: Member, most: int) -> bytes | None:
    """What a member holds; None, unread, where that is more than `most` bytes; b"" of links and the like."""
    if not member.is_plain:
        return b""
    if member.size > most:
        return None
    file.seek(member.offset)
    return file.read(member.size)


def _raw(key: str, contents: dict[str, bytes | None]) -> RawSample:
    for name, data in contents.items():
        if data is None:
            raise SketchforgeError(f"{name} is too large")
    for name in (schema.image_member(key), schema.metadata_member(key)):
        if name not in contents:
            raise SketchforgeError(f"{name} is missing")
    sketches = []
    while schema.sketch_member(key, len(sketches)) in contents:
        sketches.append(contents[schema.sketch_member(key, len(sketches))])
    metadata = parse_json(contents[schema.metadata_member(key)])
    caption = contents.get(f"{key}.txt")
    return RawSample(
        key,
        contents[schema.image_member(key)],
        tuple(sketches),
        {
            **metadata,
            **{name: int(metadata[name]) for name in ("width", "height")},
            "source": str(metadata["source"]),
        },
        None if caption is None else caption.decode("utf-8", errors="replace"),
    )
