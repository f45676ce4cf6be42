"""The plan: which inputs go into which shard and batch. A pure function of the inputs and two numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sketchforge.images.sources import ImageSource


@dataclass(frozen=True)
class PlannedShard:
    """One shard's number and its inputs, in order."""

    number: int
    inputs: Sequence[ImageSource]


def plan_shards(images: Sequence[ImageSource], samples_per_shard: int) -> list[PlannedShard]:
    """Consecutive runs of `samples_per_shard` inputs, the last one shorter.

    Inputs that fail leave a gap in their shard and shift nothing, so the plan does not depend on outcomes.
    """
    starts = range(0, len(images), samples_per_shard)
    return [
        PlannedShard(number, images[start : start + samples_per_shard]) for number, start in enumerate(starts)
    ]


def plan_batches(shard: PlannedShard, batch_size: int) -> Iterator[Sequence[ImageSource]]:
    """A shard's inputs by the batches they are drawn in; a batch never crosses into the next shard."""
    for start in range(0, len(shard.inputs), batch_size):
        yield shard.inputs[start : start + batch_size]


def task_range(num_shards: int, task_id: int, num_tasks: int) -> range:
    """The numbers of the shards that task `task_id` of 0..num_tasks-1 makes: one after another, evenly shared."""
    return range(task_id * num_shards // num_tasks, (task_id + 1) * num_shards // num_tasks)
