"""The sidecars of a shard folder: the keys, sources and shards of its samples."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from pathlib import Path
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.shards import schema
from sketchforge.shards.writer import read_stats
from sketchforge.utils.files import parse_json, read_bounded


def finished_shards(
    folder: Path, manifest: Mapping[str, Any], numbers: Container[int] | None = None
) -> list[int]:
    """List the numbers of the finished shards, in order; of those in `numbers`, where there are any."""
    return list(count_samples(folder, manifest, numbers))


def count_samples(
    folder: Path, manifest: Mapping[str, Any], numbers: Container[int] | None = None
) -> dict[int, int]:
    """Count the samples of every finished shard by its stats: number -> samples, in order."""
    begun = schema.begun_shards(folder, manifest["num_shards"])
    chosen = (number for number in begun if numbers is None or number in numbers)
    return {
        number: stats["outcomes"].get(schema.OK, 0)
        for number in chosen
        if (stats := read_stats(folder, number)) is not None
    }


def sample_records(path: Path) -> list[dict[str, Any]]:
    """Read a sidecar's records of the inputs that became samples, in order.

    Raises OSError where it cannot be read; ValueError, KeyError or TypeError where it is damaged or beyond all measure.
    """
    records = [parse_json(line) for line in read_bounded(path).splitlines()]
    return [record for record in records if record["status"] == schema.OK]


def sample_keys(folder: Path, shards: Collection[int]) -> dict[str, int]:
    """Read the keys of all samples of these shards, in order, each with the number of its shard.

    Raises SketchforgeError when a sidecar is missing or damaged.
    """
    keys: dict[str, int] = {}
    for number in shards:
        path = schema.shard_files(folder, number).sidecar
        try:
            keys.update((record["key"], number) for record in sample_records(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SketchforgeError(
                f"{path}: cannot be read ({error}); see `sketchforge verify {folder}`"
            ) from error
    return keys


def sample_sources(folder: Path, shards: Collection[int], wanted: Collection[str]) -> dict[str, str]:
    """Read the sources of the samples `wanted`, by key, from sidecars that `sample_keys` has found valid."""
    return {
        record["key"]: str(record.get("source", record["key"]))
        for number in shards
        for record in sample_records(schema.shard_files(folder, number).sidecar)
        if record["key"] in wanted
    }
