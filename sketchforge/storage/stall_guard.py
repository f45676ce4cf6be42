"""When an attempt at reading a file from elsewhere has failed, and who ends one that stalls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack


class TransferError(Exception):
    """An attempt failed. lasting: another one would fail, too; missing: for there is no such file."""

    def __init__(self, cause: str, lasting: bool = False, missing: bool = False) -> None:
        super().__init__(cause)
        self.lasting, self.missing = lasting, missing


class StallGuard:
    """Ends a transfer of which fewer than `min_bytes` came within `seconds`, by calling what it was told.

    A context manager. A thread of its own keeps the time, for http.client may read headers for ever, each of
    its reads being within the socket's time-out.
    """

    def __init__(self, seconds: float, min_bytes: int) -> None:
        self.seconds, self.min_bytes = seconds, min_bytes
        self.stalled = False
        self.resources = ExitStack()  # closed at the end
        self._aborts: list[Callable[[], None]] = []
        self._mutex, self._ended = threading.Lock(), threading.Event()
        self._num_bytes, self._deadline = 0, time.monotonic() + seconds
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> StallGuard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._mutex:
            self._aborts.clear()
        self.resources.close()

    def on_stall(self, abort: Callable[[], None]) -> None:
        with self._mutex:
            self._aborts.append(abort)
            if self.stalled:
                abort()

    def progress(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        if self._num_bytes >= self.min_bytes:
            self._num_bytes, self._deadline = 0, time.monotonic() + self.seconds

    def check(self) -> None:
        if self.stalled:
            raise TransferError(f"stalled: fewer than {self.min_bytes:,} bytes in {self.seconds:g} s")

    def _watch(self) -> None:
        while not self._ended.wait(max(0.0, self._deadline - time.monotonic())):
            if time.monotonic() >= self._deadline:
                with self._mutex:
                    self.stalled = True
                    for abort in self._aborts:
                        abort()
                return
