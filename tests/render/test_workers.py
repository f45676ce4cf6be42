"""Processes that die or hang cost the task they died of, and no other."""

import multiprocessing
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest

from sketchforge.errors import SketchforgeError
from sketchforge.options import RenderOptions
from sketchforge.render import pipeline
from sketchforge.render.render import render
from sketchforge.utils import worker_pool as workers
from sketchforge.utils.worker_pool import DIED, TIMED_OUT, WorkerLost, worker_pool
from tests.helpers.bare_workers import WORK, work_without_cv2
from tests.helpers.commands import ROOT, environment
from tests.helpers.fatal_images import prepare_unless_fatal
from tests.helpers.folders import lines
from tests.helpers.photos import make_photos

pytestmark = pytest.mark.usefixtures("worker_processes", "_bare_workers")
PROCESS_GROUPS = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


@pytest.fixture
def _bare_workers(monkeypatch):
    monkeypatch.setattr(workers, "_work", work_without_cv2)


def start_a_helper_and(how: str, note: str) -> None:
    """What a library may do behind our back: start a program, which notes its number, and then hang or die."""
    subprocess.Popen(["sh", "-c", 'echo $$ > "$0.new"; mv "$0.new" "$0"; exec sleep 3600', note])
    while not os.path.exists(note):
        time.sleep(0.01)
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
    # Seconds in which a busy machine starts the helper, too.
    with worker_pool(1, 5 if how == "hang" else 60) as pool:
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
def test_a_pool_that_is_left_while_its_workers_hang_is_gone_soon(tmp_path):
    notes = [tmp_path / str(number) for number in range(2)]
    with pytest.raises(KeyboardInterrupt), worker_pool(2, 3600) as pool:
        for note in notes:
            pool.submit(start_a_helper_and, "hang", str(note))
        while not all(note.exists() for note in notes):
            time.sleep(0.01)
        processes = [process.pid for process in multiprocessing.active_children()]
        raise KeyboardInterrupt
    assert all(map(gone, [*processes, *(int(note.read_text()) for note in notes)]))


HUNG = """
import multiprocessing, os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from tests.render import test_workers
from sketchforge.utils.worker_pool import worker_pool
if __name__ == "__main__":
    with worker_pool(1, 3600) as pool:
        task = pool.submit(test_workers.start_a_helper_and, "hang", sys.argv[2])
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.01)
        print(*[process.pid for process in multiprocessing.active_children()], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@PROCESS_GROUPS
def test_nothing_outlives_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "hung.py"
    script.write_text(HUNG)
    command = [sys.executable, str(script), str(ROOT), str(tmp_path / "pid")]
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
            time.sleep(0.01)
        hangs, other = pool.submit(time.sleep, 3600), pool.submit(abs, -2)
        with pytest.raises(WorkerLost) as lost:
            pool.result(hangs)
        assert lost.value.reason == TIMED_OUT
        assert pool.result(other) == 2


def test_a_few_bad_images_among_many_are_not_taken_for_a_bad_machine():
    with worker_pool(2, 60) as pool:
        for number in range(4):
            with pytest.raises(WorkerLost):
                pool.result(pool.submit(os._exit, 1))
            assert pool.result(pool.submit(abs, -number)) == number


WORKS, FAILS = (abs, -1), (os._exit, 1)


def lose(pool, *tasks):
    """The reasons for which tasks are lost, all of them."""
    reasons = []
    for task in [pool.submit(*task) for task in tasks]:
        with pytest.raises(WorkerLost) as lost:
            pool.result(task)
        reasons.append(lost.value.reason)
    return reasons


@pytest.mark.parametrize("probe", [None, FAILS], ids=["no probe", "the probe dies, too"])
def test_a_machine_that_kills_every_process_is_one_error(probe):
    with worker_pool(1, 60, probe) as pool:
        assert lose(pool, *[FAILS] * 2) == [DIED] * 2
        with pytest.raises(SketchforgeError, match="keep being lost .worker died, at last on cat.jpg."):
            pool.result(pool.submit(*FAILS), "cat.jpg")


def test_many_bad_images_in_a_row_are_told_from_a_bad_machine_by_a_good_one():
    with worker_pool(2, 60, WORKS) as pool:
        assert lose(pool, *[FAILS] * 5) == [DIED] * 5
        assert pool.result(pool.submit(abs, -7)) == 7


def test_many_slow_images_in_a_row_are_told_from_a_bad_machine_by_a_good_one():
    with worker_pool(2, 0.5, WORKS) as pool:
        assert lose(pool, *[(time.sleep, 3600)] * 4) == [TIMED_OUT] * 4


def hang(note):
    """A task that counts in a file how often it was begun."""
    return os.system, f"echo begun >> {shlex.quote(str(note))}; exec sleep 3600"


@PROCESS_GROUPS
def test_a_task_that_hangs_is_tried_again_where_the_machine_may_have_stalled(tmp_path):
    with worker_pool(1, 1) as pool:
        assert lose(pool, hang(tmp_path / "note")) == [TIMED_OUT]
    assert (tmp_path / "note").read_text() == "begun\n" * 2


@PROCESS_GROUPS
def test_a_task_that_hangs_while_others_finish_is_given_up_at_once(tmp_path):
    with worker_pool(2, 1) as pool:
        task = pool.submit(*hang(tmp_path / "note"))
        while not task.done():
            pool.result(pool.submit(abs, -1))
        with pytest.raises(WorkerLost, match=TIMED_OUT):
            pool.result(task)
    assert (tmp_path / "note").read_text() == "begun\n"


@PROCESS_GROUPS
def test_a_task_that_died_is_tried_again_with_nothing_beside_it(tmp_path):
    """Or two large images would kill each other's process, and both be lost."""
    beside, note = tmp_path / "beside", tmp_path / "note"
    there, noted, folder = (shlex.quote(str(path)) for path in (beside, note, tmp_path))
    # It takes a while, and while it runs its file exists. The other one dies, and notes then whether it does.
    waits = f"if [ -e {noted} ]; then sleep 1; else until [ -e {noted} ]; do sleep 0.05; done; fi"
    runs = f"touch {there}; {waits}; rm {there}"
    dies = f"count=$(ls {folder} | grep -c beside); echo $count >> {noted}; kill -9 $PPID"
    with worker_pool(2, 60) as pool:
        task = pool.submit(os.system, runs)
        while not beside.exists():
            time.sleep(0.01)
        assert lose(pool, (os.system, dies)) == [DIED]
        assert pool.result(task) == 0
    assert note.read_text().split() == ["1", "0"]


def test_what_cannot_be_sent_back_is_an_error():
    with worker_pool(1, 60) as pool:
        with pytest.raises(TypeError, match="pickle"):
            pool.result(pool.submit(threading.Lock))
        assert pool.result(pool.submit(abs, -1)) == 1


UNKILLABLE = """
import os, shlex, sys, time
from sketchforge.utils import worker_pool as workers
if __name__ == "__main__":
    with workers.worker_pool(1, 3600) as pool:
        pool.submit(os.system, f"touch {shlex.quote(sys.argv[1])}; exec sleep 3600")
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.01)
        workers._GroupLeader.kill = lambda self: None
    print("closed")
"""


@PROCESS_GROUPS
def test_nothing_waits_for_a_process_that_cannot_be_killed(tmp_path):
    """As one is that reads from a network drive that is gone."""
    script = tmp_path / "unkillable.py"
    script.write_text(UNKILLABLE)
    command = [sys.executable, str(script), str(tmp_path / "begun")]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"closed\n")


def test_a_burst_of_images_that_kill_their_process_is_named_and_the_others_come_out_well(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(workers, "_work", WORK)
    monkeypatch.setattr(pipeline, "prepare", prepare_unless_fatal)
    make_photos(tmp_path / "in", 3)
    for number in range(4):
        (tmp_path / "in" / f"p001-fatal{number}.jpg").write_bytes(b"x")
    options = RenderOptions(tmp_path / "out", tmp_path / "in", method="canny", size=32, workers=2)
    assert render(options).outcomes == {"ok": 3, DIED: 4}
    failed = [line["source"] for line in lines(options.shards) if line["reason"] == DIED]
    assert failed == [f"p001-fatal{number}.jpg" for number in range(4)]
