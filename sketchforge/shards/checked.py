"""Which shards of a local set have been found to be what the manifest says: by any process of a training."""

from __future__ import annotations

import hashlib
import os
import weakref
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

_GOOD = b"\1"


class CheckedShards:
    """The shards whose digest has been checked, a byte each in memory that worker processes inherit.

    Every shard is read for it once, by whichever process comes first: the others wait. A shard found damaged
    is not remembered. Where a system has no such memory, each process checks for itself.
    """

    def __init__(self, file: int | None = None) -> None:
        if file is None and fcntl is not None and hasattr(os, "memfd_create"):
            with suppress(OSError):
                file = os.memfd_create("sketchforge-checked")
        self._file = file
        self._own: set[int] = set()
        if file is not None:
            weakref.finalize(self, os.close, file)

    def find_fault(self, shard: int, file: BinaryIO, sha256: str) -> str | None:
        """Check a shard's open file unless that was done before; returns what is wrong with it.

        Raises OSError when it cannot be read.
        """
        if shard in self._own:
            return None
        if self._file is None:
            return self._check(shard, file, sha256)
        # The kernel releases the lock when its process ends, however it ends.
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, shard)
        try:
            if os.pread(self._file, 1, shard) == _GOOD:
                self._own.add(shard)
                return None
            if (fault := self._check(shard, file, sha256)) is None:
                os.pwrite(self._file, _GOOD, shard)
            return fault
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, shard)

    def _check(self, shard: int, file: BinaryIO, sha256: str) -> str | None:
        file.seek(0)
        actual = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has `readinto`
        if actual != sha256:
            return f"SHA-256 {actual[:16]}…, but the manifest says {sha256[:16]}…"
        self._own.add(shard)
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._file is None or get_spawning_popen() is None:  # not on its way to a worker process
            return CheckedShards, ()
        return _attach, (reduction.DupFd(self._file),)


def _attach(file: Any) -> CheckedShards:
    return CheckedShards(file.detach())
