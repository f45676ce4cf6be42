"""The sidecars of a shard folder: the keys, sources and shards of its samples."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.shards import schema
from sketchforge.shards.writer import read_all_stats
from sketchforge.storage.folder import Folder, can_be_listed
from sketchforge.utils.files import parse_json


def finished_shards(
    folder: Folder, manifest: Mapping[str, Any], numbers: Collection[int] | None = None
) -> list[int]:
    """List the numbers of the finished shards, in order; of those in `numbers`, where there are any."""
    return list(count_samples(folder, manifest, numbers))


def count_samples(
    folder: Folder, manifest: Mapping[str, Any], numbers: Collection[int] | None = None
) -> dict[int, int]:
    """Count the samples of every finished shard by its stats: number -> samples, in order."""
    wanted = None if numbers is None else frozenset(numbers)
    chosen = [n for n in begun_shards(folder, manifest) if wanted is None or n in wanted]
    return {number: stats["outcomes"].get(schema.OK, 0) for number, stats in read_all_stats(folder, chosen)}


def begun_shards(folder: Folder, manifest: Mapping[str, Any]) -> list[int]:
    """List the numbers of the shards that have stats, in order; of a finished folder that cannot be listed, all.

    Raises UsageError for one that can neither be listed nor is finished.
    """
    if can_be_listed(folder):
        return schema.numbers_of_stats(folder.list(), manifest["num_shards"])
    if not manifest["complete"]:
        raise UsageError(
            f"{folder}: unfinished, and its files cannot be listed by this address; continue it by the same "
            "`sketchforge render` again"
        )
    return list(range(len(manifest["shards"])))


def sample_records(sidecar: bytes) -> list[dict[str, Any]]:
    """A sidecar's records of the inputs that became samples, in order.

    Raises ValueError, KeyError or TypeError where it is damaged.
    """
    records = [parse_json(line) for line in sidecar.splitlines()]
    return [record for record in records if record["status"] == schema.OK]


def sample_keys(folder: Folder, shards: Collection[int]) -> dict[str, int]:
    """Read the keys of all samples of these shards, in order, each with the number of its shard.

    Raises SketchforgeError when a sidecar is missing or damaged.
    """
    keys: dict[str, int] = {}
    for number in shards:
        name = schema.shard_files(number).sidecar
        try:
            keys.update((record["key"], number) for record in sample_records(folder.read(name)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SketchforgeError(
                f"{folder.address(name)}: cannot be read ({error}); see `sketchforge verify {folder}`"
            ) from error
    return keys


def sample_sources(folder: Folder, shards: Collection[int], wanted: Collection[str]) -> dict[str, str]:
    """Read the sources of the samples `wanted`, by key, from sidecars that `sample_keys` has found valid."""
    return {
        record["key"]: str(record.get("source", record["key"]))
        for number in shards
        for record in sample_records(folder.read(schema.shard_files(number).sidecar))
        if record["key"] in wanted
    }
