"""One attempt at reading a file from elsewhere: by HTTP, from a store, from a path, or as what a command prints.

`chunks` never yields more bytes than it is asked for, and ends, by an error, as soon as its StallGuard sees no
progress. Nothing that a command has started outlives the attempt, or this process, however it ends.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import closing, suppress
from functools import partial
from typing import Any

from sketchforge.storage.filesystems import call, connect, transfer_errors
from sketchforge.storage.http_transport import http_chunks
from sketchforge.storage.pieces import client_errors, read_pieces, skip_bytes
from sketchforge.storage.stall_guard import StallGuard, TransferError

PART = 1 << 23  # bytes of a store's file that one request asks for
_NOT_RUNNABLE = (126, 127)  # a shell's exit codes for a program that is not there or cannot be run
_STDERR_BYTES = 4096

# The command's group is killed as soon as the pipe at fd 0 closes: when this process closes it, or dies.
# Its background part takes the pipe as fd 3, for a shell gives such parts /dev/null as fd 0.
_LEASHED = 'exec 3<&0 </dev/null; (cat <&3; kill -9 0) >/dev/null 2>&1 & exec "$@" 3<&-'


def chunks(
    address: str, limit: int, guard: StallGuard, offset: int | None = None
) -> Generator[bytes, None, None]:
    """Yield, in pieces, at most `limit` bytes of the file at `address`.

    offset: where they begin, in a file that is known to have them all; None: at its beginning. Raises TransferError,
    and UsageError where an address is of no known kind.
    """
    scheme = urllib.parse.urlsplit(address).scheme.lower()
    if scheme in ("http", "https"):
        source = http_chunks(address, limit, guard, offset or 0)
    elif scheme == "pipe":
        command = ["/bin/sh", "-c", address.removeprefix("pipe:")]
        source = skip_bytes(_command_chunks(command, limit + (offset or 0), guard), offset or 0)
    elif len(scheme) > 1 and scheme != "file":
        source = _store_chunks(address, limit, guard, offset)
    else:
        source = _file_chunks(address, limit, guard, offset or 0)
    with client_errors(guard), closing(source):
        yield from source
    guard.check()


def _file_chunks(address: str, limit: int, guard: StallGuard, offset: int) -> Generator[bytes, None, None]:
    path = address
    if address.lower().startswith("file:"):
        path = urllib.request.url2pathname(urllib.parse.urlsplit(address).path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise TransferError("not a regular file", lasting=True)
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        yield from read_pieces(file.read, limit, guard)


def _store_chunks(
    address: str, limit: int, guard: StallGuard, offset: int | None
) -> Generator[bytes, None, None]:
    """Yield a file of one of fsspec's file systems, by requests for parts of it: each is ended when it stalls."""
    with transfer_errors():
        filesystem, path = connect(address)
        end = (offset or 0) + limit
        if offset is None:
            status = call(filesystem, "info", path, seconds=guard.seconds)
            if status["type"] == "directory":
                raise TransferError("a folder, not a file", lasting=True)
            end = min(end, status["size"])
    position = offset or 0
    while position < end:
        with transfer_errors():
            stop = min(end, position + PART)
            chunk = call(filesystem, "cat_file", path, start=position, end=stop, seconds=guard.seconds)
        if len(chunk) < stop - position:
            raise TransferError(f"cut off after {position + len(chunk):,} of {end:,} bytes")
        position = stop
        guard.progress(len(chunk))
        yield chunk


def _command_chunks(command: list[str], limit: int, guard: StallGuard) -> Generator[bytes, None, None]:
    """Yield what a command prints; its last line on stderr is the cause where it fails."""
    leashed = ["/bin/sh", "-c", _LEASHED, "sh", *command] if hasattr(os, "killpg") else command
    process = subprocess.Popen(
        leashed,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    complaints = bytearray()
    listener = threading.Thread(target=_keep_last, args=(process.stderr, complaints), daemon=True)
    listener.start()
    try:
        guard.on_stall(partial(_kill, process))
        received = 0
        for chunk in read_pieces(process.stdout.read, limit, guard):
            received += len(chunk)
            yield chunk
        if received == limit:
            return
        # A command may close its output and go on: it has as long as for any other progress.
        with suppress(subprocess.TimeoutExpired):
            process.wait(guard.seconds)
    finally:
        _kill(process)
        status = process.wait()
        listener.join(1)  # what escaped the group may hold stderr for ever
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream.close()
    guard.check()
    if status:
        lines = complaints.decode("utf-8", "replace").split("\n")
        last_line = next((line.strip() for line in reversed(lines) if line.strip()), "")
        cause = f"its command ended with status {status}" + (f": {last_line[:300]}" if last_line else "")
        raise TransferError(cause, status in _NOT_RUNNABLE)


def _keep_last(stream: Any, kept: bytearray) -> None:
    with suppress(OSError, ValueError), stream:
        while data := stream.read(_STDERR_BYTES):
            kept += data
            del kept[:-_STDERR_BYTES]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command with all of its group: its leash is a member to the end, so the id is still its own."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
