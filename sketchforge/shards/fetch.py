"""Fetching a file from elsewhere: the one way by which bytes of remote shards come.

However the other side behaves, a fetch ends: in bytes by what the caller expects, in time by the policy.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from sketchforge.errors import SketchforgeError
from sketchforge.shards.stall_guard import StallGuard, TransferError
from sketchforge.shards.transports import chunks

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchPolicy:
    """When an attempt is given up, and how often another is made."""

    stall_seconds: float = 60.0  # an attempt ends that brings fewer than min_bytes in this time
    min_bytes: int = 1024
    tries: int = 5
    first_pause: float = 1.0  # seconds between the first two tries, then doubled every time
    sleep: Callable[[float], None] = time.sleep


def fetch(
    address: str,
    target: BinaryIO,
    max_bytes: int,
    find_fault: Callable[[int, str], str | None],
    policy: FetchPolicy = FetchPolicy(),
) -> None:
    """Copy the file at `address` into `target`, from its beginning.

    address: a URL (http, https, file, or any scheme of `webdataset.gopen`), `pipe:` and a shell command, or a
    path.
    max_bytes: of the file; of a longer one, one byte more is read.
    find_fault(bytes, hex SHA-256): what is wrong with the file just fetched, None if nothing is.

    What may pass is tried again: connections refused or cut off, stalls, HTTP 429 and 5xx, failed commands,
    wrong contents; every time, a warning of one line goes to the log "sketchforge". Raises SketchforgeError
    with address, number of tries and last cause. An OSError is the target's.
    """
    for attempt in range(1, policy.tries + 1):
        target.seek(0)
        target.truncate()
        try:
            _try_once(address, target, max_bytes, find_fault, policy)
            return
        except TransferError as error:
            if error.lasting or attempt == policy.tries:
                count = f" in {attempt} tries" if attempt > 1 else ""
                raise SketchforgeError(
                    f"{address}: could not be fetched{count} ({error}); try it by hand"
                ) from error
            cause = str(error)
        pause = policy.first_pause * 2 ** (attempt - 1)
        _logger.warning("%s: %s; try %d of %d in %g s", address, cause, attempt + 1, policy.tries, pause)
        policy.sleep(pause)


def _try_once(
    address: str,
    target: BinaryIO,
    max_bytes: int,
    find_fault: Callable[[int, str], str | None],
    policy: FetchPolicy,
) -> None:
    digest, count = hashlib.sha256(), 0
    with (
        StallGuard(policy.stall_seconds, policy.min_bytes) as guard,
        closing(chunks(address, max_bytes + 1, guard)) as received,
    ):
        for chunk in received:
            digest.update(chunk)
            count += len(chunk)
            target.write(chunk)
    target.flush()
    if (fault := find_fault(count, digest.hexdigest())) is not None:
        raise TransferError(fault)
