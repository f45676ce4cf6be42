"""The words of the shard format: the files of a folder, the members of a sample (docs/shard-format.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FORMAT = "sketchforge-shards"
VERSION = 1
MANIFEST = "manifest.json"
JPEG_QUALITY = 95
OK, FAILED = "ok", "failed"


# The shapes of our JSON files; see `fits`.
_FILE_SHAPE = {"bytes": int, "sha256": str}
STATS_SHAPE = {
    "shard": str,
    "fingerprint": str,
    "inputs": str,
    "outcomes": {...: int},
    "tar": _FILE_SHAPE,
    "sidecar": _FILE_SHAPE,
}
MANIFEST_SHAPE = {
    "options": dict,
    "styles": [str],
    "digests": {...: str},
    "inputs": {"count": int, "sha256": str},
    "libraries": {...: str},
    "num_shards": int,
    "complete": bool,
    "shards": [{"name": str, "samples": int, "failed": int, "sidecar": _FILE_SHAPE, **_FILE_SHAPE}],
    "outcomes": {...: int},
}


def fits(value: object, shape: object) -> bool:
    """Whether JSON has a shape: a type, [shape of every item], or {key: shape}, with ... for any key.

    Numbers are whole and not negative; objects may hold more than they must.
    """
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    if not isinstance(shape, dict):
        return type(value) is shape and (shape is not int or value >= 0)
    if not isinstance(value, dict):
        return False
    if ... in shape:
        return all(fits(item, shape[...]) for item in value.values())
    return all(key in value and fits(value[key], part) for key, part in shape.items())


@dataclass(frozen=True)
class ShardFiles:
    """The three files of one shard, in the order in which they appear; the last one marks it finished."""

    sidecar: Path  # NNNNN.jsonl: every input with its status
    tar: Path  # NNNNN.tar: the samples
    stats: Path  # NNNNN.stats.json: counts, digests, seconds

    def __iter__(self):
        return iter((self.sidecar, self.tar, self.stats))


def shard_name(number: int) -> str:
    return f"{number:05d}"


def shard_files(folder: Path, number: int) -> ShardFiles:
    name = shard_name(number)
    return ShardFiles(folder / f"{name}.jsonl", folder / f"{name}.tar", folder / f"{name}.stats.json")


def image_member(key: str) -> str:
    return f"{key}.jpg"


def sketch_member(key: str, index: int) -> str:
    return f"{key}.sketch{index}.png"


def caption_member(key: str) -> str:
    return f"{key}.txt"


def about_member(key: str) -> str:
    return f"{key}.json"


def sample_members(key: str, num_sketches: int, captioned: bool) -> list[str]:
    """The names of a sample's files, in the order they have in the tar."""
    return [
        image_member(key),
        *(sketch_member(key, index) for index in range(num_sketches)),
        *([caption_member(key)] if captioned else []),
        about_member(key),
    ]


def json_bytes(value: object) -> bytes:
    """Compact JSON with sorted keys: equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
