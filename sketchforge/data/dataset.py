"""Training samples by their position in the order of `order.py`.

The same order, seed and options give the same samples bit for bit, in whichever process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from sketchforge.data.order import SampleOrder, SubsetOrder
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.line_art import binarize
from sketchforge.shards.open_shard import OpenShard
from sketchforge.shards.reader import StoredSample
from sketchforge.shards.shard_set import DamagedError, ShardSet
from sketchforge.strokes.painting import INK_LEVEL
from sketchforge.strokes.redraw import redraw_sketch
from sketchforge.strokes.stored import StoredStrokes
from sketchforge.utils.seeding import choose, uniforms
from sketchforge.utils.text import count_noun

OPEN_SHARDS = 64  # files that a process keeps open, with the spans of their members

NUMBERS = ("index", "group", "label", "position", "skipped")  # ints of a sample, beside what `make` returns

Make = Callable[..., Mapping[str, Any]]


class ShardDataset(Dataset[dict[str, Any]]):
    """Training samples by their position in the order: dataset[position] -> dict.

    make(image, sketches, key=position) turns an image (uint8 H×W×3 RGB) and its sketches (uint8 H×W) into
    tensors or arrays; with `masks` it gets mask=… (uint8 H×W, 255 = subject), too. It is a pure function, such as `functools.partial(training_pair, size=256, seed=0)`. It
    must accept white images (see `blank`), and be picklable where there are workers.
    num_sketches: how many of a sample's sketches `make` gets, chosen at random without repetition.
    redraw: the share of them, 0 to 1, that are drawn anew from the sample's strokes at every position
    (`redraw_sketch`), whichever they are.
    masks, classes: whether each sample's mask and class are read; `shards.classes` has the names.
    skip_bad: where a sample cannot be used, take the next good one in the order; otherwise DamagedError names
    shard, key and problem. A shard that could not be opened once counts as missing for the rest of this
    process.

    A sample is the dict that `make` returns, with these ints added:
    "index": the number of the image in the set.
    "group", "label": the running number of the group and the class label within it, see SampleOrder;
    NO_GROUP for a sample that is in none, see SubsetOrder.
    "position": the position in the order.
    "skipped": 1 where the next good sample replaces the one of this position (skip_bad), else 0.
    "class": the number of the image's class, with `classes`.

    Raises UsageError when the set has too few sketches, or lacks strokes to draw anew, masks or classes that are
    asked for, SketchforgeError when no sample is good.
    """

    def __init__(
        self,
        shards: ShardSet,
        order: SampleOrder | SubsetOrder,
        make: Make,
        num_sketches: int = 2,
        skip_bad: bool = False,
        redraw: float = 0.0,
        masks: bool = False,
        classes: bool = False,
    ) -> None:
        self.shards = shards.require(sketches=num_sketches, one_size=False)
        if not 0 <= redraw <= 1:
            raise ValueError(f"redraw={redraw}: expected a share from 0 to 1")
        if redraw:
            shards.require_strokes()
        if masks:
            shards.require_masks()
        if classes:
            shards.require_classes()
        if list(order.shard_sizes) != shards.shard_sizes:
            raise ValueError("order: made for other shard sizes than this set's")
        pool = min(order.pool, len(shards.shard_sizes))
        if shards.cache and shards.cache.keep < pool:
            raise UsageError(
                f"the cache keeps {count_noun(shards.cache.keep, 'shard')}, but the order uses {pool} at "
                "once; keep at "
                "least as many"
            )
        self.order, self.make, self.num_sketches, self.skip_bad = order, make, num_sketches, skip_bad
        self.redraw, self.masks, self.classes = redraw, masks, classes
        self._open: dict[int, OpenShard] = {}
        self._damage: dict[int, str] = {}  # shards that cannot be used at all, and why

    def __getitem__(self, position: int) -> dict[str, Any]:
        return next(self.samples([position]))

    def samples(self, positions: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Yield the samples of these positions in turn, each read when it is requested."""
        # Random choices are made for all positions first: between two images they would take twice as long,
        # because the processor's cache is full of pixels.
        planned = [
            (position, self.sketches_of(position), self.redrawn_at(position), self._locate(position))
            for position in positions
        ]
        for position, sketches, redrawn, location in planned:
            stored, extras, location = self._read(location, sketches, redrawn)
            yield self._build_sample(stored, extras, position, location)

    def _build_sample(
        self, stored: StoredSample, extras: _Extras, position: int, location: _Location
    ) -> dict[str, Any]:
        masks = {} if extras.mask is None else {"mask": extras.mask}
        classes = {} if extras.class_number is None else {"class": extras.class_number}
        return {
            **self.make(stored.image, stored.sketches, key=position, **masks),
            **_build_metadata(position, location),
            **classes,
        }

    def _locate(self, position: int) -> _Location:
        index = self.order.index_of(position)
        return _Location(position, index, *self.order.place_of(index), *self.order.group_of(position))

    def _read(
        self, location: _Location, sketches: list[int], redrawn: list[int]
    ) -> tuple[StoredSample, _Extras, _Location]:
        """Read the sample there, or with skip_bad the next good one; returns it, its extras and its location.

        sketches: their numbers; redrawn: which of them, by their place in the list, are drawn anew.
        """
        position = location.position
        bad_indices = set[int]()
        while True:
            try:
                shard = self._open_shard(location.shard)
                kept = [sketch for place, sketch in enumerate(sketches) if place not in redrawn]
                sample = shard.read(location.place, kept)
                if redrawn:
                    strokes = shard.read_strokes(location.place, sample.image.shape[:2])
                    sample = self._draw_anew(sample, strokes, redrawn, position)
                mask = shard.read_mask(location.place, sample.image.shape[:2]) if self.masks else None
                class_number = shard.read_class(location.place) if self.classes else None
                return sample, _Extras(mask, class_number), location
            except DamagedError as error:
                if not self.skip_bad:
                    raise
                # Bad samples are not remembered: with other sketches chosen, the same sample may be good.
                bad_indices.add(location.index)
                if len(bad_indices) == self.order.num_samples:
                    raise SketchforgeError(
                        f"{self.shards.source}: none of its {count_noun(len(bad_indices), 'sample')} can "
                        f"be used; {error}"
                    ) from error
            location = self._locate(location.position + 1)

    def sketches_of(self, position: int) -> list[int]:
        """The numbers of the sketches chosen at random for a position; only these are read from the disk."""
        return choose(
            self.num_sketches, len(self.shards.styles), self.order.seed, "sample sketches", position
        )

    def redrawn_at(self, position: int) -> list[int]:
        """Which of a position's sketches, by their place among them, are drawn anew."""
        if not self.redraw:
            return []
        draws = uniforms(self.num_sketches, self.order.seed, "redrawn", position)
        return np.flatnonzero(draws < self.redraw).tolist()

    def _draw_anew(
        self, sample: StoredSample, strokes: StoredStrokes, redrawn: list[int], position: int
    ) -> StoredSample:
        """Put sketches drawn anew into these places among a sample's sketches."""
        binary = self.shards.options["sketch_format"] == "png1"
        sketches = list(sample.sketches)
        for place in redrawn:
            sketch = redraw_sketch(strokes, sample.image, self.order.seed, sample.key, position, place)
            sketches.insert(place, binarize(sketch, INK_LEVEL, INK_LEVEL) if binary else sketch)
        return replace(sample, sketches=tuple(sketches))

    def blank(self) -> Mapping[str, Any] | None:
        """A sample made from a white image, to learn shapes from; None where images have many sizes."""
        if (size := self.shards.side) is None:
            return None
        white = np.full((size, size), 255, np.uint8)
        stored = StoredSample("", np.full((size, size, 3), 255, np.uint8), (white,) * self.num_sketches)
        extras = _Extras(white if self.masks else None, 0 if self.classes else None)
        return self._build_sample(stored, extras, 0, self._locate(0))

    def _open_shard(self, shard: int) -> OpenShard:
        if (damage := self._damage.get(shard)) is not None:
            raise DamagedError(damage)
        try:
            open_shard = self._open.pop(shard, None) or OpenShard(self.shards, shard)
        except DamagedError as error:
            self._damage[shard] = str(error)  # not fetched again for every sample of it
            raise
        while len(self._open) >= OPEN_SHARDS:
            self._open.pop(next(iter(self._open))).close()  # the one longest unused
        self._open[shard] = open_shard
        return open_shard

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}  # files stay with their process


class _Extras(NamedTuple):
    """What of a sample is read where it is asked for."""

    mask: np.ndarray | None  # uint8 H×W
    class_number: int | None


class _Location(NamedTuple):
    """The location of a sample: its position in the order, and what the order says of it."""

    position: int
    index: int  # type: ignore[assignment]  # in place of tuple's method of this name, which nobody calls
    shard: int
    place: int
    group: int
    label: int


def _build_metadata(position: int, location: _Location) -> dict[str, int]:
    """Build the ints of a sample; its location may be further on in the order than the position."""
    skipped = int(location.position != position)
    return {
        "index": location.index, "label": location.label, "group": location.group,
        "position": position, "skipped": skipped,
    }  # fmt: skip
