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


def find_interruption(error: BaseException) -> KeyboardInterrupt | None:
    """The interruption that an exception is, or that has come out as it; None where no signal was received."""
    if isinstance(error, KeyboardInterrupt):
        return error
    if isinstance(error, Exception) and _received:
        return _received[0]()
    return None


def _raise_terminated(*_: Any) -> NoReturn:
    _received.append(Terminated)
    raise Terminated


def _raise_interrupted(*_: Any) -> NoReturn:
    _received.append(KeyboardInterrupt)
    raise KeyboardInterrupt
