"""Reading samples back as they are stored: members by the headers of their tar, samples by key."""

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
from sketchforge.shards.sidecars import sample_keys
from sketchforge.utils.files import parse_json
from sketchforge.utils.tar_headers import Member, members
from sketchforge.utils.text import count_noun

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
    """One sample as its tar stores it, no image decoded."""

    key: str
    image: bytes  # JPEG
    sketches: tuple[bytes, ...]  # PNG
    metadata: dict[str, Any]  # the sample's JSON
    caption: str  # "" where there is none
    extras: dict[str, bytes]  # of schema.EXTRAS, those that it has


def read_samples(shards: ShardSet, wanted: Collection[str]) -> dict[str, StoredSample]:
    """Read and decode the samples whose keys are `wanted`; only the shards that hold them are read.

    Raises SketchforgeError when one is missing or damaged.
    """
    samples = {}
    for raw in raw_samples(shards, wanted):
        with read_errors(shards.source, shards.tar(raw.key)):
            sketches = tuple(read_image(sketch)[..., 0] for sketch in raw.sketches)
            samples[raw.key] = StoredSample(raw.key, read_image(raw.image), sketches)
    return samples


def raw_samples(shards: ShardSet, wanted: Collection[str]) -> Iterator[RawSample]:
    """Read the samples whose keys are `wanted`, in stored order, each with a sketch per style.

    Only the shards that hold them are opened, and the samples between them are skipped unread. Raises
    SketchforgeError for the first sample that is missing or damaged or has another number of sketches.
    """
    num_styles = len(shards.styles)
    for sample in _read_raw_samples(shards, wanted):
        if len(sample.sketches) != num_styles:
            raise SketchforgeError(
                f"{shards.tar(sample.key)}: {sample.key} has {count_noun(len(sample.sketches), 'sketch')}, "
                "expected "
                f"{num_styles}; see `sketchforge verify {shards.source}`"
            )
        yield sample


def raw_shard_samples(shards: ShardSet, number: int, start: int, stop: int) -> Iterator[RawSample]:
    """Read samples `start` to `stop` of one shard of a finished set, in stored order, each with a sketch per style.

    No other shard's keys are read, so memory does not grow with the set. Raises SketchforgeError where the shard is
    damaged or not what the manifest says.
    """
    keys = list(sample_keys(shards.folder, [number]))[start:stop]
    if len(keys) != stop - start:
        raise shards.damaged(
            number, f"{start + len(keys)} samples by its sidecar, {stop} or more by the manifest"
        )
    missing = set(keys)
    with read_errors(shards.source, shards.address(number)), shards.open(number) as file:
        file.seek(0)
        for key, contents in tar_samples(file, schema.most_bytes(shards.side), missing):
            missing.discard(key)
            sample = _parse_sample(key, dict(contents))
            if len(sample.sketches) != len(shards.styles):
                raise SketchforgeError(
                    f"{key} has {count_noun(len(sample.sketches), 'sketch')}, expected {len(shards.styles)}"
                )
            yield sample
            if not missing:
                return
        raise SketchforgeError(f"sample {min(missing)} is missing")


def _read_raw_samples(shards: ShardSet, wanted: Collection[str]) -> Iterator[RawSample]:
    keys_by_shard: defaultdict[int, set[str]] = defaultdict(set)
    for key in wanted:
        keys_by_shard[shards.keys[key]].add(key)
    max_bytes = schema.most_bytes(shards.side)
    for number, missing in sorted(keys_by_shard.items()):
        address = shards.folder.address(schema.shard_files(number).tar)
        with read_errors(shards.source, address), shards.open_unchecked(number) as file:
            for key, contents in tar_samples(file, max_bytes, missing):
                missing.discard(key)
                yield _parse_sample(key, dict(contents))
                if not missing:
                    break
        if missing:
            raise SketchforgeError(
                f"{address}: sample {min(missing)} is missing; see `sketchforge verify {shards.source}`"
            )


@contextmanager
def read_errors(folder: str | Path, address: str) -> Iterator[None]:
    """Turn the errors of a damaged shard into a SketchforgeError that names the file and the next step."""
    try:
        yield
    except (OSError, tarfile.TarError, ValueError, LookupError, TypeError, SketchforgeError) as error:
        raise SketchforgeError(
            f"{address}: cannot be read ({error}); see `sketchforge verify {folder}`"
        ) from error


def keyed_members(file: BinaryIO) -> Iterator[tuple[int, str, Member]]:
    """Yield (index of the sample, its key, member) for every member of a tar, from its headers alone.

    A sample is a run of members whose names are equal up to the first dot, as in WebDataset. Raises what
    `members` raises.
    """
    number, key = -1, None
    for member in members(file):
        member_key = member.name.partition(".")[0]
        if member_key != key:
            number, key = number + 1, member_key
        yield number, member_key, member


def path_samples(path: Path, most: int) -> Iterator[tuple[str, list[tuple[str, bytes | None]]]]:
    """Yield what `tar_samples` does, of the tar at a path."""
    with open(path, "rb") as file:
        yield from tar_samples(file, most)


def tar_samples(
    file: BinaryIO, most: int, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, list[tuple[str, bytes | None]]]]:
    """Yield (key, [(member name, contents), ...]) for every sample of a tar, complete or not.

    Contents of more than `most` bytes are None, unread. With `wanted`, samples of other keys are skipped
    unread. Raises OSError, and tarfile.TarError where the file is no valid tar.
    """
    last, last_key = -1, ""
    contents: list[tuple[str, bytes | None]] = []
    for number, key, member in keyed_members(file):
        if contents and number != last:
            yield last_key, contents
            contents = []
        if wanted is not None and key not in wanted:
            continue
        last, last_key = number, key
        contents.append((member.name, _read_contents(file, member, most)))
    if contents:
        yield last_key, contents


def _read_contents(file: BinaryIO, member: Member, max_bytes: int) -> bytes | None:
    """Read a member: None, unread, for more than `max_bytes` bytes; b"" for links and the like."""
    if not member.is_plain:
        return b""
    if member.size > max_bytes:
        return None
    file.seek(member.offset)
    return file.read(member.size)


def _parse_sample(key: str, contents: dict[str, bytes | None]) -> RawSample:
    stored: dict[str, bytes] = {}
    for name, data in contents.items():
        if data is None:
            raise SketchforgeError(f"{name} is too large")
        stored[name] = data
    for name in (schema.image_member(key), schema.metadata_member(key)):
        if name not in stored:
            raise SketchforgeError(f"{name} is missing")
    sketches: list[bytes] = []
    while schema.sketch_member(key, len(sketches)) in stored:
        sketches.append(stored[schema.sketch_member(key, len(sketches))])
    metadata = parse_json(stored[schema.metadata_member(key)])
    caption = stored.get(schema.caption_member(key), b"")
    return RawSample(
        key,
        stored[schema.image_member(key)],
        tuple(sketches),
        {
            **metadata,
            **{name: int(metadata[name]) for name in ("width", "height")},
            "source": str(metadata["source"]),
        },
        caption.decode("utf-8", errors="replace"),
        {
            extra: stored[name]
            for extra in schema.EXTRAS
            if (name := schema.extra_member(key, extra)) in stored
        },
    )
