"""A lock in a store: an object that names its holder, who renews it as long as he lives.

Stores have no locks that end with a process. An object that has not been renewed for LEASE_SECONDS, by the store's own
clock, or whose holder was a process of this machine that is gone, is anybody's. Where the store has a conditional put,
two processes never both get a free one; two that take an abandoned one at the same moment may, and do the same work
twice: what they write has the same bytes.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sketchforge.errors import SketchforgeError
from sketchforge.storage.filesystems import call, connect, transfer_errors
from sketchforge.storage.folder import RemoteFolder
from sketchforge.storage.stall_guard import TransferError

LEASE_SECONDS = 300.0
RENEW_SECONDS = 60.0
MAX_BYTES = 1000  # of a lock

_logger = logging.getLogger(__name__)


@contextmanager
def lease(folder: RemoteFolder, name: str, user: str = "`sketchforge render`") -> Iterator[None]:
    """Hold the lock `name` of a folder. Raises SketchforgeError naming the holder where another process has it."""
    token = secrets.token_hex(8)
    text = f"process {os.getpid()} on {socket.gethostname()}\n{token}\n".encode()
    while not (folder.claim(name, text) or _is_ours(folder, name, text)):
        if (holder := find_holder(folder, name)) is not None:
            raise SketchforgeError(
                f"{folder}: another {user} is at work there ({holder}); wait for it, or choose another folder. Where it "
                f"was killed, the folder is free {LEASE_SECONDS / 60:.0f} minutes later"
            )
        folder.remove(name)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(folder, name, text, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(SketchforgeError, OSError, ValueError):
            if folder.read(name, MAX_BYTES) == text:
                folder.remove(name)


def _is_ours(folder: RemoteFolder, name: str, text: bytes) -> bool:
    """Whether a claim was successful of which the answer got lost, so that it was made again."""
    try:
        return folder.read(name, MAX_BYTES) == text
    except FileNotFoundError:
        return False


def find_holder(folder: RemoteFolder, name: str) -> str | None:
    """Who holds a lock; None where nobody does: there is none, or it is abandoned."""
    try:
        text = folder.read(name, MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    holder = text.partition("\n")[0][:200]
    process, _, host = holder.removeprefix("process ").partition(" on ")
    if host == socket.gethostname() and process.isdecimal() and not _is_alive(int(process)):
        return None
    age = _find_age(folder, name)
    return None if age is None or age > LEASE_SECONDS else holder


def _find_age(folder: RemoteFolder, name: str) -> float | None:
    """Seconds since a lock was written, by the store's clock; 0 where the store does not tell, None if it is gone."""
    probe = f".{secrets.token_hex(8)}.probe"
    folder.write(probe, b"")
    try:
        times = []
        for file in (name, probe):
            filesystem, path = connect(folder.address(file))
            with transfer_errors():
                times.append(call(filesystem, "modified", path))
        return float((times[1] - times[0]).total_seconds())
    except TransferError as error:
        return None if error.missing else 0.0
    finally:
        folder.remove(probe)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no Linux, or not ours to know
        return True
    return state not in ("Z", "X")  # killed, and nobody has asked for it, as where a container has no init


def _renew(folder: RemoteFolder, name: str, text: bytes, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        try:
            if folder.read(name, MAX_BYTES) != text:
                _logger.warning(
                    "%s: was taken by another process; both make the same files", folder.address(name)
                )
                return
            folder.write(name, text)
        except (SketchforgeError, OSError, ValueError) as error:
            _logger.warning("%s: could not be renewed (%s)", folder.address(name), error)
