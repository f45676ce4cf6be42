"""Training samples by their position in the order of `order.py`.

The same order, seed and options give the same samples bit for bit, whoever asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from sketchforge.data.order import SampleOrder
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.shards.open_shard import OpenShard
from sketchforge.shards.reader import StoredSample
from sketchforge.shards.shard_set import DamagedError, ShardSet
from sketchforge.utils.seeding import choose

OPEN_SHARDS = 64  # files that a process keeps open, with where their members lie

Make = Callable[..., Mapping[str, Any]]


class ShardDataset(Dataset):
    """Training samples by their position in the order: dataset[position] -> dict.

    make(image, sketches, key=position) turns an image (uint8 H×W×3 RGB) and its sketches (uint8 H×W) into
    tensors or arrays. It is a pure function, such as `functools.partial(training_pair, size=256, seed=0)`, which
    white images are given to as well, and can be pickled where there are workers.
    num_sketches: how many of a sample's sketches it gets, drawn at random without repetition.

    A sample is what `make` returns and, as int, "index" (number of the image in the set), "label" and "group"
    (class label within the running number of the group, see SampleOrder), "position", and "skipped": 1 where
    the sample of this position could not be used and the next good one in the order stands in for it, else 0.

    skip_bad: do so; otherwise DamagedError names shard, key and what is wrong. A shard that could not be
    opened once counts as missing for the rest of this process. UsageError when the set has too few sketches,
    SketchforgeError when no sample is good.
    """

    def __init__(
        self, shards: ShardSet, order: SampleOrder, make: Make, num_sketches: int = 2, skip_bad: bool = False
    ) -> None:
        self.shards = shards.require(sketches=num_sketches, one_size=False)
        if list(order.shard_sizes) != shards.shard_sizes:
            raise ValueError("order: made for other shard sizes than this set's")
        pool = min(order.pool, len(shards.shard_sizes))
        if shards.cache and shards.cache.keep < pool:
            raise UsageError(
                f"the cache keeps {shards.cache.keep} shards, but the order uses {pool} at once; keep at "
                "least as many"
            )
        self.order, self.make, self.num_sketches, self.skip_bad = order, make, num_sketches, skip_bad
        self._open: dict[int, OpenShard] = {}
        self._damaged: dict[int, str] = {}  # shards that cannot be used at all, and why

    def __getitem__(self, position: int) -> dict[str, Any]:
        return next(self.samples([position]))

    def samples(self, positions: Iterable[int]) -> Iterator[dict[str, Any]]:
        """The samples of these positions, in turn, each read when it is asked for."""
        # What is drawn is drawn of all of them first: between two images it would take twice as long, the
        # processor's cache being full of pixels.
        drawn = [(position, self.sketches_of(position), self._at(position)) for position in positions]
        for position, sketches, found in drawn:
            stored, found = self._read(found, sketches)
            yield {**self.make(stored.image, stored.sketches, key=position), **_metadata(position, found)}

    def _at(self, position: int) -> _Found:
        index = self.order.index_of(position)
        return _Found(position, index, *self.order.place_of(index), *self.order.group_of(position))

    def _read(self, found: _Found, sketches: list[int]) -> tuple[StoredSample, _Found]:
        """The sample there, or the next good one in the order, and where it was found."""
        bad = set[int]()
        while True:
            try:
                return self._opened(found.shard).read(found.place, sketches), found
            except DamagedError as error:
                if not self.skip_bad:
                    raise
                # Nothing is remembered of samples: with other sketches drawn, this one may do.
                bad.add(found.index)
                if len(bad) == self.order.num_samples:
                    raise SketchforgeError(
                        f"{self.shards.source}: none of its {len(bad)} samples can be used; {error}"
                    ) from error
            found = self._at(found.position + 1)

    def sketches_of(self, position: int) -> list[int]:
        """The numbers of the sketches drawn for a position: only these are read, the others stay on the disk."""
        return choose(
            self.num_sketches, len(self.shards.styles), self.order.seed, "sample sketches", position
        )

    def blank(self) -> Mapping[str, Any] | None:
        """A sample of an image of nothing, to know shapes by; None where images have many sizes."""
        if (size := self.shards.side) is None:
            return None
        sketches = [np.full((size, size), 255, np.uint8) for _ in range(self.num_sketches)]
        made = self.make(np.full((size, size, 3), 255, np.uint8), sketches, key=0)
        return {**made, **_metadata(0, self._at(0))}

    def _opened(self, shard: int) -> OpenShard:
        if (damage := self._damaged.get(shard)) is not None:
            raise DamagedError(damage)
        try:
            opened = self._open.pop(shard, None) or OpenShard(self.shards, shard)
        except DamagedError as error:
            self._damaged[shard] = str(error)  # not fetched again for every sample of it
            raise
        while len(self._open) >= OPEN_SHARDS:
            self._open.pop(next(iter(self._open))).close()  # the one longest unused
        self._open[shard] = opened
        return opened

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}  # files stay with their process


class _Found(NamedTuple):
    """A sample by its position in the order."""

    position: int
    index: int
    shard: int
    place: int
    group: int
    label: int


def _metadata(position: int, found: _Found) -> dict[str, int]:
    """The numbers of a sample; it may have been found further on in the order."""
    skipped = int(found.position != position)
    return {
        "index": found.index, "label": found.label, "group": found.group, "position": position, "skipped": skipped
    }  # fmt: skip
