"""What is wrong with a single shard: its files beside the manifest, its samples and their images."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

from sketchforge.images.decode import ImageError, decode_image, open_image, stored_size
from sketchforge.shards import schema
from sketchforge.shards.reader import path_samples
from sketchforge.shards.sidecars import sample_records
from sketchforge.shards.writer import read_stats
from sketchforge.storage.folder import Folder, LocalFolder, local_copies
from sketchforge.strokes.stored import strokes_from_json
from sketchforge.utils.files import checksum_holds, has_shape, parse_json, sha256_of
from sketchforge.utils.text import count_noun


def check_files(folder: LocalFolder, number: int, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs from the manifest's entry: of tar, sidecar and stats."""
    names = schema.shard_files(number)
    for name, file_entry in ((names.tar, entry), (names.sidecar, entry["sidecar"])):
        path = folder.path / name
        if not path.is_file():
            yield f"{path.name}: missing"
            continue
        size = path.stat().st_size
        if size != file_entry["bytes"]:
            change = "truncated" if size < file_entry["bytes"] else "altered"
            yield f"{path.name}: {change}, {size} bytes, expected {file_entry['bytes']}"
        elif sha256_of(path) != file_entry["sha256"]:
            yield f"{path.name}: altered, its SHA-256 is not the one in the manifest"
    if folder.find_size(names.stats) is None:
        yield f"{names.stats}: missing"
    elif (stats := read_stats(folder, number)) is None:
        yield f"{names.stats}: damaged"
    elif not _describes_shard(stats, names.tar, entry):
        yield f"{names.stats}: altered, it tells of another shard than the manifest"
    elif not checksum_holds(folder.read(names.stats)):
        yield f"{names.stats}: altered, its digest of itself does not hold"


def _describes_shard(stats: Mapping[str, Any], tar: str, entry: Mapping[str, Any]) -> bool:
    tar_entry = {"bytes": entry["bytes"], "sha256": entry["sha256"]}
    is_same = stats.get("tar") == tar_entry and stats.get("sidecar") == entry["sidecar"]
    return is_same and f"{stats.get('shard')}.tar" == tar


def check_samples(
    folder: LocalFolder, number: int, entry: Mapping[str, Any], manifest: Mapping[str, Any]
) -> Iterator[tuple[str | None, list[str]]]:
    """Yield (key, problems) for each sample of a shard; key None for problems of the shard as a whole."""
    names = schema.shard_files(number)
    keys = []
    try:
        for key, members in path_samples(
            folder.path / names.tar, schema.most_bytes(schema.image_side(manifest))
        ):
            keys.append(key)
            yield key, [f"{names.tar}: {problem}" for problem in _check_sample(key, members, manifest)]
    except FileNotFoundError:
        return  # listed as missing already
    except (OSError, tarfile.TarError) as error:
        yield None, [f"{names.tar}: cannot be read to its end ({error})"]
    if len(keys) != entry["samples"]:
        yield None, [f"{names.tar}: {count_noun(len(keys), 'sample')}, expected {entry['samples']}"]
    try:
        sidecar_keys = [record["key"] for record in sample_records(folder.read(names.sidecar))]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield None, [f"{names.sidecar}: cannot be read ({error})"]
        return
    disagrees = f"{names.sidecar}: disagrees with {names.tar}"
    differing = (pair for pair in zip(sidecar_keys, keys, strict=False) if pair[0] != pair[1])
    if mismatch := next(differing, None):
        yield None, [f"{disagrees} at {mismatch[0]} / {mismatch[1]}"]
    elif len(sidecar_keys) != len(keys):
        yield None, [f"{disagrees}: {count_noun(len(sidecar_keys), 'sample')} / {len(keys)}"]


def _check_sample(
    key: str, members: list[tuple[str, bytes | None]], manifest: Mapping[str, Any]
) -> Iterator[str]:
    names = [name for name, _ in members]
    expected_names = schema.sample_members(
        key, len(manifest["styles"]), manifest["captioned"], manifest["extras"]
    )
    for name in expected_names:
        if name not in names:
            yield f"{name}: missing"
    for name in names:
        if name not in expected_names or names.count(name) > 1:
            yield f"{name}: unexpected"
    side = schema.image_side(manifest)
    expected = None if side is None else (side, side)
    # The image is checked first: in a set of many sizes it determines the size of its sketches.
    for name, data in sorted(members, key=lambda member: member[0] != schema.image_member(key)):
        if data is None:
            yield f"{name}: too large"
            continue
        try:
            if name == schema.extra_member(key, "cls"):
                if not data.isdigit() or len(data) > 9 or int(data) >= len(manifest["classes"]):
                    raise ValueError(f"expected the number of one of {len(manifest['classes'])} classes")
            elif name == schema.extra_member(key, schema.STROKES):
                yield from (f"{name}: {problem}" for problem in _check_strokes(data, expected, manifest))
            elif name.endswith(".txt"):
                data.decode("utf-8")
            elif name.endswith(".json"):
                metadata = parse_json(data)
                shape = schema.sample_shape(manifest)
                if not has_shape(metadata, shape) or len(metadata) != len(shape):
                    raise ValueError(f"expected {', '.join(shape)} and nothing else")
                if manifest[schema.QUALITY]:
                    _check_quality(metadata[schema.QUALITY], len(manifest["styles"]))
                if not isinstance(parse_json(metadata["meta"]), dict):
                    raise ValueError("meta: expected the text of a JSON object")
                if expected is not None and (size := (metadata["width"], metadata["height"])) != expected:
                    yield f"{name}: {size[0]} x {size[1]} pixels, expected {expected[0]} x {expected[1]}"
            elif name.endswith((".jpg", ".png")):
                # The size is read from the header, before anything is decoded.
                stored = stored_size(data)
                if stored is not None and expected is not None and stored != expected:
                    yield f"{name}: {stored[0]} x {stored[1]} pixels, expected {expected[0]} x {expected[1]}"
                    continue
                formats = ("PNG",) if name.endswith(".png") else ("JPEG",)
                height, width = decode_image(data, formats).pixels.shape[:2]
                if name == schema.image_member(key):
                    expected = width, height
                elif open_image(data, formats).mode not in ("1", "L"):
                    yield f"{name}: more than one channel"
        except ImageError as error:
            yield f"{name}: {error.reason}"
        except (ValueError, KeyError, TypeError) as error:
            yield f"{name}: cannot be read ({error})"


def _check_quality(quality: Mapping[str, Any], num_sketches: int) -> None:
    if any(len(quality[column]) != num_sketches for column in schema.QUALITY_SHAPE):
        raise ValueError(f"{schema.QUALITY}: expected {count_noun(num_sketches, 'entry')} in every column")


def _check_strokes(
    data: bytes, expected: tuple[int, int] | None, manifest: Mapping[str, Any]
) -> Iterator[str]:
    """expected: (width, height) of the image. Raises ValueError for strokes that cannot be read."""
    stored = strokes_from_json(data)
    if expected is not None and (size := stored.size[::-1]) != expected:
        yield f"of a picture of {size[0]} x {size[1]} pixels, expected {expected[0]} x {expected[1]}"
    names = [hand.name for hand in stored.hands]
    if names and names != list(manifest["styles"]):
        yield f"of the hands {', '.join(names)[:200]}, expected {', '.join(manifest['styles'])[:200]}"


MAX_SHARD_BYTES = 1 << 40  # of a shard's file elsewhere
# (key, problems) of a sample; key None: problems of the shard as a whole.
Finding = tuple[str | None, list[str]]


def find_problems(
    folder: Folder, number: int, entry: Mapping[str, Any], manifest: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield the findings of a shard's files, then of each sample, whether anything is wrong with it or not.

    entry: the manifest's, of this shard. manifest: may lack its shards. Raises SketchforgeError where a store does not
    give a file.
    """
    with local_copies(folder, tuple(schema.shard_files(number)), MAX_SHARD_BYTES) as here:
        yield None, list(check_files(here, number, entry))
        yield from check_samples(here, number, entry, manifest)


def list_problems(
    folder: Folder, number: int, entry: Mapping[str, Any], manifest: Mapping[str, Any]
) -> list[Finding]:
    """The findings of `find_problems` at once, from a process of its own."""
    return list(find_problems(folder, number, entry, manifest))
