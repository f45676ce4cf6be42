"""Shards that are being added to a finished folder.

They are made in a hidden folder of it, with a manifest of their own, and move out of it once all of them are there. Until
the last step, which replaces the folder's manifest, readers see the folder as it was. Every step may be done again, so
that a process which is killed at any moment costs nothing but time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sketchforge.shards import schema
from sketchforge.shards.card import write_card
from sketchforge.shards.manifest import read_manifest, write_manifest
from sketchforge.storage.folder import Folder
from sketchforge.storage.inner_folder import inner_folder, remove_folder, sync, take_file
from sketchforge.utils.files import disk_errors, is_partial

APPENDING = ".append"  # the hidden folder
# What the folder's manifest keeps of that of the shards which were added.
_KEPT = ("inputs", "num_shards", "splits", "passed_over", "libraries")
CHOICES = ("limit", "shuffle_seed", "labels")  # options that choose images: they may differ from the folder's


def appending_folder(folder: Folder) -> Folder:
    """Where shards are made that are to be added to `folder`."""
    return inner_folder(folder, APPENDING)


def read_appending(folder: Folder) -> dict[str, Any] | None:
    """The manifest of shards that are being added to a folder, complete once all of them are made; None for none."""
    inner = appending_folder(folder)
    return None if inner.find_size(schema.MANIFEST) is None else read_manifest(inner)


def appended_manifest(base: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a folder with manifest `base` to which the shards of `part`, both complete, were added."""
    entry = {name: part[name] for name in _KEPT}
    entry["options"] = {name: part["options"][name] for name in CHOICES if name in part["options"]}
    return {
        **{name: value for name, value in base.items() if name != "checksum"},
        "version": schema.VERSION,
        "appended": [*base["appended"], entry],
        "num_shards": base["num_shards"] + part["num_shards"],
        "splits": [*base["splits"], *part["splits"]],
        "shards": [*base["shards"], *part["shards"]],
        "outcomes": dict(Counter(base["outcomes"]) + Counter(part["outcomes"])),
    }


def finish_appending(folder: Folder, base: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Move finished shards into the folder whose manifest is `base`, and write its card and its new manifest.

    Where an earlier process has come part of the way, goes on. Returns the manifest, and False where an edited card was
    kept. Does nothing where no shards are there that are finished. Raises SketchforgeError where disk or store refuses.
    """
    part = read_appending(folder)
    if part is None or not part["complete"]:
        return dict(base), True
    inner = appending_folder(folder)
    manifest, card_is_ours = dict(base), True
    if first_shard(part) == base["num_shards"]:  # else they are in the manifest already
        manifest = appended_manifest(base, part)
        for number in range(base["num_shards"], manifest["num_shards"]):
            for name in schema.shard_files(number):
                with disk_errors(folder.address(name)):
                    take_file(folder, inner, name)
        sync(folder)
        with disk_errors(folder.address(schema.CARD)):
            card_is_ours = write_card(folder, manifest)
        with disk_errors(folder.address(schema.MANIFEST)):
            write_manifest(folder, manifest)
    remove_appending(folder)
    return manifest, card_is_ours


def remove_appending(folder: Folder) -> None:
    """Remove the shards that were to be added, finished or not, and their folder unless others' files are in it."""
    inner = appending_folder(folder)
    inner.sweep()
    names = inner.list()
    for name in sorted(
        names, key=lambda name: name == schema.MANIFEST
    ):  # which says what they are, so it goes last
        stem, _, ending = name.removesuffix(".stats.json").partition(".")
        is_shard = schema.is_shard(stem) and ending in ("", "jsonl", "tar")
        if is_shard or name == schema.MANIFEST or is_partial(name):
            inner.remove(name)
    if APPENDING in folder.list():
        remove_folder(inner)


def first_shard(part: Mapping[str, Any]) -> int:
    """The number of the first of the shards that are added, by their complete manifest."""
    return int(part["shards"][0]["name"].partition(".")[0])


def count_inputs(manifest: Mapping[str, Any]) -> int:
    """Count the inputs of a folder, those that were added among them."""
    appended: int = sum(entry["inputs"]["count"] for entry in manifest["appended"])
    count: int = manifest["inputs"]["count"]
    return count + appended
