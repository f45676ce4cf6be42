"""The file systems behind URLs such as s3://bucket/folder: those of fsspec, with the clients of the extra `remote`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.storage.stall_guard import TransferError

# Two letters at least: C:\ is a folder. pathlib makes one slash of two.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/:]")
# Retries are ours: those inside the clients, one within the other, would make minutes of a single attempt.
_CLIENT_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 20, "read_timeout": 60}}
}
# Where a file appears as a whole or not at all; elsewhere it is written under another name, and renamed.
_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2", "memory"}
REQUESTS = 16  # to a store at a time, where there are many small ones
_LASTING = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)
_CLIENTS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}


def is_url(place: object) -> bool:
    """Whether a text is a URL: of a file, a folder or a bucket."""
    return isinstance(place, str) and _URL.match(place) is not None


def has_scheme(text: str) -> bool:
    """Whether a text begins as a URL or a command does: `s3:`, `pipe:`."""
    return _SCHEME.match(text) is not None


def scheme_of(url: str) -> str:
    return url.partition(":")[0].lower()


def connect(url: str) -> tuple[Any, str]:
    """(fsspec's file system, the path in it) of a URL.

    Raises UsageError for a scheme that nobody knows, or whose client is not installed.
    """
    import fsspec  # type: ignore[import-untyped]

    scheme = scheme_of(url)
    if "::" in url.partition("/")[0]:
        raise UsageError(f"{url}: one file system within another is not taken; name the inner one alone")
    try:
        filesystem, path = fsspec.url_to_fs(url, **_CLIENT_OPTIONS.get(scheme, {}))
    except ImportError as error:
        client = f"pip install {_CLIENTS[scheme]}" if scheme in _CLIENTS else str(error)
        raise UsageError(
            f"{url}: the client for {scheme}:// is not installed; pip install 'sketchforge[remote]', or {client}"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{url}: no file system is known by {scheme}://; expected s3://, gs://, https:// or another of fsspec's"
        ) from error
    if hasattr(filesystem, "retries"):
        filesystem.retries = 1
    # What other processes do meanwhile is to be seen.
    filesystem.use_listings_cache = False
    filesystem.invalidate_cache()
    return filesystem, str(path)


def is_atomic(url: str) -> bool:
    """Whether a file that is being written to a URL appears as a whole, or not at all."""
    return scheme_of(url) in _ATOMIC


def call(filesystem: Any, name: str, *arguments: Any, seconds: float | None = None, **options: Any) -> Any:
    """Call a method of a file system, ended after so many seconds where it can be: those that wait for a network."""
    if seconds is not None and getattr(filesystem, "async_impl", False):
        from fsspec.asyn import sync  # type: ignore[import-untyped]

        return sync(filesystem.loop, getattr(filesystem, f"_{name}"), *arguments, timeout=seconds, **options)
    return getattr(filesystem, name)(*arguments, **options)


@contextmanager
def transfer_errors() -> Iterator[None]:
    """Turn whatever a client raises into a TransferError; a missing file is one that is `missing`."""
    try:
        yield
    except (UsageError, TransferError):
        raise
    except Exception as error:  # clients raise what their libraries do: botocore's errors are no OSErrors
        cause = "no answer in time" if isinstance(error, TimeoutError) else describe(error)
        raise TransferError(
            cause, isinstance(error, _LASTING), isinstance(error, FileNotFoundError)
        ) from error


def describe(error: Exception) -> str:
    """A client's error in one phrase, without the address, which the message begins with."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r"[^\x20-\x7e\xa0-\uffff]+", " ", text)[:200]
