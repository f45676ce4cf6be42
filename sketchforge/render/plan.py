"""The plan of a rendering: which inputs go into which shard and batch. A pure function of inputs and options.

It knows no weights, no threads and no output folder: `render.job` and `render.resume` handle those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sketchforge.errors import UsageError
from sketchforge.images.sources import (
    FoundImages,
    ImageSource,
    ImageTable,
    arrange,
    builtin_images,
    search_images,
)
from sketchforge.images.sources.frames import expand_frames
from sketchforge.options import RenderOptions
from sketchforge.render.labels import Labels, read_labels
from sketchforge.render.masks import add_masks, mask_folder
from sketchforge.shards.splits import parse_splits, split_of
from sketchforge.utils.device import default_threads
from sketchforge.utils.progress import Progress

if TYPE_CHECKING:
    from sketchforge.utils.worker_pool import WorkerPool


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """One shard's number and its inputs, in order."""

    number: int
    inputs: ImageTable


@dataclass(frozen=True)
class RenderPlan:
    """All inputs in order, and the shards that they go into."""

    options: RenderOptions  # as given, but with the `samples_per_shard` that is used
    images: ImageTable
    shards: Sequence[PlannedShard]
    passed_over: Mapping[str, int]  # what was found beside the images and is not read: kind -> count
    splits: Sequence[Mapping[str, object]] = ()  # {"name", "shards"} of each, in the order of the shards
    labels: Labels | None = None

    @property
    def captioned(self) -> bool:
        """Whether any input has a caption: then all samples have a text."""
        return self.images.captioned

    @property
    def mine(self) -> Sequence[PlannedShard]:
        """The shards of this task; with a single task, all of them."""
        numbers = task_range(len(self.shards), self.options.task_id, self.options.num_tasks)
        return self.shards[numbers.start : numbers.stop]


def plan_render(options: RenderOptions, progress: Progress | None = None) -> RenderPlan:
    """Find the inputs and assign them to shards; `progress` counts the files that are read for it.

    Raises UsageError for no inputs, or a task number out of range.
    """
    if not 0 <= options.task_id < options.num_tasks:
        raise UsageError(
            f"--task-id {options.task_id}: with --num-tasks {options.num_tasks} expected 0 to "
            f"{options.num_tasks - 1}"
        )
    if options.overwrite and options.num_tasks > 1:
        raise UsageError(
            "--overwrite would remove what other tasks have made; choose a new folder, or run once without "
            "--num-tasks"
        )
    found = (
        FoundImages(builtin_images(), {})
        if options.images is None
        else search_images(options.images, options.prefix_keys, progress, options.frames is not None)
    )
    images = found.images
    if options.frames is not None:
        images = expand_frames(images, options.frames, partial(_open_pool, options, len(images)), progress)
    images = arrange(images, options.shuffle_seed, options.limit)
    labels = None if options.labels is None else read_labels(options.labels, images)
    if (folder := mask_folder(options.masks)) is not None:
        images = add_masks(images, folder)
    samples_per_shard = options.samples_per_shard or default_samples_per_shard(len(images))
    options = replace(options, samples_per_shard=samples_per_shard)
    if options.split is None:
        shards, splits = plan_shards(images, samples_per_shard), list[dict[str, object]]()
    else:
        images, shards, splits = plan_splits(images, samples_per_shard, parse_splits(options.split))
    return RenderPlan(options, images, shards, found.passed_over, splits, labels)


def _open_pool(options: RenderOptions, num_files: int) -> AbstractContextManager[WorkerPool]:
    from sketchforge.utils.worker_pool import worker_pool

    return worker_pool(max(1, min(options.workers or default_threads(), num_files)), options.timeout)


def default_samples_per_shard(num_images: int) -> int:
    """Images per shard where none are asked for: at least 16 shards, or one per image, of 1,000 at most.

    Shards are what readers share among processes, and what an interrupted rendering keeps.
    """
    return max(1, min(1000, num_images // 16))


def plan_shards(images: ImageTable, samples_per_shard: int) -> list[PlannedShard]:
    """Cut the inputs into shards of `samples_per_shard` consecutive ones; the last may be shorter.

    An input that fails leaves a gap in its shard and shifts nothing, so the plan does not depend on outcomes.
    """
    starts = range(0, len(images), samples_per_shard)
    return [
        PlannedShard(number, images[start : start + samples_per_shard]) for number, start in enumerate(starts)
    ]


def plan_splits(
    images: ImageTable, samples_per_shard: int, shares: Mapping[str, float]
) -> tuple[ImageTable, list[PlannedShard], list[dict[str, object]]]:
    """Sort the inputs by their splits and cut each split into shards of its own.

    Returns the inputs in the order of the shards, the shards, and {"name", "shards"} of each split.
    """
    numbers = {name: number for number, name in enumerate(shares)}
    members = (numbers[split_of(key, shares)] for key, _ in images.names())
    split_numbers = np.fromiter(members, np.uint8 if len(shares) <= 256 else np.int64, len(images))
    images = images.take(np.argsort(split_numbers, kind="stable"))
    shards: list[PlannedShard] = []
    splits: list[dict[str, object]] = []
    start = 0
    for name, count in zip(shares, np.bincount(split_numbers, minlength=len(shares)).tolist(), strict=True):
        planned = plan_shards(images[start : start + count], samples_per_shard)
        shards += [replace(shard, number=len(shards) + shard.number) for shard in planned]
        splits.append({"name": name, "shards": len(planned)})
        start += count
    return images, shards, splits


def plan_batches(shard: PlannedShard, batch_size: int) -> Iterator[Sequence[ImageSource]]:
    """Yield a shard's inputs in the batches that are drawn; a batch never crosses into the next shard."""
    for start in range(0, len(shard.inputs), batch_size):
        yield shard.inputs[start : start + batch_size]


def task_range(num_shards: int, task_id: int, num_tasks: int) -> range:
    """The numbers of the shards that task `task_id` of 0..num_tasks-1 makes: consecutive, evenly shared."""
    return range(task_id * num_shards // num_tasks, (task_id + 1) * num_shards // num_tasks)
