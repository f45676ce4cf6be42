"""The pieces in which a transfer comes, and what it says when it fails."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

from sketchforge.storage.stall_guard import StallGuard, TransferError

CHUNK = 1 << 18  # bytes
_LASTING_ERRORS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


def read_pieces(read: Callable[[int], bytes], limit: int, guard: StallGuard) -> Generator[bytes, None, None]:
    while limit > 0 and (chunk := read(min(CHUNK, limit))):
        limit -= len(chunk)
        guard.progress(len(chunk))
        yield chunk


def skip_bytes(source: Generator[bytes, None, None], count: int) -> Generator[bytes, None, None]:
    """Leave out the first `count` bytes."""
    with closing(source):
        for chunk in source:
            skipped = min(count, len(chunk))
            count -= skipped
            if skipped < len(chunk):
                yield chunk[skipped:]


@contextmanager
def client_errors(guard: StallGuard) -> Iterator[None]:
    """Turn the errors of files and of http.client into TransferErrors, that of a stall before all others."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        guard.check()
        missing = isinstance(error, FileNotFoundError)
        raise TransferError(_describe_cause(error), _is_lasting(error), missing) from error


def _is_lasting(error: Exception) -> bool:
    """Whether another attempt would fail, too: nothing is there, or the address cannot be one."""
    error = _unwrap(error)
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_NONAME
    return isinstance(error, (*_LASTING_ERRORS, ssl.SSLCertVerificationError, http.client.InvalidURL)) or (
        isinstance(error, ValueError) and not isinstance(error, OSError)
    )


def _unwrap(error: Exception) -> Exception:
    """The cause of a URLError."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(error, urllib.error.URLError) and isinstance(reason, Exception) else error


def _describe_cause(error: Exception) -> str:
    """Describe an error in one phrase."""
    error = _unwrap(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return "cut off"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
        return f"no valid HTTP answer ({type(error).__name__})"
    return sanitize(text)


def sanitize(text: object) -> str:
    """A stranger's text in one short printable line."""
    return re.sub(r"[^\x20-\x7e\xa0-\uffff]", "?", str(text))[:200]
