"""Processes that die or hang cost the task they died of, and no other."""

import os
import select
import signal
import subprocess
import sys
import time

import pytest
from conftest import environment, lines, make_photos

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.utils import worker_pool as workers
from sketchforge.utils.worker_pool import DIED, TIMED_OUT, WorkerLost, worker_pool

PROCESS_GROUPS = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def start_a_helper_and(how: str, note: str) -> None:
    """What a library may do behind our back: start a program, which notes its number, and then hang or die."""
    subprocess.Popen(["sh", "-c", f"echo $$ > {note}.new; mv {note}.new {note}; exec sleep 3600"])
    while not os.path.exists(note):
        pass
    if how == "hang":
        time.sleep(3600)
    if how == "die":
        os._exit(3)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    """Whether a process ends; being killed takes the system a moment."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor):
        return bool(select.select([descriptor], [], [], 10)[0])


@PROCESS_GROUPS
@pytest.mark.parametrize("how", ["hang", "die", "end"])
def test_nothing_that_a_worker_started_outlives_it(tmp_path, how):
    note = tmp_path / "pid"
    with worker_pool(1, 2 if how == "hang" else 60) as pool:
        pool.result(pool.submit(abs, -1))
        task = pool.submit(start_a_helper_and, how, str(note))
        if how == "end":
            pool.result(task)
            assert is_running(int(note.read_text()))
        else:
            with pytest.raises(WorkerLost):
                pool.result(task)
    assert gone(int(note.read_text()))


@PROCESS_GROUPS
def test_a_pool_that_is_left_while_its_workers_hang_is_gone_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "GRACE", 0.2)
    notes = [tmp_path / str(number) for number in range(2)]
    with pytest.raises(KeyboardInterrupt), worker_pool(2, 3600) as pool:
        for note in notes:
            pool.submit(start_a_helper_and, "hang", str(note))
        while not all(note.exists() for note in notes):
            pass
        processes = [process.pid for process in pool._pool._processes.values()]
        raise KeyboardInterrupt
    assert all(map(gone, [*processes, *(int(note.read_text()) for note in notes)]))


HUNG = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_workers
from sketchforge.utils.worker_pool import worker_pool
if __name__ == "__main__":
    with worker_pool(1, 3600) as pool:
        task = pool.submit(test_workers.start_a_helper_and, "hang", sys.argv[2])
        while not os.path.exists(sys.argv[2]):
            pass
        print(*[process.pid for process in pool._pool._processes.values()], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@PROCESS_GROUPS
def test_nothing_outlives_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "hung.py"
    script.write_text(HUNG)
    command = [sys.executable, str(script), os.path.dirname(__file__), str(tmp_path / "pid")]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert all(map(gone, [int(done.stdout), int((tmp_path / "pid").read_text())]))


def test_what_a_function_raises_comes_through():
    with worker_pool(1, 60) as pool, pytest.raises(ValueError):
        pool.result(pool.submit(int, "x"))


def test_only_the_task_that_kills_its_process_is_lost():
    with worker_pool(2, 60) as pool:
        tasks = [
            pool.submit(os._exit, 3) if number == 2 else pool.submit(abs, -number) for number in range(6)
        ]
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
