"""Which samples of a shard folder are looked at, and reading them as they are stored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sketchforge.errors import SketchforgeError
from sketchforge.shards import schema
from sketchforge.shards.reader import RawSample, raw_samples

Item = TypeVar("Item")


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of `items`, at equal distances, the first and the last among them."""
    if count >= len(items):
        return list(items)
    return [items[round(index * (len(items) - 1) / max(1, count - 1))] for index in range(count)]


def whole_samples(
    folder: Path, manifest: dict[str, Any], keys: dict[str, int], wanted: Collection[str]
) -> Iterator[RawSample]:
    """The samples `wanted` among `keys`, each with one sketch per style of the manifest.

    Raises SketchforgeError for the first that is missing or damaged, or has another number of sketches.
    """
    num_styles = len(manifest["styles"])
    for sample in raw_samples(folder, keys, wanted, schema.most_bytes(schema.picture_side(manifest))):
        if len(sample.sketches) != num_styles:
            raise SketchforgeError(
                f"{schema.shard_files(folder, keys[sample.key]).tar}: {sample.key} has "
                f"{len(sample.sketches)} sketches, expected {num_styles}; see `sketchforge verify {folder}`"
            )
        yield sample
