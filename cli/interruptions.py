"""Ctrl-C and SIGTERM as exceptions, and remembered.

A signal's exception is raised wherever the main thread is. Inside the callback of a native library it may come
out as that library's own error, such as a weights file that "cannot be read": it is still an interruption.
"""

from __future__ import annotations

import signal
from typing import Any, NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C but for the exit code."""


_received: list[type[KeyboardInterrupt]] = []


def raise_on_signals() -> None:
    """Have SIGTERM raise Terminated and Ctrl-C KeyboardInterrupt, unless it is ignored or handled already."""
    _received.clear()
    signal.signal(signal.SIGTERM, _raise_terminated)
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _raise_interrupted):
        signal.signal(signal.SIGINT, _raise_interrupted)


def find_interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption that an exception is, or that has come out as it.

    None where no signal was received, or the exception says itself what the signal came of.
    """
    if isinstance(error, KeyboardInterrupt):
        return error
    if not isinstance(error, Exception) or not _received or _explains_signals(error):
        return None
    return _received[0]()


def _explains_signals(error: BaseException) -> bool:
    """Whether an exception, or one behind it, says of itself that signals came of it."""
    chain = set[BaseException]()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in chain:  # an exception may be its own cause
            chain.add(one)
            waiting += [one.__cause__, one.__context__]
    return any(getattr(one, "explains_signals", False) for one in chain)


def _raise_terminated(*_: Any) -> NoReturn:
    _received.append(Terminated)
    raise Terminated


def _raise_interrupted(*_: Any) -> NoReturn:
    _received.append(KeyboardInterrupt)
    raise KeyboardInterrupt
