"""Batches in memory that is used again: never while anybody holds what lies in it."""

import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from sketchforge.data.batch_memory import ALIGNMENT, BatchPool, PackedBatch, pack, packed_bytes

pytestmark = pytest.mark.skipif(not BatchPool.possible(), reason="needs memfd_create, which Linux has")


def samples(level: int, count: int = 3):
    images = [np.full((2, 5), level + row, np.uint8) for row in range(count)]
    return [
        {"image": image, "half": torch.tensor([row / 2]), "number": row, "name": "x"}
        for row, image in enumerate(images)
    ]


def filled(pool: BatchPool, level: int) -> PackedBatch:
    """A batch as a worker fills it, and as the process that trains gets it."""
    place = pool.take()
    slot = None if place is None else pool.memory.slot(place)
    return pickle.loads(ForkingPickler.dumps(pack(samples(level), 3, slot)))


def pool_for_three(slots: int) -> BatchPool:
    return BatchPool(slots, packed_bytes(samples(0)[0], 3))


def test_a_batch_is_what_its_samples_are():
    batch = filled(pool_for_three(1), 7).batch()
    assert batch["image"].tolist() == [[[7 + row] * 5] * 2 for row in range(3)]
    assert batch["half"].tolist() == [[0], [0.5], [1]]
    assert batch["half"].dtype == torch.float32
    assert batch["number"].tolist() == [0, 1, 2]
    assert batch["number"].dtype == torch.int64
    assert batch["name"] == ["x"] * 3
    starts = [batch[name].data_ptr() for name in ("image", "half", "number")]
    assert all(start % ALIGNMENT == starts[0] % ALIGNMENT for start in starts)


def test_it_leaves_a_worker_without_its_contents():
    pool = BatchPool(1, 10_000_000)
    large = [{"image": np.zeros(1_000_000, np.uint8)}] * 3
    sent = ForkingPickler.dumps(pack(large, 3, pool.memory.slot(pool.take())))
    assert len(sent) < 2000


def test_a_place_is_free_when_the_last_tensor_is_gone():
    pool = pool_for_three(1)
    batch = filled(pool, 1).batch()
    assert pool.take() is None
    kept = batch["image"][1:2]  # a view of one of its tensors
    del batch
    assert pool.take() is None
    assert kept.tolist() == [[[2] * 5] * 2]
    del kept
    assert pool.take() == 0


def test_what_is_held_is_not_written_to():
    pool = pool_for_three(2)
    held = [filled(pool, 10 * number).batch() for number in range(4)]  # two more than there are places
    for number, batch in enumerate(held):
        assert batch["image"][0, 0, 0] == 10 * number
    addresses = {batch["image"].data_ptr() for batch in held}
    del batch, held[0]
    again = filled(pool, 90).batch()
    assert again["image"].data_ptr() in addresses
    assert [int(batch["image"][0, 0, 0]) for batch in held] == [10, 20, 30]


def test_larger_batches_than_foreseen_have_memory_of_their_own():
    pool = BatchPool(1, 1)  # a page
    large = [{"image": np.full(5000, row, np.uint8)} for row in range(3)]
    packed = pack(large, 3, pool.memory.slot(0))
    assert packed.slot is None
    assert packed.batch()["image"][:, -1].tolist() == [0, 1, 2]


def test_no_more_than_one_sample_at_a_time_is_held():
    """Decoded images of a whole batch at once would have the heap grow and shrink with every one."""
    alive = []

    class Image(np.ndarray):
        def __del__(self):
            alive.remove(id(self))

    def each():
        for row in range(5):
            assert len(alive) <= 1  # the one before this is about to be let go
            image = np.full(4, row, np.uint8).view(Image)
            alive.append(id(image))
            sample = {"image": image}
            del image
            yield sample
            del sample

    assert pack(each(), 5).batch()["image"][:, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_batch_of_no_samples_is_refused():
    with pytest.raises(ValueError, match="no samples: expected a batch of 1 or more"):
        pack([], 1)
