"""Sets of images to compare: a folder, tars, a shard set; read one at a time, in order, each by its key."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sketchforge.data.order import SampleOrder
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import ImageError, read_image
from sketchforge.images.resize import fit_square
from sketchforge.images.sources import find_images
from sketchforge.shards import schema
from sketchforge.shards.open_shard import OpenShard
from sketchforge.shards.reader import StoredSample
from sketchforge.shards.remote import is_remote
from sketchforge.shards.selection import spread_evenly
from sketchforge.shards.shard_set import ShardSet, open_shards

OPEN_SHARDS = 16  # files that are kept open


@dataclass(frozen=True)
class ImageSet:
    """Images of one source. `images()` begins anew with every call."""

    name: str
    source: str
    num_found: int
    count: int  # of those that are looked at
    images: Callable[[], Iterator[tuple[str, np.ndarray | None]]]  # (key, uint8 HxWx3); None: unreadable

    def readable(self) -> Iterator[np.ndarray]:
        """The images that can be read."""
        return (image for _, image in self.images() if image is not None)

    def at(self, size: int) -> ImageSet:
        """The same images as a model of this size would be given them: the centred square, size x size."""

        def images() -> Iterator[tuple[str, np.ndarray | None]]:
            for key, image in self.images():
                yield key, None if image is None else fit_square(image, size, "crop")

        return replace(self, images=images)


@dataclass(frozen=True)
class Inventory:
    """What a set turned out to hold."""

    digests: tuple[str, ...]  # SHA-256 of every readable image's pixels, in order
    unreadable: int
    sizes: Counter[tuple[int, int]]  # (width, height) -> how many

    @property
    def count(self) -> int:
        return len(self.digests)


class SampleReader:
    """The samples of a shard set by their number."""

    def __init__(self, shards: ShardSet) -> None:
        self.shards = shards
        self._order = SampleOrder(shards.shard_sizes, 0)
        self._open: dict[int, OpenShard] = {}

    def read(self, index: int, sketches: Sequence[int]) -> StoredSample:
        """The sample with these of its sketches. Raises DamagedError."""
        shard, place = self._order.place_of(index)
        opened = self._open.pop(shard, None) or OpenShard(self.shards, shard)
        while len(self._open) >= OPEN_SHARDS:
            self._open.pop(next(iter(self._open))).close()  # the one longest unused
        self._open[shard] = opened
        return opened.read(place, sketches)

    def close(self) -> None:
        for opened in self._open.values():
            opened.close()
        self._open.clear()


def open_image_set(source: str | Path, samples: int) -> ImageSet:
    """At most `samples` (0: all) images of a source, spread evenly.

    source: shards, by their folder or URL; or images as `render --images` takes them. Raises UsageError where
    there are none, SketchforgeError for damaged shards.
    """
    if is_shards(source):
        return shard_images(open_shards(source), samples)
    found = find_images(source)
    chosen = spread_evenly(found, samples or len(found))

    def images() -> Iterator[tuple[str, np.ndarray | None]]:
        for image in chosen:
            try:
                yield image.key, read_image(image.read())
            except ImageError:
                yield image.key, None

    return ImageSet(name_of(source), str(source), len(found), len(chosen), images)


def is_shards(source: str | Path) -> bool:
    """Whether a source means shards rather than images."""
    return is_remote(source) or (Path(source) / schema.MANIFEST).is_file()


def shard_images(shards: ShardSet, samples: int) -> ImageSet:
    """The images of a shard set, its sketches left aside."""
    total = shards.num_samples
    chosen = spread_evenly(range(total), samples or total)

    def images() -> Iterator[tuple[str, np.ndarray | None]]:
        reader = SampleReader(shards)
        try:
            for index in chosen:
                stored = reader.read(index, [])
                yield stored.key, stored.image
        finally:
            reader.close()

    return ImageSet(name_of(shards.source), shards.source, total, len(chosen), images)


def take_inventory(images: ImageSet) -> Inventory:
    """Read all of a set once. Raises SketchforgeError where none of its images can be read."""
    digests, unreadable, sizes = [], 0, Counter[tuple[int, int]]()
    for _, image in images.images():
        if image is None:
            unreadable += 1
            continue
        sizes[image.shape[1], image.shape[0]] += 1
        digests.append(hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest())
    if not digests:
        raise SketchforgeError(f"{images.source}: none of its {images.count} images can be read")
    if len(digests) < 2:
        raise UsageError(f"{images.source}: 1 image that can be read; sets to compare need two or more")
    return Inventory(tuple(digests), unreadable, sizes)


def name_of(source: str | Path) -> str:
    """The last part of a path, of a model's file that of its folder."""
    path = Path(source)
    named = path.parent if path.name == "model.safetensors" else path
    return named.resolve().name or str(source)
