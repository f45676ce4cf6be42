"""Signals deferred while they would do harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_signals(*signals: signal.Signals) -> Iterator[None]:
    """Defer signals until the block ends; processes started in it inherit the blocked signals.

    Blocking them for this thread is not enough: another thread may take the signal, and Python would then run
    the handler in the main thread all the same. So handlers are replaced, too.
    """
    caught: list[int] = []
    handlers = {}
    can_block = hasattr(signal, "pthread_sigmask")
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals) if can_block else None
    try:
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                handlers[number] = signal.signal(number, lambda received, _: caught.append(received))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if can_block:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
        for number in dict.fromkeys(caught):
            signal.raise_signal(number)
