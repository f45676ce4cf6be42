"""Worker processes, and recovery when one of them dies or hangs; `render/prepare.py` runs in them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing import process as processes
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any

from sketchforge.errors import SketchforgeError
from sketchforge.utils.signals import deferred_signals
from sketchforge.utils.standard_streams import open_standard_streams
from sketchforge.utils.text import count_noun

_log = logging.getLogger(__name__)

DIED = "worker died"  # crashed on the image, or was killed: as a rule out of memory
TIMED_OUT = "timed out"
MAX_LOST = 3  # tasks lost in a row: either it is their fault, or the machine's
KILL_SECONDS = (
    1.0  # to wait for a killed process: one in an uninterruptible read may stay as long as it likes
)

_MAX_SECONDS = 1e6  # that the system can wait for
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HAS_GROUPS = hasattr(os, "setpgid")


class WorkerLost(Exception):
    """A task that processes died of, or hung on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # DIED or TIMED_OUT


class Task:
    """A submitted call; `WorkerPool.result` returns its value."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], future: Future[Any]) -> None:
        self.function, self.arguments, self.future = function, arguments, future

    def done(self) -> bool:
        return self.future.done()


class WorkerPool:
    """Processes that run functions, each served by a thread that hands it one task after another.

    So a process that dies or hangs costs the task it was at, and no other. That task is tried once more, in
    another process: after a death with nothing else running, since memory may have been short. After a
    timeout (`timeout` is in seconds per task) only if no other task has finished meanwhile, for then the
    machine may have stalled. A task that fails so is lost, and all others go on.

    `probe` is a function and its arguments that are known to work. After MAX_LOST losses in a row it is run:
    if it does not work either, the machine is at fault; else the tasks were.

    Processes ignore Ctrl-C and SIGTERM, which the parent handles, and end themselves when the parent is gone,
    even by kill -9. Each leads a process group, which is killed as a whole, with whatever a library may have
    started in it. They are started by `spawn`: forking after torch or cv2 have started threads can deadlock.
    """

    def __init__(
        self, num_workers: int, timeout: float, probe: tuple[Callable[..., Any], ...] | None = None
    ) -> None:
        self._timeout, self._probe = min(timeout, _MAX_SECONDS), probe
        self._lost = 0  # tasks lost in a row, as `result` sees them
        # The rest is shared with the threads, under this condition.
        self._changed = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._workers: set[_Worker] = set()
        self._num_running, self._runs_alone, self._closed = 0, False, False
        self._last_success = 0.0  # when a task has last finished, by time.monotonic
        open_standard_streams()  # or processes would get our pipes for theirs
        if _HAS_GROUPS:
            resource_tracker.ensure_running()  # multiprocessing's own helper; starting it unblocks signals
        self._threads = [
            threading.Thread(target=self._serve, name=f"worker-{number}", daemon=True)
            for number in range(num_workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Task:
        task = Task(function, arguments, Future())
        with self._changed:
            self._waiting.append(task)
            self._changed.notify_all()
        return task

    def result(self, task: Task, name: str = "") -> Any:
        """Return what the task's function returned, or raise what it raised.

        Raises WorkerLost where processes died or hung on it, SketchforgeError where that is the machine's
        fault; `name` says in its message what the task was about.
        """
        try:
            value = task.future.result()
        except WorkerLost as lost:
            self._lost += 1
            if self._lost >= MAX_LOST:
                if not self._probe_works():
                    raise SketchforgeError(
                        f"worker processes keep being lost ({lost.reason}{name and f', at last on {name}'}); "
                        "finished shards are kept: see to the machine's memory and disks, then run the same "
                        "command again, with fewer --workers if memory was short"
                    ) from None
                self._lost = 0
            raise
        self._lost = 0
        return value

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._changed:
            self._closed = True
            workers = list(self._workers)
            self._changed.notify_all()
        for worker in workers:
            worker.process.kill()
        deadline = time.monotonic() + 2 * KILL_SECONDS
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        for worker in workers:
            worker.end(max(0, deadline - time.monotonic()))

    def _probe_works(self) -> bool:
        """Run the known good task in a process of its own, beside the others."""
        if self._probe is None:
            return False
        function, *arguments = self._probe
        try:
            with deferred_signals(*_SIGNALS):
                worker = self._start_worker()
            try:
                worker.call(Task(function, tuple(arguments), Future()), self._timeout)
            finally:
                self._end_worker(worker)
        except WorkerLost:
            return False
        with self._changed:
            self._last_success = time.monotonic()
        return True

    def _serve(self) -> None:
        """Hand tasks to a process until the pool closes; runs in a thread of its own."""
        if hasattr(signal, "pthread_sigmask"):
            # The processes inherit this, so no signal reaches them before they ignore it.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        worker = None
        while (task := self._next_task()) is not None:
            worker = self._try_task(task, worker)
        if worker is not None:
            self._end_worker(worker)

    def _next_task(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            return None if self._closed else self._waiting.popleft()

    def _try_task(self, task: Task, worker: _Worker | None) -> _Worker | None:
        """Run a task, twice if need be; return the process that is left, None where it was lost."""
        alone = False
        for is_last in (False, True):
            try:
                with self._turn(alone):
                    worker = worker or self._start_worker()
                    start = time.monotonic()
                    value = worker.call(task, self._timeout)
            except WorkerLost as lost:
                if worker is not None:
                    self._end_worker(worker)
                worker, alone = None, lost.reason == DIED
                has_stalled = lost.reason == TIMED_OUT and self._last_success <= start
                if is_last or not (alone or has_stalled):
                    task.future.set_exception(lost)
                    break
            except BaseException as error:
                task.future.set_exception(error)
                break
            else:
                self._last_success = time.monotonic()
                task.future.set_result(value)
                break
        return worker

    @contextmanager
    def _turn(self, alone: bool) -> Iterator[None]:
        """Wait until a task may run: `alone` means with no other one beside it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._runs_alone)
            self._runs_alone = alone
            if alone:
                self._changed.wait_for(lambda: self._closed or not self._num_running)
            self._num_running += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_running -= 1
                if alone:
                    self._runs_alone = False
                self._changed.notify_all()

    def _start_worker(self) -> _Worker:
        with self._changed:  # `close` must know of every process
            if self._closed:
                raise WorkerLost(DIED)
            worker = _Worker()
            self._workers.add(worker)
        return worker

    def _end_worker(self, worker: _Worker) -> None:
        worker.end(KILL_SECONDS)
        with self._changed:
            self._workers.discard(worker)


@contextmanager
def worker_pool(
    num_workers: int, timeout: float, probe: tuple[Any, ...] | None = None
) -> Iterator[WorkerPool]:
    """A pool that is closed when the block ends."""
    _log.info("%s", count_noun(num_workers, "worker process"))
    pool = WorkerPool(num_workers, timeout, probe)
    try:
        yield pool
    finally:
        pool.close()


class _Worker:
    """A process, and the connection by which it takes tasks."""

    def __init__(self) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        with theirs:
            self.process = _GroupLeader(target=_work, args=(theirs,))
            self.process.start()
        self._is_ready = False

    def call(self, task: Task, timeout: float) -> Any:
        """Run a task and return its value, or raise what it raised. Raises WorkerLost."""
        try:
            if not self._is_ready:
                self._connection.recv()  # the time to start does not count for the task
                self._is_ready = True
            self._connection.send((task.function, task.arguments))
            if not self._connection.poll(timeout):
                raise WorkerLost(TIMED_OUT)
            succeeded, value = self._connection.recv()
        except (EOFError, OSError):  # no more than the process can have brought about
            raise WorkerLost(DIED) from None
        if not succeeded:
            raise value
        return value

    def end(self, seconds: float) -> None:
        """Kill the process and wait so long for its end."""
        self.process.kill()
        self.process.join(seconds)
        if self.process.is_alive():
            # Else the interpreter would wait for it before it ends.
            processes._children.discard(self.process)  # type: ignore[attr-defined]  # there is no public way


class _GroupLeader(SpawnProcess):
    """A process that leads a process group."""

    _killed = False

    def kill(self) -> None:
        """Kill the process and all that it has started, once: later its id may belong to another process.

        A group outlives its leader as long as it has members, so this works where the process has died, too.
        """
        if _HAS_GROUPS and self.pid is not None and not self._killed:
            self._killed = True
            # The process creates its group when it starts, which takes time.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with suppress(OSError):
            super().kill()


def _work(connection: Connection) -> None:
    """Run the tasks that come through the connection, and send back (True, value) or (False, exception)."""
    os.set_inheritable(connection.fileno(), False)  # or what a library starts would hold it open
    _start_worker()
    connection.send(None)
    while True:
        try:
            call = connection.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            function, arguments = pickle.loads(call)
            answer = ForkingPickler.dumps((True, function(*arguments)))
        except BaseException as error:
            error.add_note(traceback.format_exc())
            answer = ForkingPickler.dumps((False, error))
        connection.send_bytes(answer)


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
