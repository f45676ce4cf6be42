"""The batches of an image model's training: from shards to the device, in micro-batches."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sketchforge.data.augment import pair_pixels, stored_pair
from sketchforge.data.augment_gpu import PairBatches
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.loader import batches
from sketchforge.data.order import SampleOrder, SubsetOrder
from sketchforge.data.prefetch import DevicePrefetch, move_to_device
from sketchforge.utils.device import usable_cores
from trainers.image_models.plan import NUM_SKETCHES, ImagePlan


@dataclass(frozen=True)
class Subset:
    """Half of every batch is of `size` images for `passes` through them; see `SubsetOrder`."""

    size: int
    passes: int


def open_micro_batches(
    plan: ImagePlan[Any], start: int, subset: Subset | None, masks: bool = False, classes: bool = False
) -> DevicePrefetch:
    """This rank's micro-batches from step `start` on; a step takes as many as --accumulate says.

    subset: None: all of every batch is of all images. masks, classes: whether each image's mask and class come with
    it.
    """
    options, recipe, ranks = plan.options, plan.recipe, plan.ranks
    on_gpu = plan.device.type == "cuda"
    # A GPU augments at hardly any cost; on the CPU this work would keep three of four reading processes busy.
    load_pair = stored_pair if on_gpu else partial(pair_pixels, size=recipe.size, seed=options.seed)
    order: SampleOrder | SubsetOrder = SampleOrder(plan.shards.shard_sizes, options.seed)
    if subset is not None:
        order = SubsetOrder(plan.shards.shard_sizes, options.seed, subset.size, subset.passes)
    dataset = ShardDataset(
        plan.shards, order, load_pair, NUM_SKETCHES, options.skip_bad_shards, options.redraw, masks, classes
    )
    num_workers = options.workers
    if num_workers is None:
        num_workers = 1
        if plan.device.type != "cpu":
            num_workers = min(8, max(usable_cores() // ranks.local_world_size - 1, 1))
    loader = batches(
        dataset,
        recipe.batch_size // (options.accumulate * ranks.world_size),
        start * options.accumulate,
        (recipe.steps - start) * options.accumulate,
        ranks.rank,
        ranks.world_size,
        workers=num_workers,
        pin_memory=on_gpu,
    )
    return DevicePrefetch(
        loader, plan.device, PairBatches(recipe.size, options.seed) if on_gpu else move_to_device
    )


class AccumulatedBatches:
    """Batches as lists of `num_micro_batches` micro-batches; `skipped` counts the unreadable samples."""

    def __init__(self, micro_batches: Iterable[dict[str, Any]], num_micro_batches: int) -> None:
        self._micro_batches, self._num_micro_batches = micro_batches, num_micro_batches
        self.skipped = 0

    def __iter__(self) -> Generator[list[dict[str, Any]], None, None]:
        batch = []
        for micro_batch in self._micro_batches:
            self.skipped += int(micro_batch["skipped"].sum())
            batch.append(micro_batch)
            if len(batch) == self._num_micro_batches:
                yield batch
                batch = []
