"""Processes that die or hang cost the task they died of, and no other."""

import os
import time

import pytest
from conftest import lines, make_photos

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render import render
from sketchforge.workers import DIED, TIMED_OUT, WorkerLost, worker_pool


def test_what_a_function_raises_comes_through():
    with worker_pool(1, 60) as pool, pytest.raises(ValueError):
        pool.result(pool.submit(int, "x"))


def test_only_the_task_that_kills_its_process_is_lost():
    with worker_pool(2, 60) as pool:
        tasks = [pool.submit(os._exit, 3) if number == 2 else pool.submit(abs, -number) for number in range(6)]
        for number, task in enumerate(tasks):
            if number == 2:
                with pytest.raises(WorkerLost) as lost:
                    pool.result(task)
                assert lost.value.reason == DIED
            else:
                assert pool.result(task) == number
        assert pool.result(pool.submit(abs, -7)) == 7, "the pool goes on"


def test_only_the_task_that_hangs_is_lost():
    with worker_pool(2, 0.7) as pool:
        # The first one is there before the clock runs: processes take a while to start.
        first = pool.submit(abs, -1)
        while not first.done():
            pass
        hangs, other = pool.submit(time.sleep, 3600), pool.submit(abs, -2)
        with pytest.raises(WorkerLost) as lost:
            pool.result(hangs)
        assert lost.value.reason == TIMED_OUT
        assert pool.result(other) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_an_image_that_hangs_is_named_and_the_others_come_out_well(tmp_path):
    make_photos(tmp_path, 5)
    os.mkfifo(tmp_path / "pipe.jpg")  # nobody will ever write to it, as on a network drive that is gone
    (tmp_path / "all.txt").write_text("p000.jpg\npipe.jpg\np001.jpg\np002.png\n")
    options = RenderOptions(
        shards=tmp_path / "out", images=tmp_path / "all.txt", method="canny", size=40, workers=2, timeout=1.5
    )
    assert render(options).outcomes == {"ok": 3, TIMED_OUT: 1}
    assert [line["reason"] for line in lines(options.shards)] == [None, TIMED_OUT, None, None]


def test_a_few_bad_images_among_many_are_not_taken_for_a_bad_machine():
    with worker_pool(2, 60) as pool:
        for number in range(4):
            with pytest.raises(WorkerLost):
                pool.result(pool.submit(os._exit, 1))
            assert pool.result(pool.submit(abs, -number)) == number


def test_a_machine_that_kills_every_process_is_one_error():
    with worker_pool(1, 60) as pool:
        tasks = [pool.submit(os._exit, 9) for _ in range(3)]
        for task in tasks[:2]:
            with pytest.raises(WorkerLost):
                pool.result(task)
        with pytest.raises(SketchforgeError, match="keep being lost .worker died."):
            pool.result(tasks[2])
