"""Worker processes: who does the work of `render/prepare.py`, and what happens when one of them dies or hangs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.util import Finalize
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.utils.signals import deferred_signals

DIED = "worker died"  # of the image, or killed: out of memory as a rule
TIMED_OUT = "timed out"
GRACE = 3.0  # seconds that a task under way has when nobody wants its result any more
MAX_LOST = 3  # tasks lost one after another: the machine's fault, not the images'


_HAS_GROUPS = hasattr(os, "setpgid")


class WorkerLost(Exception):
    """A task that a process died or hung of, twice, the second time with a process to itself."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # DIED or TIMED_OUT


class Task:
    """A call on its way; ask `WorkerPool.result` for its value."""

    def __init__(self, function: Any, arguments: tuple[Any, ...], future: Future[Any]) -> None:
        self.function, self.arguments, self.future = function, arguments, future

    def done(self) -> bool:
        return self.future.done()


class WorkerPool:
    """Processes that run functions.

    A process that dies takes the whole pool with it, and nobody can tell which of the tasks under way it was. So
    a new pool takes over, and each of those tasks is tried once more with a process of its own: what it dies or
    hangs of then is lost, everything else goes on. `timeout` is in seconds per task.

    Processes never see Ctrl-C or SIGTERM, which are the parent's to handle, and they end themselves when the parent
    is gone, even by kill -9. Each leads a process group of its own, which ends as a whole: whatever a library may have
    started in it goes with it. Started by `spawn`: forking after torch or cv2 have started threads can deadlock.
    """

    def __init__(self, num_workers: int, timeout: float) -> None:
        self._num_workers, self._timeout = num_workers, timeout
        self._pool = _new_pool(num_workers)
        self._lost = 0  # tasks lost in a row

    def submit(self, function: Any, *arguments: Any) -> Task:
        # Processes inherit that the signals are held, so none can hit them, or us, while they are starting.
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            try:
                future = self._pool.submit(function, *arguments)
            except BrokenProcessPool:
                self._replace()
                future = self._pool.submit(function, *arguments)
        return Task(function, arguments, future)

    def result(self, task: Task) -> Any:
        """What the task's function returned or raised.

        Raises WorkerLost where a process died or hung of it, SketchforgeError when that happens all the time.
        """
        try:
            result = task.future.result(self._timeout)
            self._lost = 0
            return result
        except (BrokenProcessPool, CancelledError):
            pass
        except TimeoutError:
            if task.future.done():
                raise
            self._replace()
        try:
            result = _alone(task, self._timeout)
        except WorkerLost as lost:
            self._lost += 1
            if self._lost >= MAX_LOST:
                raise SketchforgeError(
                    f"worker processes keep being lost ({lost.reason}); finished shards are kept: see to the "
                    "machine's memory and disks, then run the same command again, with fewer --workers if memory "
                    "was short"
                ) from None
            raise
        self._lost = 0
        return result

    def close(self) -> None:
        """End the processes; who is at work still has GRACE seconds to finish."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        left = {process.sentinel: process for process in processes}
        end = time.monotonic() + GRACE
        try:
            while left and (seconds := end - time.monotonic()) > 0:
                for ended in connection.wait(list(left), seconds):
                    del left[ended]
        finally:
            for process in left.values():
                process.kill()

    def _replace(self) -> None:
        _kill(self._pool)
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            self._pool = _new_pool(self._num_workers)


@contextmanager
def worker_pool(num_workers: int, timeout: float) -> Iterator[WorkerPool]:
    """A pool that is gone when the block ends."""
    pool = WorkerPool(num_workers, timeout)
    try:
        yield pool
    finally:
        pool.close()


class _Process(SpawnProcess):
    """A process that leads a group."""

    _killed = False

    def terminate(self) -> None:
        """As executors end the processes of a broken pool: by SIGTERM, which ours ignore, and they would wait for them
        with a lock held that the next `submit` needs (Python 3.12 and later)."""
        self.kill()

    def kill(self) -> None:
        """End the process and all that it has started, once: later its number may be somebody else's.

        A group outlives its leader as long as it has members, so this helps where the process has died, too.
        """
        if _HAS_GROUPS and self.pid is not None and not self._killed:
            self._killed = True
            with suppress(
                ProcessLookupError, PermissionError
            ):  # it makes its group when it starts, which takes time
                os.killpg(self.pid, signal.SIGKILL)
        super().kill()


class _Spawn(SpawnContext):
    Process = _Process


def _new_pool(num_workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(num_workers, _Spawn(), _start_worker)


def _alone(task: Task, timeout: float) -> Any:
    """Run a task with a process of its own; WorkerLost where that dies or hangs, too."""
    pool = _new_pool(1)
    try:
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            started = pool.submit(os.getpid)
        started.result()  # starting takes its time, which is not the task's
        future = pool.submit(task.function, *task.arguments)
        return future.result(timeout)
    except BrokenProcessPool:
        raise WorkerLost(DIED) from None
    except TimeoutError:
        if future.done():
            raise
        raise WorkerLost(TIMED_OUT) from None
    finally:
        _kill(pool)


def _kill(pool: ProcessPoolExecutor) -> None:
    """End a pool whose processes may hang. Executors have no public way to do so before Python 3.14."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    if _HAS_GROUPS and multiprocessing.parent_process() is not None:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it may write to the terminal from the background
        Finalize(None, _end_group, exitpriority=-1000)  # the last thing it does when it is told to end
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        if _HAS_GROUPS:
            _end_group()
        os._exit(1)


def _end_group() -> None:
    os.killpg(0, signal.SIGKILL)
