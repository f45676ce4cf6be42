"""Training samples by their position in the order of `order.py`.

The same order, seed and options give the same samples bit for bit, whoever asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.utils.data import Dataset

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.seeding import numpy_generator
from sketchforge.shards.order import SampleOrder
from sketchforge.shards.shard_set import DamagedError, OpenShard, ShardSet

OPEN_SHARDS = 64  # files that a process keeps open, with where their members lie

Make = Callable[..., Mapping[str, Any]]


class ShardDataset(Dataset):
    """Training samples by their position in the order: dataset[position] -> dict.

    make(image, sketches, key=position) turns an image (uint8 H×W×3 RGB) and its sketches (uint8 H×W) into
    tensors. It is a pure function, such as `functools.partial(training_pair, size=256, seed=0)`, and can be
    pickled where there are workers.
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
        # What is drawn first is read: the other sketches stay on the disk.
        draw = numpy_generator(self.order.seed, "sample sketches", position)
        sketches = [int(sketch) for sketch in draw.permutation(len(self.shards.styles))[: self.num_sketches]]
        taken, bad = position, set[int]()
        while True:
            index = self.order.index_of(taken)
            shard, place = self.order.place_of(index)
            try:
                stored = self._opened(shard).read(place, sketches)
                break
            except DamagedError as error:
                if not self.skip_bad:
                    raise
                # Nothing is remembered of samples: with other sketches drawn, this one may do.
                bad.add(index)
                if len(bad) == self.order.num_samples:
                    raise SketchforgeError(
                        f"{self.shards.source}: none of its {len(bad)} samples can be used; {error}"
                    ) from error
            taken += 1
        group, label = self.order.group_of(taken)
        about = {"index": index, "label": label, "group": group, "position": position}
        made = self.make(stored.image, stored.sketches, key=position)
        return {**made, **about, "skipped": int(taken != position)}

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
