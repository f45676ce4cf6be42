"""Resuming: which shards of the output folder are finished, and which of those are kept or drawn again.

A finished shard is kept if the same options made it from the same inputs. It is drawn again if an input has
changed since, and on request if images failed. A folder made with other options is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError
from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.frames import source_digest
from sketchforge.render.plan import PlannedShard, RenderPlan
from sketchforge.render.same_inputs import check_same_inputs
from sketchforge.shards import manifest as manifests
from sketchforge.shards import schema
from sketchforge.shards.writer import finished_stats
from sketchforge.storage.folder import Folder, folder_at
from sketchforge.utils.files import parse_json


@dataclass(frozen=True)
class FolderState:
    """The state of the output folder before the run."""

    manifest: Mapping[str, Any] | None = None  # its manifest, None for a new folder
    kept: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # shard of this task -> its stats
    # Shard to be drawn again -> the input that changed, "" where none can be named.
    changed: Mapping[int, str] = field(default_factory=dict)


def refresh_state(
    plan: RenderPlan, manifest: Mapping[str, Any], previous: Mapping[str, Any] | None
) -> FolderState:
    """Read the state of the output folder of a run that begins with `manifest`. Writes nothing.

    previous: the manifest that is there, None for a new folder.

    Raises UsageError for a folder with other files; for one made with other options; for one made by other
    libraries, if shards are still to be made; and for files in the places of new shards of --overwrite.
    """
    options, folder = plan.options, folder_at(plan.options.shards)
    if previous is None:
        return FolderState()
    if options.overwrite:
        check_untracked_files(folder, plan.shards[previous["num_shards"] :])
        return FolderState(previous)
    check_same_inputs(options, plan.images, previous, manifest)
    state = find_kept_shards(folder, plan, manifest, previous)
    if len(state.kept) < len(plan.mine):
        # Other versions of the libraries may inspect a finished folder, but not make shards of it.
        manifests.check_same(options.shards, previous, manifest, ["libraries"])
    return state


def find_kept_shards(
    folder: Folder, plan: RenderPlan, manifest: Mapping[str, Any], previous: Mapping[str, Any]
) -> FolderState:
    """Find which of the plan's shards in `folder` are finished, as `manifest` has them, and of inputs that are the same."""
    options, fingerprint = plan.options, manifests.fingerprint_of(manifest)
    kept_stats: dict[int, Mapping[str, Any]] = {}
    changed_inputs: dict[int, str] = {}
    mine = {shard.number: shard for shard in plan.mine}
    for number, stats in finished_stats(folder, mine, fingerprint):
        shard = mine[number]
        sizes_differ = stats["inputs"] != manifests.sizes_digest(shard.inputs)
        changed_input = ""
        if sizes_differ or options.check_digests:
            changed_input = find_changed_input(folder, shard, options.check_digests)
        if sizes_differ or changed_input:
            changed_inputs[shard.number] = changed_input
        elif not (options.retry_failed and schema.num_failed(stats["outcomes"])):
            kept_stats[shard.number] = stats
    return FolderState(previous, kept_stats, changed_inputs)


def find_changed_input(folder: Folder, shard: PlannedShard, check_digests: bool) -> str:
    """Find the first input whose image is not the one that its shard was drawn from; "" if there is none.

    Images are compared by size; with `check_digests` by SHA-256, too.
    """
    try:
        lines = folder.read(schema.shard_files(shard.number).sidecar).splitlines()
        recorded = {line["key"]: (line["bytes"], line.get("sha256")) for line in map(parse_json, lines)}
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    for image in shard.inputs:
        num_bytes, sha256 = recorded.get(image.key, (None, None))
        if num_bytes != image.image.num_bytes:
            return image.source
        if check_digests and sha256 is not None and not has_digest(image, sha256):
            return image.source
    return ""


def has_digest(image: ImageSource, sha256: str) -> bool:
    """Whether an image can be read and its bytes have this SHA-256."""
    try:
        return source_digest(image) == sha256
    except ImageError:
        return False


def check_untracked_files(folder: Folder, added: Sequence[PlannedShard]) -> None:
    """Raise UsageError where a file of a new shard exists that the folder's manifest does not list."""
    names = folder.list() if added else {}
    for shard in added:
        for name in schema.shard_files(shard.number):
            if name in names:
                raise UsageError(
                    f"{folder.address(name)}: is in the way and not in the manifest; move it, or choose another folder"
                )
