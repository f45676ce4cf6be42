"""Reading samples back, by key."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.errors import SketchforgeError
from sketchforge.images import read_image
from sketchforge.shards import schema
from sketchforge.shards.writer import read_stats

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class StoredSample:
    """One sample's pictures: the image as uint8 HxWx3 RGB and its sketches as uint8 HxW, 255 for paper."""

    key: str
    image: np.ndarray
    sketches: tuple[np.ndarray, ...]


def finished_shards(folder: Path, manifest: dict[str, Any]) -> list[int]:
    """The numbers of the shards that are finished, in order."""
    return [number for number in range(manifest["num_shards"]) if read_stats(folder, number) is not None]


def sample_keys(folder: Path, manifest: dict[str, Any]) -> dict[str, int]:
    """The keys of all samples in order, and the number of the shard each lies in; read from the sidecars.

    Raises SketchforgeError when a sidecar is missing or damaged.
    """
    keys: dict[str, int] = {}
    for number in finished_shards(folder, manifest):
        path = schema.shard_files(folder, number).sidecar
        try:
            lines = [json.loads(line) for line in path.read_bytes().splitlines()]
            keys.update((line["key"], number) for line in lines if line["status"] == schema.OK)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SketchforgeError(
                f"{path}: cannot be read ({error}); see `sketchforge verify {folder}`"
            ) from error
    return keys


def read_samples(folder: Path, keys: dict[str, int], wanted: Collection[str]) -> dict[str, StoredSample]:
    """The samples `wanted` among `keys` (from `sample_keys`); only the shards they lie in are read.

    Raises SketchforgeError when one is missing or damaged.
    """
    samples = {}
    for number in sorted({keys[key] for key in wanted}):
        path = schema.shard_files(folder, number).tar
        try:
            here = [key for key in wanted if keys[key] == number]
            for key, members in tar_samples(path):
                if key in here:
                    samples[key] = _decode(key, members)
        except (OSError, tarfile.TarError, SketchforgeError) as error:
            raise SketchforgeError(
                f"{path}: cannot be read ({error}); see `sketchforge verify {folder}`"
            ) from error
    missing = [key for key in wanted if key not in samples]
    if missing:
        raise SketchforgeError(f"{folder}: sample {missing[0]} is missing; see `sketchforge verify {folder}`")
    return samples


def tar_samples(path: Path) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """(key, [(member name, bytes), ...]) for every run of members with one key, as WebDataset has it."""
    key, members = "", []
    with tarfile.open(path, "r:") as tar:
        for info in tar:
            name_key = info.name.split(".", 1)[0]
            if members and name_key != key:
                yield key, members
                members = []
            file = tar.extractfile(info)
            key = name_key
            members.append((info.name, file.read() if file else b""))
    if members:
        yield key, members


def _decode(key: str, members: list[tuple[str, bytes]]) -> StoredSample:
    contents = dict(members)
    sketches = []
    while schema.sketch_member(key, len(sketches)) in contents:
        sketches.append(read_image(contents[schema.sketch_member(key, len(sketches))])[..., 0])
    if schema.image_member(key) not in contents:
        raise SketchforgeError(f"{schema.image_member(key)} is missing")
    return StoredSample(key, read_image(contents[schema.image_member(key)]), tuple(sketches))
