"""What is passed over while images are looked for, counted by kind: nothing vanishes unseen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

NO_ENDING = "no ending"
OTHER_ENDINGS = "other endings"
WITHOUT_IMAGE = {"txt": ".txt without an image", "json": ".json without an image"}
CAPTIONS_ALONE = "captions without an image"
BROKEN_LINKS = "broken links"
REPEATED_FOLDERS = "links to folders read already"
SHARD_FOLDERS = "folders of shards"
SPECIAL_FILES = "pipes, sockets and devices"
FOLDERS = "folders that a pattern matches"
# Of tars.
LINKS = "links in tars"
SPARSE_MEMBERS = "sparse members"
REPLACED = "members replaced by later ones of the same name"
FURTHER_IMAGES = "further images of samples"
SHARED_KEYS = "images whose names share a key"
REPEATED_ROWS = "further rows of images"  # of parquet files

PACKAGES = {".heic": "pillow-heif", ".heif": "pillow-heif", ".hif": "pillow-heif"}  # which read an ending
_HINTS = {
    **{ending: f"pip install {package} reads them" for ending, package in PACKAGES.items()},
    ".tar": "name them as --images 'DIR/*.tar'",
    ".parquet": "name them as --images 'DIR/*.parquet'",
    SHARD_FOLDERS: "name their tars",
    SHARED_KEYS: "unpack the tar and name its folder",
}

_SINGULAR = {
    OTHER_ENDINGS: "other ending",
    CAPTIONS_ALONE: "caption without an image",
    BROKEN_LINKS: "broken link",
    REPEATED_FOLDERS: "link to a folder read already",
    SHARD_FOLDERS: "folder of shards",
    SPECIAL_FILES: "pipe, socket or device",
    FOLDERS: "folder that a pattern matches",
    LINKS: "link in tars",
    SPARSE_MEMBERS: "sparse member",
    REPLACED: "member replaced by a later one of the same name",
    FURTHER_IMAGES: "further image of a sample",
    SHARED_KEYS: "image whose name shares a key",
    REPEATED_ROWS: "further row of an image",
}

MAX_ENDINGS = 50  # kept apart; the manifest holds them, and a folder may have as many as files
MAX_SHOWN = 8  # kinds in a line
_ENDING = re.compile(r"[a-z0-9][a-z0-9_+-]{0,11}")


def count_ending(passed_over: Counter[str], ending: str, count: int = 1) -> None:
    """Count files of an ending, without its dot and in any case; numbers and long texts are "other endings"."""
    ending = ending.lower()
    kind = f".{ending}" if ending else NO_ENDING
    is_known = kind in passed_over or kind == NO_ENDING
    if not is_known and (
        ending.isdigit() or not _ENDING.fullmatch(ending) or len(passed_over) >= MAX_ENDINGS
    ):
        kind = OTHER_ENDINGS
    passed_over[kind] += count


def add_counts(passed_over: Counter[str], counts: Mapping[str, int]) -> None:
    """Add the counts of a part, such as a tar, in the order in which its kinds were met."""
    for kind, count in counts.items():
        if kind.startswith(".") and _ENDING.fullmatch(kind[1:]):
            count_ending(passed_over, kind[1:], count)
        else:
            passed_over[kind] += count


def describe_passed_over(passed_over: Mapping[str, int]) -> str:
    """The counts in one line, the largest first; empty where nothing was passed over.

    Example: "passed over: 312 .heic (pip install pillow-heif reads them), 3 .tga".
    """
    counts = sorted(
        ((count, kind) for kind, count in passed_over.items()), key=lambda pair: (-pair[0], pair[1])
    )
    parts = []
    for count, kind in counts[:MAX_SHOWN]:
        text = f"{count} {_SINGULAR.get(kind, kind) if count == 1 else kind}"
        parts.append(f"{text} ({_HINTS[kind]})" if kind in _HINTS else text)
    if rest := counts[MAX_SHOWN:]:
        parts.append(f"{sum(count for count, _ in rest)} of {len(rest)} other kinds")
    return f"passed over: {', '.join(parts)}" if parts else ""
