"""Computations side by side on threads of their own."""

import threading

import torch

from sketchforge.utils.device import thread_pool


def test_calls_share_so_many_threads_each_with_one_of_torchs():
    before = torch.get_num_threads()
    try:
        together = threading.Barrier(3, timeout=60)

        def look(_: int) -> tuple[str, int]:
            together.wait()  # passes only if three calls run at once
            torch.ones(300, 300) @ torch.ones(300, 300)
            return threading.current_thread().name, torch.get_num_threads()

        found = list(thread_pool(3).map(look, range(6)))
        assert {count for _, count in found} == {1}
        assert len({name for name, _ in found}) == 3
        assert torch.get_num_threads() == 3, "the caller's own number is left alone"
    finally:
        torch.set_num_threads(before)


def test_results_come_in_order():
    assert list(thread_pool(1).map(lambda a, b: a - b, [5, 7, 9], [1, 2, 3])) == [4, 5, 6]
