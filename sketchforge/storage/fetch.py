"""Fetching a file from elsewhere: the one way by which bytes come from there.

However the other side behaves, a fetch ends: in bytes by what the caller expects, in time by the policy.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from sketchforge.errors import SketchforgeError
from sketchforge.storage.stall_guard import StallGuard, TransferError
from sketchforge.storage.transports import chunks

_logger = logging.getLogger(__name__)


class MissingFileError(SketchforgeError):
    """There is no file at an address."""


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


@dataclass(frozen=True)
class FetchPolicy:
    """When an attempt is given up, and how often another is made."""

    stall_seconds: float = 60.0  # an attempt ends that brings fewer than min_bytes in this time
    min_bytes: int = 1024
    tries: int = 5
    first_pause: float = 1.0  # seconds between the first two tries, then doubled every time
    sleep: Callable[[float], None] = _sleep


def fetch(
    address: str,
    target: BinaryIO,
    max_bytes: int,
    find_fault: Callable[[int, str], str | None],
    policy: FetchPolicy = FetchPolicy(),
    offset: int | None = None,
) -> None:
    """Copy the file at `address` into `target`.

    address: a URL (http, https, file, s3, gs or another scheme of fsspec's), `pipe:` and a shell command, or a path.
    max_bytes: of the file; of a longer one, one byte more is read.
    offset: None: the whole file; else `max_bytes` from there on, which the file is known to have.
    find_fault(bytes, hex SHA-256): what is wrong with the file just fetched, None if nothing is.

    What may pass is tried again: connections refused or cut off, stalls, HTTP 429 and 5xx, failed commands,
    wrong contents; every time, a warning of one line goes to the log "sketchforge". Raises SketchforgeError
    with address, number of tries and last cause; where there is no such file, it is a MissingFileError. An OSError is
    the target's.
    """

    def attempt() -> None:
        target.seek(0)
        target.truncate()
        _try_once(address, target, max_bytes, find_fault, policy, offset)

    try_often(attempt, address, "fetched", policy)


def fetch_bytes(
    address: str,
    max_bytes: int,
    policy: FetchPolicy = FetchPolicy(),
    offset: int | None = None,
    find_fault: Callable[[bytes], str | None] = lambda _: None,
) -> bytes:
    """The contents of a file, or `max_bytes` of it from `offset` on; errors as of `fetch`, and for more than that.

    find_fault(contents): as of `fetch`.
    """
    target = io.BytesIO()

    def find_any_fault(num_bytes: int, _: str) -> str | None:
        if num_bytes > max_bytes:
            raise TransferError(f"more than {max_bytes:,} bytes", lasting=True)
        if offset is not None and num_bytes < max_bytes:
            return f"cut off after {num_bytes:,} bytes"
        return find_fault(target.getvalue())

    fetch(address, target, max_bytes, find_any_fault, policy, offset)
    return target.getvalue()


def try_often(attempt: Callable[[], None], address: str, what: str, policy: FetchPolicy) -> None:
    """Call `attempt` until it raises no TransferError, or a lasting one, or has been called often enough.

    what: is done to the file, for the messages, such as "fetched". Raises as `fetch` does.
    """
    for count in range(1, policy.tries + 1):
        try:
            attempt()
            return
        except TransferError as error:
            if error.missing:
                raise MissingFileError(f"{address}: could not be {what} ({error}); try it by hand") from error
            if error.lasting or count == policy.tries:
                tries = f" in {count} tries" if count > 1 else ""
                raise SketchforgeError(
                    f"{address}: could not be {what}{tries} ({error}); try it by hand"
                ) from error
            cause = str(error)
        pause = policy.first_pause * 2 ** (count - 1)
        _logger.warning("%s: %s; try %d of %d in %g s", address, cause, count + 1, policy.tries, pause)
        policy.sleep(pause)


def _try_once(
    address: str,
    target: BinaryIO,
    max_bytes: int,
    find_fault: Callable[[int, str], str | None],
    policy: FetchPolicy,
    offset: int | None,
) -> None:
    digest, count = hashlib.sha256(), 0
    limit = max_bytes + 1 if offset is None else max_bytes
    with (
        StallGuard(policy.stall_seconds, policy.min_bytes) as guard,
        closing(chunks(address, limit, guard, offset)) as received,
    ):
        for chunk in received:
            digest.update(chunk)
            count += len(chunk)
            target.write(chunk)
    target.flush()
    if (fault := find_fault(count, digest.hexdigest())) is not None:
        raise TransferError(fault)
