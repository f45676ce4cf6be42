"""Moments in which a signal would do harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_signals(*signals: signal.Signals) -> Iterator[None]:
    """Hold signals back until the block ends; processes started in it inherit that they are held.

    Blocking them for this thread is not enough: another thread may take the signal, and Python would then run the
    handler in the main thread all the same. So handlers are put aside, too.
    """
    caught: list[int] = []
    handlers = {}
    blocking = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals) if blocking else None
    try:
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                handlers[number] = signal.signal(number, lambda got, _: caught.append(got))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if blocking:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in dict.fromkeys(caught):
            signal.raise_signal(number)
