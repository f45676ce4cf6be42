"""Which images a finished folder has already: by their keys, as the sidecars name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources import ImageTable
from sketchforge.render.resume import has_digest
from sketchforge.shards import schema
from sketchforge.storage.folder import Folder
from sketchforge.utils.files import parse_json

_MAX_NAMED = 3


@dataclass(frozen=True)
class KnownImages:
    """new: positions of images that the folder does not have, int (N,). changed: some that it has of other bytes."""

    new: np.ndarray
    changed: tuple[str, ...]  # the first of them
    num_changed: int


def find_known_images(
    images: ImageTable, folder: Folder, manifest: Mapping[str, Any], check_digests: bool = False
) -> KnownImages:
    """Compare images with the inputs of a finished folder, by key.

    An image is new where no input has its key, and where the input of its key has become no sample and has another size
    now: a file that was mended. One whose sample is there is changed where its size differs; with `check_digests` also
    its SHA-256. Raises UsageError where another image has the key of an input, SketchforgeError where shards are not as
    the manifest says.
    """
    # Numbers for texts: those of millions of images would take gigabytes.
    position_of = {hash(key.lower()): position for position, (key, _) in enumerate(images.names())}
    sources = np.fromiter((hash(source) for _, source in images.names()), np.int64, len(images))
    sizes = np.fromiter((of_kinds[0] for _, of_kinds in images.sizes()), np.int64, len(images))
    is_known, is_changed = np.zeros(len(images), bool), np.zeros(len(images), bool)
    for record in _read_records(folder, manifest):
        position = position_of.get(hash(record["key"].lower()))
        if position is None:
            continue
        if hash(record["source"]) != sources[position]:
            raise UsageError(
                f"{images[position].source}: has the key {record['key']}, which {record['source']} has in {folder} already; "
                "rename it, or for tars whose names repeat render all with --prefix-keys"
            )
        is_same = record["bytes"] == sizes[position]
        if is_same and check_digests and record.get("sha256"):
            is_same = has_digest(images[position], record["sha256"])
        is_sample = record["status"] == schema.OK
        is_known[position] |= is_sample or is_same
        is_changed[position] = is_sample and not is_same
    changed = np.flatnonzero(is_changed)
    named = tuple(images[int(position)].source for position in changed[:_MAX_NAMED])
    return KnownImages(np.flatnonzero(~is_known), named, len(changed))


def _read_records(folder: Folder, manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the records of all inputs of a folder whose files are all there in full size."""
    sizes = folder.list()
    entries = dict(enumerate(manifest["shards"]))
    names = {schema.shard_files(number).sidecar: number for number in entries}
    for name, number in names.items():
        files = schema.shard_files(number)
        expected = {files.tar: entries[number]["bytes"], name: entries[number]["sidecar"]["bytes"]}
        for file, num_bytes in expected.items():
            if sizes.get(file) != num_bytes:
                raise _damaged(folder, file)
    read = 0
    for name, data in folder.read_several(names):
        read += 1
        try:
            for line in data.splitlines():
                record = parse_json(line)
                if not isinstance(record["key"], str) or not isinstance(record["source"], str):
                    raise TypeError
                yield record
        except (ValueError, KeyError, TypeError):
            raise _damaged(folder, name) from None
    if read < len(names):
        raise SketchforgeError(
            f"{folder}: {len(names) - read} sidecars cannot be read; see `sketchforge verify {folder}`"
        )


def _damaged(folder: Folder, name: str) -> SketchforgeError:
    return SketchforgeError(
        f"{folder.address(name)}: missing or altered; --append adds to folders that are whole: see `sketchforge verify "
        f"{folder}`"
    )
