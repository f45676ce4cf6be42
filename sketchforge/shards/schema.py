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
