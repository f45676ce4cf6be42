"""Worker processes, and recovery when one of them dies or hangs; `render/prepare.py` runs in them."""

from __future__ import annotations

import logging
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
from sketchforge.utils.text import count_noun

_log = logging.getLogger(__name__)

DIED = "worker died"  # crashed on the image, or was killed: as a rule out of memory
TIMED_OUT = "timed out"
GRACE = 3.0  # seconds that running tasks have to finish when the pool closes
MAX_LOST = 3  # tasks lost in a row: the machine's fault, not the images'


_HAS_GROUPS = hasattr(os, "setpgid")


class WorkerLost(Exception):
    """A task on which a process died or hung twice, the second time alone in its process."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # DIED or TIMED_OUT


class Task:
    """A submitted call; `WorkerPool.result` returns its value."""

    def __init__(self, function: Any, arguments: tuple[Any, ...], future: Future[Any]) -> None:
        self.function, self.arguments, self.future = function, arguments, future

    def done(self) -> bool:
        return self.future.done()


class WorkerPool:
    """Processes that run functions.

    A process that dies breaks the whole pool, and nothing tells which of the running tasks it died on. So a
    new pool takes over, and each of those tasks is tried once more in a process of its own. A task on which
    that process dies or hangs, too, is lost; all others go on. `timeout` is in seconds per task.

    Processes ignore Ctrl-C and SIGTERM, which the parent handles, and end themselves when the parent is gone,
    even by kill -9. Each leads a process group, which is killed as a whole, with whatever a library may have
    started in it. They are started by `spawn`: forking after torch or cv2 have started threads can deadlock.
    """

    def __init__(self, num_workers: int, timeout: float) -> None:
        self._num_workers, self._timeout = num_workers, timeout
        self._pool = _create_pool(num_workers)
        self._lost = 0  # tasks lost in a row

    def submit(self, function: Any, *arguments: Any) -> Task:
        # Processes inherit the blocked signals, so none reaches them, or this process, while they start.
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            try:
                future = self._pool.submit(function, *arguments)
            except BrokenProcessPool:
                self._replace()
                future = self._pool.submit(function, *arguments)
        return Task(function, arguments, future)

    def result(self, task: Task) -> Any:
        """Return what the task's function returned, or raise what it raised.

        Raises WorkerLost where processes died or hung on it, SketchforgeError after MAX_LOST such tasks in a
        row.
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
            result = _run_alone(task, self._timeout)
        except WorkerLost as lost:
            self._lost += 1
            if self._lost >= MAX_LOST:
                raise SketchforgeError(
                    f"worker processes keep being lost ({lost.reason}); finished shards are kept: see to the "
                    "machine's memory and disks, then run the same command again, with fewer --workers "
                    "if memory was short"
                ) from None
            raise
        self._lost = 0
        return result

    def close(self) -> None:
        """End the processes; running tasks have GRACE seconds to finish."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        running = {process.sentinel: process for process in processes}
        deadline = time.monotonic() + GRACE
        try:
            while running and (seconds := deadline - time.monotonic()) > 0:
                for sentinel in connection.wait(list(running), seconds):
                    del running[sentinel]
        finally:
            for process in running.values():
                process.kill()

    def _replace(self) -> None:
        _kill_pool(self._pool)
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            self._pool = _create_pool(self._num_workers)


@contextmanager
def worker_pool(num_workers: int, timeout: float) -> Iterator[WorkerPool]:
    """A pool that is closed when the block ends."""
    _log.info("%s", count_noun(num_workers, "worker process"))
    pool = WorkerPool(num_workers, timeout)
    try:
        yield pool
    finally:
        pool.close()


class _GroupLeader(SpawnProcess):
    """A process that leads a process group."""

    _killed = False

    def terminate(self) -> None:
        """Kill the process: an executor ends a broken pool by SIGTERM, which these processes ignore.

        It would wait for them with a lock held that the next `submit` needs (Python 3.12 and later).
        """
        self.kill()

    def kill(self) -> None:
        """Kill the process and all that it has started, once: later its id may belong to another process.

        A group outlives its leader as long as it has members, so this works where the process has died, too.
        """
        if _HAS_GROUPS and self.pid is not None and not self._killed:
            self._killed = True
            # The process creates its group when it starts, which takes time.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        super().kill()


class _LeaderContext(SpawnContext):
    Process = _GroupLeader


def _create_pool(num_workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(num_workers, _LeaderContext(), _start_worker)


def _run_alone(task: Task, timeout: float) -> Any:
    """Run a task in a process of its own. Raises WorkerLost where that dies or hangs, too."""
    pool = _create_pool(1)
    try:
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            start_up = pool.submit(os.getpid)
        start_up.result()  # the time to start does not count for the task
        future = pool.submit(task.function, *task.arguments)
        return future.result(timeout)
    except BrokenProcessPool:
        raise WorkerLost(DIED) from None
    except TimeoutError:
        if future.done():
            raise
        raise WorkerLost(TIMED_OUT) from None
    finally:
        _kill_pool(pool)


def _kill_pool(pool: ProcessPoolExecutor) -> None:
    """Kill a pool whose processes may hang. Executors have no public way to do so before Python 3.14."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    if _HAS_GROUPS and multiprocessing.parent_process() is not None:
        os.setpgid(0, 0)
        signal.signal(
            signal.SIGTTOU, signal.SIG_IGN
        )  # so that it may write to the terminal from the background
        Finalize(None, _end_group, exitpriority=-1000)  # the last step of a regular exit
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
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
