"""The order of training samples: a pure function of the shards' sizes and a few numbers.

It has no state and no files. Position p of the endless sequence is the same sample whatever the number of
workers, and wherever a training is resumed. A cycle visits every sample `passes` times.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from sketchforge.utils.seeding import derive_seed, numpy_generator

T = TypeVar("T")

KEPT = 8  # permutations cached at a time; positions are requested nearly in sequence


class SampleOrder:
    """order[position] -> (number of the shard, index within it), for position 0, 1, 2 … without end.

    shard_sizes: samples per shard, 0 allowed. Every cycle permutes the shards anew. It then permutes the
    samples within pools of about `pool` neighbouring shards of that permutation, so that few shards are in
    use at once.

    group, passes: the rotating subsets of L_s_cls (Eq. 8, appendix A.1). A cycle's permutation is cut into
    ⌈N / group⌉ nearly equal groups. Each group is visited `passes` times, permuted anew each time, before the
    next. With group None, or at least all N samples, there is one group, which never changes.

    Raises ValueError for sizes that hold no sample and for numbers below 1.
    """

    def __init__(
        self, shard_sizes: Sequence[int], seed: int, group: int | None = None, passes: int = 1, pool: int = 8
    ) -> None:
        self.shard_sizes = np.asarray(shard_sizes, np.int64).reshape(-1)
        self.num_samples = int(self.shard_sizes.sum())
        if self.num_samples < 1 or self.shard_sizes.min() < 0:
            first_sizes = list(shard_sizes)[:10]
            raise ValueError(
                f"shard_sizes={first_sizes}: expected sizes of 0 and more, with a sample somewhere"
            )
        for name, number in (("group", group), ("passes", passes), ("pool", pool)):
            if number is not None and number < 1:
                raise ValueError(f"{name}={number}: expected 1 or more")
        self.seed, self.passes, self.pool = seed, passes, pool
        # A single group is permuted in pools, pass by pass: permuted as a whole it would need all shards at
        # once.
        self.num_groups = 1 if group is None else -(-self.num_samples // group)
        self._starts = [0, *np.cumsum(self.shard_sizes).tolist()]
        self._nonempty = np.flatnonzero(self.shard_sizes)
        self._cache: dict[tuple[object, ...], Any] = {}

    @property
    def cycle(self) -> int:
        """The number of positions in a cycle."""
        return self.num_samples * self.passes

    def __getitem__(self, position: int) -> tuple[int, int]:
        return self.place_of(self.index_of(position))

    def index_of(self, position: int) -> int:
        """The index of the sample at this position: samples are numbered through the shards in order."""
        split = self._split_position(position)
        if self.num_groups == 1:
            return self._find_sample(split.sweep, split.place)
        return int(self._list_members(split.cycle, split.group)[self._find_label(split)])

    def place_of(self, index: int) -> tuple[int, int]:
        """(number of the shard, index within it) of a sample by its index; IndexError beyond the last."""
        if not 0 <= index < self.num_samples:
            raise IndexError(f"sample {index} of {self.num_samples}")
        shard = bisect_right(self._starts, index) - 1
        return shard, index - self._starts[shard]

    def group_of(self, position: int) -> tuple[int, int]:
        """(running number of the group, class label of the sample within the group: 0 … size - 1).

        A group has the same labels in all its passes. A single group of all samples always has number 0, and
        each label is the sample's index: nothing changes that a classifier would have to learn again.
        """
        split = self._split_position(position)
        if self.num_groups == 1:
            return 0, self._find_sample(split.sweep, split.place)
        return split.cycle * self.num_groups + split.group, self._find_label(split)

    def _split_position(self, position: int) -> _SplitPosition:
        if position < 0:
            raise IndexError(f"position {position}: expected 0 or more")
        cycle, offset = divmod(position, self.cycle)
        # The last group g that begins at or before sample `rest // passes` of the cycle, at g·N // G.
        group = ((offset // self.passes + 1) * self.num_groups - 1) // self.num_samples
        span = self._get_span(group)
        pass_number, place = divmod(offset - span.start * self.passes, len(span))
        return _SplitPosition(cycle, group, pass_number, place, cycle * self.passes + pass_number)

    def _get_span(self, group: int) -> range:
        """The range of a group in the permutation of its cycle."""
        count, groups = self.num_samples, self.num_groups
        return range(group * count // groups, (group + 1) * count // groups)

    def _find_label(self, split: _SplitPosition) -> int:
        key = ("pass", split.cycle, split.group, split.number)

        def permute() -> np.ndarray:
            return numpy_generator(self.seed, "sample order", *key).permutation(
                len(self._get_span(split.group))
            )

        return int(self._get_or_compute(key, permute)[split.place])

    def _list_members(self, cycle: int, group: int) -> np.ndarray:
        """List the samples of a group by index, in the order of their labels."""
        span = self._get_span(group)
        return self._get_or_compute(
            ("group", cycle, group),
            lambda: np.array([self._find_sample(cycle, position) for position in span]),
        )

    def _find_sample(self, sweep: int, position: int) -> int:
        """Find the sample at a position of a sweep's permutation: of shards, then of samples in pools."""
        shards, ends = self._arrange_pools(sweep)
        pool_number = bisect_right(ends, position)
        start = ends[pool_number - 1] if pool_number else 0
        key = ("pool", sweep, pool_number)

        def permute() -> np.ndarray:
            cuts = _cut_evenly(len(shards), len(ends))
            pool_shards = shards[cuts[pool_number] : cuts[pool_number + 1]]
            samples = [np.arange(self._starts[shard], self._starts[shard + 1]) for shard in pool_shards]
            return numpy_generator(self.seed, "sample order", *key).permutation(np.concatenate(samples))

        return int(self._get_or_compute(key, permute)[position - start])

    def _arrange_pools(self, sweep: int) -> tuple[np.ndarray, list[int]]:
        """Permute the shards for a sweep; returns them, and after how many samples each pool ends."""
        key = ("shards", sweep)

        def permute() -> tuple[np.ndarray, list[int]]:
            shards = numpy_generator(self.seed, "sample order", *key).permutation(self._nonempty)
            cuts = _cut_evenly(len(shards), -(-len(shards) // self.pool))
            return shards, np.cumsum(np.add.reduceat(self.shard_sizes[shards], cuts[:-1])).tolist()

        return self._get_or_compute(key, permute)

    def _get_or_compute(self, key: tuple[object, ...], compute: Callable[[], T]) -> T:
        value: T | None = self._cache.pop(key, None)
        if value is None:
            value = compute()
            while len(self._cache) >= KEPT:
                del self._cache[next(iter(self._cache))]  # the one longest unused
        self._cache[key] = value
        return value


NO_GROUP = -1  # number and label of a sample that belongs to no group


class SubsetOrder:
    """Positions by turns of a rotating subset (the even ones) and of all samples (the odd ones).

    So half of every batch, however it is divided, is of the subset whose images are the classes of Eq. 8
    (appendix A.1), and half passes through all samples, N in 2N positions: whatever N, no sample waits for
    the subset that it is in.

    shard_sizes, seed, pool: as for `SampleOrder`. size: of the subset, at most: k of Eq. 8. passes: through
    the subset, before the next. Where there are at most `size` samples, all are the subset, and every
    position is in it. Raises ValueError as SampleOrder does.
    """

    def __init__(
        self, shard_sizes: Sequence[int], seed: int, size: int, passes: int = 100, pool: int = 8
    ) -> None:
        self._subset = SampleOrder(shard_sizes, seed, size, passes, pool)
        self._all = SampleOrder(shard_sizes, derive_seed(seed, "all samples"), pool=pool)
        self.rotates = self._subset.num_groups > 1
        self.shard_sizes, self.num_samples, self.seed = (
            self._subset.shard_sizes,
            self._subset.num_samples,
            seed,
        )
        self.pool = pool * (1 + self.rotates)

    def __getitem__(self, position: int) -> tuple[int, int]:
        return self.place_of(self.index_of(position))

    def index_of(self, position: int) -> int:
        """The index of the sample at this position, as in SampleOrder."""
        order, own_position = self._split(position)
        return order.index_of(own_position)

    def place_of(self, index: int) -> tuple[int, int]:
        """As SampleOrder.place_of."""
        return self._all.place_of(index)

    def group_of(self, position: int) -> tuple[int, int]:
        """(running number of the subset, class label of the sample); NO_GROUP twice for those of all."""
        order, own_position = self._split(position)
        return order.group_of(own_position) if order is self._subset else (NO_GROUP, NO_GROUP)

    def _split(self, position: int) -> tuple[SampleOrder, int]:
        if not self.rotates:
            return self._subset, position
        if position < 0:
            raise IndexError(f"position {position}: expected 0 or more")
        return self._all if position % 2 else self._subset, position // 2


def batch_positions(step: int, batch_size: int, rank: int = 0, world: int = 1) -> range:
    """The positions that rank `rank` of `world` trains on at `step`: ranks take batches in turn."""
    first = (step * world + rank) * batch_size
    return range(first, first + batch_size)


@dataclass(frozen=True)
class OrderedBatches:
    """The batches of one rank from `start_step` on: a `batch_sampler` for torch's DataLoader."""

    batch_size: int
    start_step: int
    num_steps: int
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start_step, self.start_step + self.num_steps):
            yield list(batch_positions(step, self.batch_size, self.rank, self.world))

    def __len__(self) -> int:
        return self.num_steps


class _SplitPosition(NamedTuple):
    """A position of the sequence, split into cycle, group, pass and place."""

    cycle: int
    group: int  # within the cycle
    number: int  # of the pass through the group
    place: int  # within the pass
    sweep: int  # passes through all samples before this one, where there is one group


def _cut_evenly(count: int, parts: int) -> list[int]:
    """Where to cut `count` items into nearly equal parts, both ends included: (10, 3) -> [0, 3, 6, 10]."""
    return [part * count // parts for part in range(parts + 1)]
