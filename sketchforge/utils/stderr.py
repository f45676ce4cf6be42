"""What C libraries print: libtiff and its like write to the process's stderr, past Python."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MAX_LENGTH = 200  # characters kept of what was printed
_STDERR = 2
_WAIT = 5.0  # seconds that a message waits for another thread's block: a file that never ends is no reason for silence
_turn = threading.RLock()  # of the process's stderr, which one block at a time may lead elsewhere
# Absolute paths of POSIX and Windows, up to their last part: they say where this machine keeps its files.
_FOLDERS = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:;,'\"()<>]+[/\\])*")


class CapturedText:
    """What was printed in a `captured_stderr` block; `text` is set when the block ends."""

    text = ""


@contextmanager
def captured_stderr() -> Iterator[CapturedText]:
    """Keep what is printed to stderr, by whatever code of this process, until the block ends.

    It goes into a pipe that takes some 64 KiB and loses the rest: it never blocks, and never fills memory or
    disk. Blocks of other threads wait for this one; what else prints meanwhile says so by `open_stderr`.
    """
    with _turn:
        yield from _capture()


@contextmanager
def open_stderr() -> Iterator[None]:
    """Print to stderr in this block, and it arrives there, whatever another thread keeps just then.

    An interruption's message came to nothing while a thread of the page was decoding a photo.
    """
    has_turn = _turn.acquire(timeout=_WAIT)
    try:
        yield
    finally:
        if has_turn:
            _turn.release()


def _capture() -> Iterator[CapturedText]:
    captured = CapturedText()
    try:
        kept = os.dup(_STDERR)
    except OSError:  # closed: nothing that is printed arrives anywhere
        yield captured
        return
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        os.dup2(writing, _STDERR)
        try:
            yield captured
        finally:
            with suppress(OSError, ValueError, AttributeError):  # no sys.stderr, or one with a full pipe
                sys.stderr.flush()
            os.dup2(kept, _STDERR)
            with suppress(BlockingIOError):
                captured.text = one_line(os.read(reading, 1 << 16))
    finally:
        for descriptor in (kept, reading, writing):
            os.close(descriptor)


def one_line(printed: bytes) -> str:
    """What a library printed as one line of at most MAX_LENGTH characters, without the folders of paths.

    The last lines are kept: warnings come before the error.
    """
    text = ""
    for line in reversed(printed.decode("utf-8", "replace").splitlines()):
        line = "".join(char if char.isprintable() else " " for char in line)
        line = " ".join(_FOLDERS.sub("", line).split())
        joined = f"{line}; {text}" if line and text else line or text
        if len(joined) > MAX_LENGTH:
            return text or f"{line[: MAX_LENGTH - 1]}…"
        text = joined
    return text
