"""Sets of images to compare: a folder, tars, a shard set; read one at a time, in order, each by its key."""

from __future__ import annotations

import hashlib
import logging
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
from sketchforge.shards.selection import spread_evenly
from sketchforge.shards.shard_set import ShardSet, open_shards
from sketchforge.storage.folder import is_remote
from sketchforge.utils.text import count_noun

_log = logging.getLogger(__name__)

OPEN_SHARDS = 16  # files that are kept open


@dataclass(frozen=True)
class ImageSet:
    """Images of one source. Every call of `images()` starts at the first image."""

    name: str
    source: str
    num_found: int
    count: int  # of the chosen images
    images: Callable[[], Iterator[tuple[str, np.ndarray | None]]]  # (key, uint8 HxWx3); None: unreadable
    split: str | None = None  # of the shards that it is of

    def readable(self) -> Iterator[np.ndarray]:
        """The images that can be read."""
        return (image for _, image in self.images() if image is not None)

    def at(self, size: int) -> ImageSet:
        """The same images as a model of this size gets them: the centred square, size x size."""

        def images() -> Iterator[tuple[str, np.ndarray | None]]:
            for key, image in self.images():
                yield key, None if image is None else fit_square(image, size, "crop")

        return replace(self, images=images)


@dataclass(frozen=True)
class Inventory:
    """The contents of a set: digests, sizes and the number of unreadable images."""

    digests: tuple[str, ...]  # SHA-256 of every readable image's pixels, in order
    unreadable: int
    sizes: Counter[tuple[int, int]]  # (width, height) -> how many

    @property
    def count(self) -> int:
        return len(self.digests)


class SampleReader:
    """Reads the samples of a shard set by their index."""

    def __init__(self, shards: ShardSet) -> None:
        self.shards = shards
        self._order = SampleOrder(shards.shard_sizes, 0)
        self._open: dict[int, OpenShard] = {}

    def read(self, index: int, sketches: Sequence[int]) -> StoredSample:
        """The sample at `index` with the sketches of these styles. Raises DamagedError."""
        shard, position = self._order.place_of(index)
        open_shard = self._open.pop(shard, None) or OpenShard(self.shards, shard)
        while len(self._open) >= OPEN_SHARDS:
            self._open.pop(next(iter(self._open))).close()  # the least recently used
        self._open[shard] = open_shard
        return open_shard.read(position, sketches)

    def close(self) -> None:
        for open_shard in self._open.values():
            open_shard.close()
        self._open.clear()


def open_image_set(source: str | Path, samples: int, split: str | None = None) -> ImageSet:
    """Open a source and choose at most `samples` (0: all) of its images, spread evenly.

    source: shards, by their folder or URL; or images as `render --images` takes them. split: of shards that have
    splits, see `ShardSet.take_held_out`. Raises UsageError where there are none, SketchforgeError for damaged shards.
    """
    if is_shards(source):
        shards = open_shards(source)
        return shard_images(shards.take_held_out(split if shards.splits else None), samples)
    image_sources = find_images(source)
    chosen = spread_evenly(image_sources, samples or len(image_sources))

    def images() -> Iterator[tuple[str, np.ndarray | None]]:
        for image_source in chosen:
            try:
                yield image_source.key, read_image(image_source.read())
            except ImageError:
                yield image_source.key, None

    return ImageSet(name_of(source), str(source), len(image_sources), len(chosen), images)


def is_shards(source: str | Path) -> bool:
    """Whether a source means shards rather than images."""
    return is_remote(source) or (Path(source) / schema.MANIFEST).is_file()


def shard_images(shards: ShardSet, samples: int) -> ImageSet:
    """The images of a shard set, without its sketches: at most `samples` (0: all), spread evenly."""
    total = shards.num_samples
    chosen = spread_evenly(range(total), samples or total)

    def images() -> Iterator[tuple[str, np.ndarray | None]]:
        reader = SampleReader(shards)
        try:
            for index in chosen:
                sample = reader.read(index, [])
                yield sample.key, sample.image
        finally:
            reader.close()

    name = name_of(shards.source) + (f", split {shards.split}" if shards.split else "")
    return ImageSet(name, shards.source, total, len(chosen), images, shards.split)


def take_inventory(images: ImageSet) -> Inventory:
    """Read all images of a set once.

    Raises SketchforgeError where none can be read, UsageError where only one can.
    """
    digests, unreadable, sizes = [], 0, Counter[tuple[int, int]]()
    for key, image in images.images():
        if image is None:
            _log.info("%s: %s cannot be read", images.source, key)
            unreadable += 1
            continue
        sizes[image.shape[1], image.shape[0]] += 1
        digests.append(hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest())
    if not digests:
        raise SketchforgeError(
            f"{images.source}: none of its {count_noun(images.count, 'image')} can be read"
        )
    if len(digests) < 2:
        raise UsageError(f"{images.source}: 1 image that can be read; sets to compare need two or more")
    return Inventory(tuple(digests), unreadable, sizes)


def name_of(source: str | Path) -> str:
    """The last part of a path; for a model file, the name of its folder."""
    path = Path(source)
    folder = path.parent if path.name == "model.safetensors" else path
    return folder.resolve().name or str(source)
