"""The processes that read samples: how they start, what they report, and how they end.

They are in the hands of the process that trains: it alone reacts to Ctrl-C and SIGTERM, and kills them at the
end, for what they do may take long and leaves nothing that `ShardCache.sweep` does not remove. They end
themselves when it is gone, even by kill -9.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import cv2
import torch

from sketchforge.errors import SketchforgeError
from sketchforge.utils.signals import deferred_signals

LOG = "sketchforge"
_MAX_WARNING_BYTES = 4000  # with its header less than PIPE_BUF: written as a whole, whoever else writes
_JOIN_SECONDS = 2.0


def start_worker(warnings: Connection, number: int) -> None:
    """Set up a process just started; its warnings go to `warnings`."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    cv2.setNumThreads(1)  # the processes are the parallelism; torch's loader sees to its own threads
    torch.set_num_threads(1)
    logger = logging.getLogger(LOG)
    logger.addHandler(_ConnectionHandler(warnings))
    logger.propagate = False
    threading.Thread(target=_end_with_parent, daemon=True).start()


class _ConnectionHandler(logging.Handler):
    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # nobody listens any more
            self._connection.send_bytes(self.format(record).encode()[:_MAX_WARNING_BYTES])


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def pass_on_warnings(warnings: Connection) -> None:
    """Log in this process what its workers have sent."""
    while warnings.poll():
        logging.getLogger(LOG).warning("%s", warnings.recv_bytes().decode("utf-8", "replace"))


def end_workers(processes: Sequence[BaseProcess]) -> None:
    with deferred_signals(signal.SIGINT, signal.SIGTERM):
        for process in processes:
            process.kill()
        for process in processes:
            process.join(_JOIN_SECONDS)


@contextmanager
def kept_child_handler() -> Iterator[None]:
    """Keep the handler of SIGCHLD that torch's loader replaces.

    Torch's raises an error wherever this process is when a worker dies, in the middle of a training step, too;
    without it, the loader finds out when it waits for a batch.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if handler is None else handler)


def describe_death(processes: Sequence[BaseProcess]) -> str:
    """One line on processes of which at least one died."""
    codes = [process.exitcode for process in processes if process.exitcode]
    if codes and codes[0] < 0:
        how = f"was killed by signal {-codes[0]}"
    else:
        how = f"ended with status {codes[0]}" if codes else "died"
    return (
        f"a process that reads samples {how}, out of memory as a rule; lower --workers (0: none) or "
        "--batch-size, then run the same command again"
    )


def describe_failure(error: Exception) -> SketchforgeError:
    """One line in place of an error that nothing foresaw while samples were read."""
    if isinstance(error, MemoryError):
        return SketchforgeError(
            "no memory left to read samples; lower --workers or --batch-size, then run the same command again"
        )
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:500]
    return SketchforgeError(
        f"reading samples failed: {type(error).__name__}: {text} ({last.filename}, line {last.lineno})"
    )
