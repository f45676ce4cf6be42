"""Training crops are a pure function of their position, and every image has its turn."""

import os
import signal
import threading

import numpy as np
import pytest
import torch

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import ImageError
from trainers.crops import CropSampler, Prefetch


def plain(level: int, height: int = 20, width: int = 30):
    """A reader of an image in one shade, by which its crops are known again."""
    return lambda: np.full((height, width, 3), level, np.uint8)


def ramp(height: int = 60, width: int = 90):
    """A reader of an image whose red says the column and whose green says the row."""
    rows, columns = np.mgrid[0:height, 0:width]
    return lambda: np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8)


def broken() -> np.ndarray:
    raise ImageError("truncated")


def shades(sampler: CropSampler, positions: range) -> list[int]:
    return [int(sampler.crop(position)[0, 0, 0]) for position in positions]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_image_once_per_pass(count):
    sampler = CropSampler([plain(level) for level in range(count)], 8, 0, "test")
    passes = [shades(sampler, range(epoch * count, (epoch + 1) * count)) for epoch in range(20)]
    assert all(sorted(shown) == list(range(count)) for shown in passes)
    if count == 7:
        assert len({tuple(shown) for shown in passes}) > 15  # shuffled anew in every pass


def test_a_crop_depends_on_its_position_only():
    def sampler() -> CropSampler:
        return CropSampler([ramp(), ramp(50, 40), ramp(33, 77)], 16, 3, "test")

    forwards, backwards = sampler(), sampler()
    crops = [forwards.crop(position) for position in range(12)]
    for position in reversed(range(12)):
        np.testing.assert_array_equal(backwards.crop(position), crops[position])


def test_every_pass_cuts_anew():
    sampler = CropSampler([ramp()], 16, 3, "test")
    assert len({sampler.crop(position).tobytes() for position in range(30)}) == 30


def test_batches_are_consecutive_crops():
    sampler = CropSampler([ramp(), ramp(50, 40)], 16, 3, "test")
    batch = sampler.batch(2, 3)
    assert batch.shape == (3, 3, 16, 16)
    assert batch.dtype == torch.float32
    assert batch.min() >= -1
    assert batch.max() <= 1
    for i in range(3):
        expected = torch.from_numpy(sampler.crop(6 + i)).permute(2, 0, 1).float() / 127.5 - 1
        torch.testing.assert_close(batch[i], expected)


@pytest.mark.parametrize("change", [{"seed": 4}, {"purpose": "other"}])
def test_seed_and_purpose_change_the_crops(change):
    options = {"size": 16, "seed": 3, "purpose": "test"}
    one, other = (CropSampler([ramp(), ramp(50, 40)], **chosen) for chosen in (options, options | change))
    assert any((one.crop(position) != other.crop(position)).any() for position in range(4))


@pytest.mark.parametrize("zoom", [1.0, 1.5, 3.0])
def test_crops_span_a_share_of_the_shorter_side(zoom):
    size, height, width = 64, 60, 90
    sampler = CropSampler([ramp(height, width)], size, 0, "test", zoom)
    spans, mirrored = [], []
    for position in range(80):
        crop = sampler.crop(position).astype(int)
        columns, rows = crop[size // 2, :, 0], crop[:, size // 2, 1]
        # Over n pixels the ramp rises by n - 1; resampling may round by a step at either end.
        assert abs(np.ptp(columns) - np.ptp(rows)) <= 2  # square
        spans.append(int(np.ptp(rows)) + 1)
        mirrored.append(columns[0] > columns[-1])
    assert height / zoom - 3 <= min(spans)
    assert max(spans) <= height
    assert max(spans) - min(spans) >= 0.7 * (height - height / zoom) - 3  # the whole range is used
    assert 20 < sum(mirrored) < 60


def test_crops_reach_every_border():
    sampler = CropSampler([ramp(40, 60)], 32, 0, "test", 1.2)
    crops = np.stack([sampler.crop(position) for position in range(120)])
    assert crops[..., 0].min() <= 1
    assert crops[..., 0].max() >= 58
    assert crops[..., 1].min() <= 1
    assert crops[..., 1].max() >= 38


@pytest.mark.parametrize("side", [8, 9])
def test_the_smallest_images_are_enlarged(side):
    assert CropSampler([plain(5, side, side)], 32, 0, "test", 3.0).crop(0).shape == (32, 32, 3)


def test_images_are_decoded_once():
    calls = []

    def reader() -> np.ndarray:
        calls.append(1)
        return plain(5)()

    sampler = CropSampler([reader], 8, 0, "test")
    for position in range(5):
        sampler.crop(position)
    assert len(calls) == 1


def test_what_does_not_fit_the_cache_is_decoded_again_and_equal(monkeypatch):
    readers = [ramp(), ramp(50, 40), ramp(33, 77)]
    kept = CropSampler(readers, 16, 0, "test")
    monkeypatch.setattr("trainers.crops.CACHE_BYTES", 50 * 40 * 3 + 1)
    fresh = CropSampler(readers, 16, 0, "test")
    for position in range(9):
        np.testing.assert_array_equal(kept.crop(position), fresh.crop(position))
    assert sum(image.nbytes for image in fresh._cache.values()) <= 50 * 40 * 3 + 1


def test_unreadable_images_are_replaced_by_the_next_readable_one():
    readers = [plain(0), broken, broken, plain(3), broken]
    sampler = CropSampler(readers, 8, 0, "test")
    assert sorted(shades(sampler, range(5))) == [0, 0, 3, 3, 3]  # 1 and 2 become 3, 4 becomes 0
    assert sampler.unreadable == {1, 2, 4}
    later = CropSampler(readers, 8, 0, "test")  # what was read before does not matter
    assert [shades(later, range(p, p + 1))[0] for p in (4, 2, 0)] == [
        shades(sampler, range(p, p + 1))[0] for p in (4, 2, 0)
    ]


def test_no_readable_image_is_an_error():
    with pytest.raises(SketchforgeError, match="none of 2 images"):
        CropSampler([broken, broken], 8, 0, "test").crop(0)


def test_other_errors_of_a_reader_are_not_swallowed():
    def defect() -> np.ndarray:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        CropSampler([defect, plain(1)], 8, 0, "test").batch(0, 2)


def test_prefetch_gives_what_was_asked_for_whatever_was_foretold():
    batches = Prefetch(lambda step, count: (step, count))
    asked = [(0, 4), (1, 4), (2, 4), (7, 2), (8, 2), (3, 4)]
    assert [batches.get(this, (this[0] + 1, this[1])) for this in asked] == asked
    batches.close()


def test_prefetch_works_ahead_in_another_thread():
    made: dict[int, int] = {}
    ready = threading.Event()

    def make(step: int) -> int:
        made[step] = threading.get_ident()
        if step == 1:
            ready.set()
        return step

    batches = Prefetch(make)
    batches.get((0,), (1,))
    assert ready.wait(5)
    assert made[1] != threading.get_ident()
    batches.close()


def test_prefetch_makes_what_was_foretold_once():
    made = []
    batches = Prefetch(lambda step: made.append(step))
    for step in range(4):
        batches.get((step,), (step + 1,))
    batches.close()
    assert made[:4] == [0, 1, 2, 3]


def test_prefetch_reports_errors_when_the_batch_is_due():
    def make(step: int) -> int:
        if step == 1:
            raise RuntimeError("a bug")
        return step

    batches = Prefetch(make)
    assert batches.get((0,), (1,)) == 0
    with pytest.raises(RuntimeError, match="a bug"):
        batches.get((1,), (2,))
    batches.close()


def test_a_signal_ends_the_wait_for_a_read_that_hangs():
    asked, ended, over = (threading.Event() for _ in range(3))
    in_time = []

    def make(step: int) -> None:
        if step == 1:
            asked.wait()
            os.kill(os.getpid(), signal.SIGINT)
            in_time.append(ended.wait(20))
            over.set()

    batches = Prefetch(make)
    batches.get((0,), (1,))
    with pytest.raises(KeyboardInterrupt):
        asked.set()
        batches.get((1,), (2,))
    ended.set()
    batches.close()
    over.wait()
    assert in_time == [True]
