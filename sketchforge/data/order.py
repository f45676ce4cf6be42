"""The order in which samples are trained on: a pure function of the shards' sizes and a few numbers.

No state and no files: whatever the number of workers, and wherever a training is taken up again, position p
of the endless sequence is the same sample. A cycle visits every sample `passes` times.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sketchforge.utils.seeding import numpy_generator

KEPT = 8  # permutations remembered at a time; positions are asked for nearly in sequence


class SampleOrder:
    """order[position] -> (number of the shard, place in it), position 0, 1, 2 … without end.

    shard_sizes: samples per shard, 0 allowed. Shards are permuted anew in every cycle, and samples within
    pools of about `pool` neighbours of that permutation, so that few shards are in use at once.

    group, passes: the rotating subsets of L_s_cls (Eq. 8, appendix A.1). A cycle's permutation is cut into
    ⌈N / group⌉ nearly equal groups; each is gone through `passes` times, permuted anew each time, before the
    next. With None, or `group` of all N samples and more, there is one group, which never changes.

    Raises ValueError for sizes that hold no sample and for numbers below 1.
    """

    def __init__(
        self, shard_sizes: Sequence[int], seed: int, group: int | None = None, passes: int = 1, pool: int = 8
    ) -> None:
        self.shard_sizes = np.asarray(shard_sizes, np.int64).reshape(-1)
        self.num_samples = int(self.shard_sizes.sum())
        if self.num_samples < 1 or self.shard_sizes.min() < 0:
            found = list(shard_sizes)[:10]
            raise ValueError(f"shard_sizes={found}: expected sizes of 0 and more, with a sample somewhere")
        for name, number in (("group", group), ("passes", passes), ("pool", pool)):
            if number is not None and number < 1:
                raise ValueError(f"{name}={number}: expected 1 or more")
        self.seed, self.passes, self.pool = seed, passes, pool
        # One group of all is permuted in pools, pass by pass: as a whole it would need all shards at once.
        self.num_groups = 1 if group is None else -(-self.num_samples // group)
        self._starts = [0, *np.cumsum(self.shard_sizes).tolist()]
        self._filled = np.flatnonzero(self.shard_sizes)
        self._memory: dict[tuple, Any] = {}

    @property
    def cycle(self) -> int:
        """Positions in a cycle."""
        return self.num_samples * self.passes

    def __getitem__(self, position: int) -> tuple[int, int]:
        return self.place_of(self.index_of(position))

    def index_of(self, position: int) -> int:
        """The number of the sample at this position: samples are counted through the shards in order."""
        turn = self._turn(position)
        if self.num_groups == 1:
            return self._in_pools(turn.sweep, turn.place)
        return int(self._members(turn.cycle, turn.group)[self._label(turn)])

    def place_of(self, index: int) -> tuple[int, int]:
        """(number of the shard, place in it) of a sample by its number; IndexError beyond the last."""
        if not 0 <= index < self.num_samples:
            raise IndexError(f"sample {index} of {self.num_samples}")
        shard = bisect_right(self._starts, index) - 1
        return shard, index - self._starts[shard]

    def group_of(self, position: int) -> tuple[int, int]:
        """(running number of the group, class label of the sample: its place among the group's 0 … size - 1).

        Labels hold as long as the group does, whatever the pass. The one group of all samples has number 0
        for ever and labels that are the samples' own numbers: nothing changes that a classifier would have to
        learn anew.
        """
        turn = self._turn(position)
        if self.num_groups == 1:
            return 0, self._in_pools(turn.sweep, turn.place)
        return turn.cycle * self.num_groups + turn.group, self._label(turn)

    def _turn(self, position: int) -> _Turn:
        if position < 0:
            raise IndexError(f"position {position}: expected 0 or more")
        cycle, rest = divmod(position, self.cycle)
        # The last group g that begins at or before sample `rest // passes` of the cycle, at g·N // G.
        group = ((rest // self.passes + 1) * self.num_groups - 1) // self.num_samples
        span = self._span(group)
        number, place = divmod(rest - span.start * self.passes, len(span))
        return _Turn(cycle, group, number, place, cycle * self.passes + number)

    def _span(self, group: int) -> range:
        """Where a group lies in the permutation of its cycle."""
        count, groups = self.num_samples, self.num_groups
        return range(group * count // groups, (group + 1) * count // groups)

    def _label(self, turn: _Turn) -> int:
        key = ("pass", turn.cycle, turn.group, turn.number)

        def permuted() -> np.ndarray:
            return numpy_generator(self.seed, "sample order", *key).permutation(len(self._span(turn.group)))

        return int(self._kept(key, permuted)[turn.place])

    def _members(self, cycle: int, group: int) -> np.ndarray:
        """The samples of a group by number, in the order of their labels."""
        span = self._span(group)
        return self._kept(
            ("group", cycle, group), lambda: np.array([self._in_pools(cycle, place) for place in span])
        )

    def _in_pools(self, sweep: int, place: int) -> int:
        """The sample at a place of the sweep's permutation: of shards, then of samples within pools."""
        shards, ends = self._pools(sweep)
        number = bisect_right(ends, place)
        start = ends[number - 1] if number else 0
        key = ("pool", sweep, number)

        def permuted() -> np.ndarray:
            cuts = _cuts(len(shards), len(ends))
            here = shards[cuts[number] : cuts[number + 1]]
            samples = [np.arange(self._starts[shard], self._starts[shard + 1]) for shard in here]
            return numpy_generator(self.seed, "sample order", *key).permutation(np.concatenate(samples))

        return int(self._kept(key, permuted)[place - start])

    def _pools(self, sweep: int) -> tuple[np.ndarray, list[int]]:
        """The shards in the sweep's order, and after how many samples each pool ends."""
        key = ("shards", sweep)

        def permuted() -> tuple[np.ndarray, list[int]]:
            shards = numpy_generator(self.seed, "sample order", *key).permutation(self._filled)
            cuts = _cuts(len(shards), -(-len(shards) // self.pool))
            return shards, np.cumsum(np.add.reduceat(self.shard_sizes[shards], cuts[:-1])).tolist()

        return self._kept(key, permuted)

    def _kept(self, key: tuple, make: Callable[[], Any]) -> Any:
        made = self._memory.pop(key, None)
        if made is None:
            made = make()
            while len(self._memory) >= KEPT:
                del self._memory[next(iter(self._memory))]  # the one longest unused
        self._memory[key] = made
        return made


def batch_positions(step: int, batch_size: int, rank: int = 0, world: int = 1) -> range:
    """The positions that rank `rank` of `world` trains on at `step`: batches are dealt out in turn."""
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


class _Turn(NamedTuple):
    """A position taken apart."""

    cycle: int
    group: int  # within the cycle
    number: int  # of the pass through the group
    place: int  # in the pass
    sweep: int  # passes through all samples before this one, where there is one group


def _cuts(count: int, parts: int) -> list[int]:
    """Where to cut `count` things into nearly equal parts: the ends included."""
    return [part * count // parts for part in range(parts + 1)]
