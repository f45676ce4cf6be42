"""Signals deferred while they would do harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Per `deferred_signals` block of the main thread, the outermost first: the handlers that it replaced, and the
# signals that it caught.
_deferrals: list[tuple[dict[int, Any], list[int]]] = []


@contextmanager
def deferred_signals(*signals: signal.Signals) -> Iterator[None]:
    """Defer signals until the block ends; processes started in it inherit the blocked signals.

    Blocking them for this thread is not enough: another thread may take the signal, and Python would then run
    the handler in the main thread all the same. So handlers are replaced, too.
    """
    caught: list[int] = []
    handlers: dict[int, Any] = {}
    can_block = hasattr(signal, "pthread_sigmask")
    in_main_thread = threading.current_thread() is threading.main_thread()
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals) if can_block else set()
    try:
        if in_main_thread:
            _deferrals.append((handlers, caught))
            for deferred in signals:
                handlers[deferred] = signal.signal(deferred, lambda received, _: caught.append(received))
        yield
    finally:
        try:  # one that another thread takes raises as soon as its handler is back
            for number, handler in handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        finally:
            if in_main_thread:
                _deferrals.pop()
            if can_block:
                signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
        for number in dict.fromkeys(caught):
            signal.raise_signal(number)


def raise_deferred() -> None:
    """Run the handler of a deferred signal now, which as a rule raises: a safe point of a long block.

    Does nothing where no signal has come, the signal is ignored, or the caller is not the main thread.
    """
    if not _deferrals or threading.current_thread() is not threading.main_thread():
        return
    waiting = signal.sigpending() if hasattr(signal, "sigpending") else set()  # blocked, so never caught
    for handlers, _ in _deferrals:
        for number, handler in handlers.items():
            received = number in waiting or any(number in caught for _, caught in _deferrals)
            if received and callable(handler):
                for _, caught in _deferrals:
                    caught[:] = [other for other in caught if other != number]
                if number in waiting:
                    signal.sigwait({number})
                handler(number, None)
