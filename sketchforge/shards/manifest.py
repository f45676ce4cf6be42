"""The manifest of a shard folder: its inputs, its options, and the shards that it should hold."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.sources import ImageTable
from sketchforge.shards import schema
from sketchforge.shards.splits import parse_splits
from sketchforge.storage.folder import Folder, LocalFolder
from sketchforge.utils import files
from sketchforge.utils.files import check_format
from sketchforge.utils.outputs import check_local
from sketchforge.utils.versions import installed_version

# These entries determine the bytes of the shards: a folder whose manifest differs in one of them is not
# continued.
IDENTITY = ("options", "styles", "digests", "inputs", "captioned", "extras", "classes", "splits")
MAX_SIDE = 1 << 14  # pixels
_LATER_ENTRIES: Mapping[str, Any] = {
    "quality": False,
    "appended": [],
}  # of version 5, as they are in version 4


def describe_inputs(images: ImageTable) -> dict[str, Any]:
    """Count the inputs and digest their keys and names, in order: together they determine the plan."""
    digest = hashlib.sha256()
    for record in images.name_records():
        digest.update(record)
    return {"count": len(images), "sha256": digest.hexdigest()}


def sizes_digest(images: ImageTable) -> str:
    """Digest the sizes of a shard's inputs: it changes when an input does (contents would take too long)."""
    digest = hashlib.sha256()
    for key, sizes in images.sizes():
        digest.update(f"{key}\0{' '.join(map(str, sizes))}\n".encode())
    return digest.hexdigest()


def new_manifest(
    options: Mapping[str, object],
    styles: Sequence[str],
    digests: Mapping[str, str],
    inputs: Mapping[str, Any],
    num_shards: int,
    libraries: Iterable[str],
    captioned: bool = False,
    passed_over: Mapping[str, int] | None = None,
    extras: Sequence[str] = (),
    classes: Sequence[str] = (),
    splits: Sequence[Mapping[str, Any]] = (),
    quality: bool = False,
) -> dict[str, Any]:
    """The manifest of a run that has just begun; it records the versions of the distributions `libraries`.

    captioned: whether any input has a caption, so that every sample has a text. passed_over: what was found
    beside the inputs and is not read, kind -> count. extras: of schema.EXTRAS, what every sample has. classes: the
    names of the classes that "cls" numbers. splits: {"name", "shards"} of each, whose shards follow one another.
    quality: whether every sample tells that of its sketches.
    """
    return {
        "format": schema.FORMAT,
        "version": schema.VERSION,
        "options": dict(options),
        "styles": list(styles),
        "digests": dict(digests),
        "inputs": dict(inputs),
        "captioned": captioned,
        "extras": [extra for extra in schema.EXTRAS if extra in extras],
        "classes": list(classes),
        "splits": [dict(split) for split in splits],
        "passed_over": dict(passed_over or {}),
        "libraries": {name: installed_version(name) for name in libraries},
        "num_shards": num_shards,
        "complete": False,
        "shards": [],
        "outcomes": {},
        "quality": quality,
        "appended": [],
    }


def finished_manifest(manifest: Mapping[str, Any], all_stats: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The manifest of the finished run, from the stats of every shard in order."""
    shards, outcomes = [], Counter[str]()
    for stats in all_stats:
        outcomes.update(stats["outcomes"])
        shards.append(
            {
                "name": f"{stats['shard']}.tar",
                "samples": stats["outcomes"].get(schema.OK, 0),
                "failed": sum(count for outcome, count in stats["outcomes"].items() if outcome != schema.OK),
                "bytes": stats["tar"]["bytes"],
                "sha256": stats["tar"]["sha256"],
                "sidecar": dict(stats["sidecar"]),
            }
        )
    return {**manifest, "complete": True, "shards": shards, "outcomes": dict(outcomes)}


def fingerprint_of(manifest: Mapping[str, Any]) -> str:
    """Hex SHA-256 over everything that determines the bytes of the shards (IDENTITY)."""
    return hashlib.sha256(schema.json_bytes({name: manifest[name] for name in IDENTITY})).hexdigest()


def read_manifest(folder: Folder) -> dict[str, Any]:
    """The manifest of a shard folder.

    Raises UsageError when there is none, SketchforgeError when it is damaged, of another format or of a newer
    version.
    """
    path = folder.address(schema.MANIFEST)
    if isinstance(folder, LocalFolder) and not folder.path.is_dir():
        raise UsageError(f"{folder}: no such folder; expected shards made by `sketchforge render`")
    try:
        manifest: dict[str, Any] = files.parse_json(folder.read(schema.MANIFEST))
    except FileNotFoundError as error:
        if not isinstance(folder, LocalFolder):
            raise UsageError(f"{error}; expected shards made by `sketchforge render`") from error
        raise UsageError(
            f"{folder}: holds no {schema.MANIFEST}; expected shards made by `sketchforge render`"
        ) from None
    except SketchforgeError as error:
        raise UsageError(f"{error}; expected shards made by `sketchforge render`") from error
    except (OSError, ValueError) as error:
        raise SketchforgeError(f"{path}: cannot be read as a manifest ({error})") from error
    header = manifest if isinstance(manifest, dict) else {}
    check_format(path, header, schema.FORMAT, schema.VERSION, schema.OLDEST)
    if int(header["version"]) < schema.VERSION:
        manifest = {**_LATER_ENTRIES, **manifest}
    bad_entries = [
        name
        for name, shape in schema.MANIFEST_SHAPE.items()
        if not files.has_shape(manifest.get(name), shape)
    ]
    bad_entries = bad_entries or list(_find_impossible_entries(manifest))
    if bad_entries:
        raise SketchforgeError(
            f"{path}: {', '.join(bad_entries)}: missing or not as a manifest has it; restore the file, or "
            "make the shards anew in another folder"
        )
    return manifest


def _find_impossible_entries(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of entries whose numbers are impossible: a loop up to such a number would not end."""
    options, styles, shards = manifest["options"], manifest["styles"], manifest["shards"]
    side = schema.image_side(manifest)
    if options["fit"] != "keep" if side is None else not files.has_shape(side, int) or side > MAX_SIDE:
        yield "options"
    thresholds = (options.get(name) for name in ("threshold", "low_threshold"))
    if any(threshold is not None and not files.has_shape(threshold, float) for threshold in thresholds):
        yield "options"
    levels = options.get("grey_levels", 256)
    if not files.has_shape(levels, int) or not 2 <= levels <= 256:
        yield "options"
    if not 1 <= len(styles) <= schema.MAX_STYLES:
        yield "styles"
    if manifest["complete"] and len(shards) != manifest["num_shards"]:
        yield "shards"
    if not set(manifest["extras"]) <= set(schema.EXTRAS):
        yield "extras"
    if not _are_possible_splits(manifest, options.get("split")):
        yield "splits"
    if sum(entry["num_shards"] for entry in manifest["appended"]) > manifest["num_shards"]:
        yield "appended"
    # A member takes at least 512 bytes of header; an image or a sketch has contents, at least 512 more.
    min_sample_bytes = 1024 * (1 + len(styles)) + 512
    if any(
        entry["samples"] > min(schema.MAX_SAMPLES, entry["bytes"] // min_sample_bytes) for entry in shards
    ):
        yield "shards"


def _are_possible_splits(manifest: Mapping[str, Any], shares: object) -> bool:
    """Whether the splits are those of the option `shares`, once for every time that shards were added, and have all shards."""
    splits = manifest["splits"]
    if shares is None:
        return not splits
    try:
        names = list(parse_splits(str(shares)))
    except UsageError:
        return False
    counts = [entry["shards"] for entry in splits]
    names *= 1 + len(manifest["appended"])
    is_whole = min(counts, default=-1) >= 0 and sum(counts) == manifest["num_shards"]
    return names == [entry["name"] for entry in splits] and is_whole


def output_state(folder: Folder) -> dict[str, Any] | None:
    """The manifest of an output folder, or None for one that is empty or not there yet.

    Raises UsageError for a folder that holds other files: those are never written over. Hidden files do not
    count.
    """
    if isinstance(folder, LocalFolder):
        check_local(folder.path, "--shards")
        if folder.path.exists() and not folder.path.is_dir():
            raise UsageError(f"{folder}: a file; --shards needs a folder")
    names = folder.list()
    if all(name.startswith(".") for name in names):
        return None
    if schema.MANIFEST not in names:
        raise UsageError(
            f"{folder}: holds files that are not sketchforge's; choose an empty or a new folder for --shards"
        )
    try:
        return read_manifest(folder)
    except SketchforgeError as error:
        raise UsageError(f"{error}; choose another folder for --shards") from error


def check_same(
    folder: object, found: Mapping[str, Any], wanted: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Raise UsageError if two manifests differ in one of `names`, with both values of the first."""
    for name in names:
        before, now = found.get(name), wanted[name]
        if before == now:
            continue
        if isinstance(before, Mapping):
            # Some options exist only with others, so the cause is the method or an option that both manifests
            # have.
            sort_keys = {
                item: (item != "method", item not in before or item not in now, item)
                for item in {*before, *now}
            }
            item = next(
                item
                for item in sorted(sort_keys, key=sort_keys.__getitem__)
                if (item in before, before.get(item)) != (item in now, now.get(item))
            )
            flag = f"--{item.replace('_', '-')}" if name == "options" else f"{name} {item}"
            before, now = before.get(item), now.get(item)
        else:
            flag = name
        if name == "captioned":
            flag, before, now = "captions:", *("some" if value else "none" for value in (before, now))
        if name == "extras":
            flag = "further members:"
        raise UsageError(
            f"{folder}: was made with {flag} {_format_value(before)}, now {_format_value(now)}; choose another "
            "folder for --shards (only --overwrite replaces what is there)"
        )


def write_manifest(folder: Folder, manifest: Mapping[str, Any]) -> None:
    folder.write(schema.MANIFEST, files.checksummed_json(manifest))


def remove_shards(folder: Folder, manifest: Mapping[str, Any]) -> None:
    """Remove the shards that a manifest lists, finished or not; everything else stays."""
    # Stats are removed first: a shard without them counts as unfinished, so an interruption here is safe.
    names = folder.list()
    for number in schema.numbers_of_stats(names, manifest["num_shards"]):
        folder.remove(schema.shard_files(number).stats)
    for name in names:
        stem, _, ending = name.rpartition(".")
        if ending in ("jsonl", "tar") and schema.is_shard(stem, manifest["num_shards"]):
            folder.remove(name)


def _format_value(value: object) -> str:
    """Format a value for one line.

    None, [] -> "none"; a list -> "a, b, c". 60 characters and more are shortened.
    """
    if value in (None, []):
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) < 60 else f"{text[:12]}..."
