"""The names of the shard format: the files of a folder, the members of a sample (docs/shard-format.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMAT = "sketchforge-shards"
VERSION = 5
OLDEST = 4  # version that is read still: without the quality of sketches, and without appended shards
MANIFEST = "manifest.json"
CARD = "README.md"
OK, FAILED, LEFT_OUT = "ok", "failed", "left out"
BLANK = "blank"  # the outcome of an input that --drop-blank leaves out
CLASS, MASK, STROKES = "cls", "mask.png", "strokes.json"
# What a sample may have beside its image, sketches, caption and description: all samples of a folder or none.
EXTRAS = (CLASS, MASK, STROKES)
MAX_STYLES = 1000  # sketches per image: their numbers have three digits
MAX_SAMPLES = 1_000_000  # images per shard


# The shapes of our JSON files; see `files.has_shape`.
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
    "options": {"method": str, "fit": str, "sketch_format": str},
    "styles": [str],
    "digests": {...: str},
    "inputs": {"count": int, "sha256": str},
    "captioned": bool,
    "extras": [str],
    "classes": [str],
    "splits": [{"name": str, "shards": int}],
    "passed_over": {...: int},
    "libraries": {...: str},
    "num_shards": int,
    "complete": bool,
    "shards": [{"name": str, "samples": int, "failed": int, "sidecar": _FILE_SHAPE, **_FILE_SHAPE}],
    "outcomes": {...: int},
    "quality": bool,
    "appended": [
        {
            "inputs": {"count": int, "sha256": str},
            "num_shards": int,
            "splits": [{"name": str, "shards": int}],
            "passed_over": {...: int},
            "libraries": {...: str},
            "options": {},
        }
    ],
}
# KEY.json: every sample has these entries and no others, so that all have one schema.
SAMPLE_SHAPE = {
    "source": str,
    "sha256": str,
    "width": int,
    "height": int,
    "method": str,
    "styles": [str],
    "original_width": int,
    "original_height": int,
    "hands": str,  # JSON text of a list: for each sketch, its hand and how it drew; "[]" where none did
    "meta": str,  # JSON text of what came along, "{}" where nothing did
}
# And this one, in folders whose manifest says so: columns with an entry for each sketch, in their order.
QUALITY = "quality"
QUALITY_SHAPE = {"ink": [float], "components": [int], "blank": [bool]}


def sample_shape(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The shape of every KEY.json of a folder."""
    return SAMPLE_SHAPE | ({QUALITY: QUALITY_SHAPE} if manifest[QUALITY] else {})


def num_failed(outcomes: Mapping[str, int]) -> int:
    """Count the inputs that failed: neither samples nor left out for their blank sketches."""
    return sum(count for outcome, count in outcomes.items() if outcome not in (OK, BLANK))


def image_side(manifest: Mapping[str, Any]) -> int | None:
    """Side of the square images in pixels; None where each image has a size of its own."""
    options = manifest["options"]
    return None if options.get("fit") == "keep" else options.get("size")


def most_bytes(side: int | None) -> int:
    """An upper bound for the bytes of a sample's member; side: of the images, in pixels (None: any size).

    A JPEG may be stored as it came, with whatever metadata a camera adds, so the bound only limits memory.
    """
    return 512 << 20 if side is None else (64 << 20) + 8 * side**2


@dataclass(frozen=True)
class ShardFiles:
    """The names of one shard's three files, in the order in which they appear; the last one marks it finished."""

    sidecar: str  # NNNNN.jsonl: every input with its status
    tar: str  # NNNNN.tar: the samples
    stats: str  # NNNNN.stats.json: counts, digests, seconds

    def __iter__(self) -> Iterator[str]:
        return iter((self.sidecar, self.tar, self.stats))


def shard_name(number: int) -> str:
    return f"{number:05d}"


def shard_files(number: int) -> ShardFiles:
    name = shard_name(number)
    return ShardFiles(f"{name}.jsonl", f"{name}.tar", f"{name}.stats.json")


def is_shard(name: str, num_shards: int | None = None) -> bool:
    """Whether a shard's name is one of the numbers below `num_shards`; None: is that of any shard."""
    return (
        re.fullmatch(r"\d{5,15}", name) is not None
        and name == shard_name(int(name))
        and (num_shards is None or int(name) < num_shards)
    )


def numbers_of_stats(names: Iterable[str], num_shards: int | None = None) -> list[int]:
    """List the numbers below `num_shards` (None: all) of the shards with stats, in order; names: of the files in the folder.

    Counting up to `num_shards`, which a foreign manifest may invent, may not end.
    """
    shard_names = (name.removesuffix(".stats.json") for name in names if name.endswith(".stats.json"))
    return sorted(int(name) for name in shard_names if is_shard(name, num_shards))


def image_member(key: str) -> str:
    return f"{key}.jpg"


def sketch_member(key: str, index: int) -> str:
    return f"{key}.sketch{index}.png"


def caption_member(key: str) -> str:
    return f"{key}.txt"


def metadata_member(key: str) -> str:
    return f"{key}.json"


def extra_member(key: str, extra: str) -> str:
    return f"{key}.{extra}"


def sample_members(key: str, num_sketches: int, captioned: bool, extras: Sequence[str] = ()) -> list[str]:
    """The names of a sample's files, in the order they have in the tar.

    captioned: whether the folder's inputs have captions. Then each of its samples has a text, empty where its
    image has none: readers such as Hugging Face's take the columns of all samples from the first ones. extras: of
    EXTRAS, those that each of its samples has.
    """
    return [
        image_member(key),
        *(sketch_member(key, index) for index in range(num_sketches)),
        *([caption_member(key)] if captioned else []),
        *(extra_member(key, extra) for extra in EXTRAS if extra in extras),
        metadata_member(key),
    ]


def json_bytes(value: object) -> bytes:
    """Compact JSON with sorted keys: equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
