"""Reading samples back, by key."""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import read_image
from sketchforge.shards import schema
from sketchforge.shards.writer import read_stats
from sketchforge.utils.files import parse_json
from sketchforge.utils.tar_headers import members

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class StoredSample:
    """One sample's pictures: the image as uint8 HxWx3 RGB and its sketches as uint8 HxW, 255 for paper."""

    key: str
    image: np.ndarray
    sketches: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class RawSample:
    """One sample as it lies in its tar, no picture decoded."""

    key: str
    image: bytes  # JPEG
    sketches: tuple[bytes, ...]  # PNG
    about: dict[str, Any]  # the sample's JSON
    caption: str | None  # KEY.txt, where there is one


def finished_shards(folder: Path, manifest: dict[str, Any]) -> list[int]:
    """The numbers of the shards that are finished, in order."""
    begun = schema.begun_shards(folder, manifest["num_shards"])
    return [number for number in begun if read_stats(folder, number) is not None]


def sample_keys(folder: Path, manifest: dict[str, Any]) -> dict[str, int]:
    """The keys of all samples in order, and the number of the shard each lies in; read from the sidecars.

    Raises SketchforgeError when a sidecar is missing or damaged.
    """
    keys: dict[str, int] = {}
    for number in finished_shards(folder, manifest):
        path = schema.shard_files(folder, number).sidecar
        try:
            lines = [parse_json(line) for line in path.read_bytes().splitlines()]
            keys.update((line["key"], number) for line in lines if line["status"] == schema.OK)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SketchforgeError(
                f"{path}: cannot be read ({error}); see `sketchforge verify {folder}`"
            ) from error
    return keys


def read_samples(folder: Path, keys: dict[str, int], wanted: Collection[str]) -> dict[str, StoredSample]:
    """The samples `wanted` among `keys` (from `sample_keys`); only the shards they lie in are read.

    Raises SketchforgeError when one is missing or damaged.
    """
    samples = {}
    for raw in raw_samples(folder, keys, wanted):
        with read_errors(folder, schema.shard_files(folder, keys[raw.key]).tar):
            sketches = tuple(read_image(sketch)[..., 0] for sketch in raw.sketches)
            samples[raw.key] = StoredSample(raw.key, read_image(raw.image), sketches)
    return samples


def raw_samples(
    folder: Path, keys: dict[str, int], wanted: Collection[str], most: int = schema.most_bytes(None)
) -> Iterator[RawSample]:
    """The samples `wanted` among `keys` (from `sample_keys`), in the order in which they are stored.

    Only the shards they lie in are opened, and what lies between them is passed over unread. Raises
    SketchforgeError when one is missing or damaged, or has a member of more than `most` bytes.
    """
    by_shard: defaultdict[int, set[str]] = defaultdict(set)
    for key in wanted:
        by_shard[keys[key]].add(key)
    for number, here in sorted(by_shard.items()):
        path = schema.shard_files(folder, number).tar
        with read_errors(folder, path):
            for key, contents in tar_samples(path, most, here):
                here.discard(key)
                yield _raw(key, dict(contents))
                if not here:
                    break
        if here:
            raise SketchforgeError(
                f"{path}: sample {min(here)} is missing; see `sketchforge verify {folder}`"
            )


@contextmanager
def read_errors(folder: Path, path: Path) -> Iterator[None]:
    """Turn whatever a damaged shard brings about into one line that names the file and the next step."""
    try:
        yield
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, SketchforgeError) as error:
        raise SketchforgeError(
            f"{path}: cannot be read ({error}); see `sketchforge verify {folder}`"
        ) from error


def tar_samples(
    path: Path, most: int, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, list[tuple[str, bytes | None]]]]:
    """(key, [(member name, contents), ...]) for every run of members with one key, as WebDataset has it.

    Contents of more than `most` bytes are None, unread. With `wanted`, samples of other keys are passed over unread.
    Raises OSError, and tarfile.TarError where the file is no sound tar.
    """
    key, contents = "", []
    with open(path, "rb") as file:
        for name, offset, size, is_plain in members(file):
            name_key = name.split(".", 1)[0]
            if contents and name_key != key:
                yield key, contents
                contents = []
            if wanted is not None and name_key not in wanted:
                continue
            file.seek(offset)
            key = name_key
            data = b"" if not is_plain else file.read(size) if size <= most else None
            contents.append((name, data))
    if contents:
        yield key, contents


def _raw(key: str, contents: dict[str, bytes | None]) -> RawSample:
    for name, data in contents.items():
        if data is None:
            raise SketchforgeError(f"{name} is too large")
    for name in (schema.image_member(key), schema.about_member(key)):
        if name not in contents:
            raise SketchforgeError(f"{name} is missing")
    sketches = []
    while schema.sketch_member(key, len(sketches)) in contents:
        sketches.append(contents[schema.sketch_member(key, len(sketches))])
    about = parse_json(contents[schema.about_member(key)])
    caption = contents.get(f"{key}.txt")
    return RawSample(
        key,
        contents[schema.image_member(key)],
        tuple(sketches),
        {**about, **{name: int(about[name]) for name in ("width", "height")}, "source": str(about["source"])},
        None if caption is None else caption.decode("utf-8", errors="replace"),
    )
