"""Resuming: what the output folder holds already, and which of its shards are kept or drawn anew.

A finished shard is kept where the very same options made it of the very same inputs. It is drawn anew where an input
has changed since, and on request where images failed. A folder made with other options is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError
from sketchforge.images.sources import ImageSource
from sketchforge.options import RenderOptions
from sketchforge.render.plan import PlannedShard, RenderPlan
from sketchforge.shards import manifest as manifests
from sketchforge.shards import schema
from sketchforge.shards.writer import finished_stats
from sketchforge.utils.files import parse_json


@dataclass(frozen=True)
class FolderState:
    """The output folder as it is found."""

    manifest: Mapping[str, Any] | None = None  # its manifest, None for a new folder
    kept: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # shard -> its stats: finished, ours
    changed: Mapping[int, str] = field(
        default_factory=dict
    )  # shard to be drawn anew -> the input that changed


def refresh_state(plan: RenderPlan, manifest: Mapping[str, Any]) -> FolderState:
    """Look at the output folder of a run that begins with `manifest`. Writes nothing.

    Raises UsageError for a folder of somebody else's; for one that was made with other options or, where shards
    are to be made still, by other libraries; and for files where --overwrite would put shards.
    """
    options = plan.options
    found = manifests.output_state(options.shards)
    if found is None:
        return FolderState()
    if options.overwrite:
        check_untracked_files(options.shards, plan.shards[found["num_shards"] :])
        return FolderState(found)
    manifests.check_same(options.shards, found, manifest, manifests.IDENTITY)
    fingerprint = manifests.fingerprint_of(manifest)
    kept: dict[int, Mapping[str, Any]] = {}
    changed: dict[int, str] = {}
    for shard in plan.mine:
        stats = finished_stats(options.shards, shard.number, fingerprint)
        if stats is None:
            continue
        differs = stats["inputs"] != manifests.sizes_digest(shard.inputs)
        which = find_changed_input(options, shard) if differs or options.check_digests else ""
        if differs or which:
            changed[shard.number] = which
        elif not (options.retry_failed and _count_failed(stats)):
            kept[shard.number] = stats
    if len(kept) < len(plan.mine):
        # Other versions may look at finished shards, not make their neighbours.
        manifests.check_same(options.shards, found, manifest, ["libraries"])
    return FolderState(found, kept, changed)


def _count_failed(stats: Mapping[str, Any]) -> int:
    """How many inputs of a finished shard failed."""
    return sum(count for outcome, count in stats["outcomes"].items() if outcome != schema.OK)


def find_changed_input(options: RenderOptions, shard: PlannedShard) -> str:
    """The first input whose image is not the one its shard was drawn from; "" where there is none to be found.

    By its size; with `check_digests` by its SHA-256, too.
    """
    try:
        lines = schema.shard_files(options.shards, shard.number).sidecar.read_bytes().splitlines()
        drawn = {line["key"]: (line["bytes"], line.get("sha256")) for line in map(parse_json, lines)}
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    for image in shard.inputs:
        num_bytes, sha256 = drawn.get(image.key, (None, None))
        if num_bytes != image.image.num_bytes:
            return image.source
        if options.check_digests and sha256 is not None and not _has_digest(image, sha256):
            return image.source
    return ""


def _has_digest(image: ImageSource, sha256: str) -> bool:
    try:
        return hashlib.sha256(image.read()).hexdigest() == sha256
    except ImageError:
        return False


def check_untracked_files(folder: Path, added: Sequence[PlannedShard]) -> None:
    """Refuse to write over files where shards go that the folder's manifest does not speak of."""
    for shard in added:
        for path in schema.shard_files(folder, shard.number):
            if path.exists():
                raise UsageError(
                    f"{path}: is in the way and not in the manifest; move it, or choose another folder"
                )
