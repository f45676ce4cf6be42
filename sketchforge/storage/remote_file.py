"""A file elsewhere as a program reads one here: from any position, in parts as large as a request is worth."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from sketchforge.storage.fetch import FetchPolicy, fetch_bytes

BLOCK = 1 << 20  # bytes that a request asks for


def open_url(address: str, size: int, policy: FetchPolicy = FetchPolicy()) -> BinaryIO:
    """Open the file of `size` bytes at a URL. Reading raises SketchforgeError as `fetch` does."""
    return cast(BinaryIO, io.BufferedReader(_RemoteBytes(address, size, policy), BLOCK))


class _RemoteBytes(io.RawIOBase):
    def __init__(self, address: str, size: int, policy: FetchPolicy) -> None:
        super().__init__()
        self._address, self._size, self._policy = address, size, policy
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), max(0, self._size - self._position))
        if count:
            buffer[:count] = fetch_bytes(self._address, count, self._policy, offset=self._position)
            self._position += count
        return count
