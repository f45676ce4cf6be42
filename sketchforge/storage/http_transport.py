"""Reading a file by HTTP, from a server that may do anything.

What the standard library reads until it ends, from headers to trailers, is limited here.
"""

from __future__ import annotations

import base64
import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import closing, suppress
from functools import partial
from typing import Any, cast

from sketchforge.storage.pieces import CHUNK, client_errors, read_pieces, sanitize, skip_bytes
from sketchforge.storage.stall_guard import StallGuard, TransferError
from sketchforge.utils.versions import installed_version

MAX_REDIRECTS = 5
MAX_LINES = 100  # of trailers, and responses before the real one: as many as http.client reads headers
_WORTH_RETRYING = {408, 425, 429, *range(500, 600)}  # HTTP
_NO_FILE = (404, 410)  # HTTP


class _BoundedResponse(http.client.HTTPResponse):
    """Gives up where http.client reads lines until they end: trailers, and responses such as 100 Continue.

    It has no public place for this; where a Python has other names inside, the StallGuard remains.
    """

    _num_responses = 0

    def _read_status(self) -> tuple[str, int, str]:
        self._num_responses += 1
        if self._num_responses > MAX_LINES:
            raise http.client.HTTPException(f"more than {MAX_LINES} responses to one request")
        return cast(tuple[str, int, str], cast(Any, super())._read_status())

    def _read_and_discard_trailer(self) -> None:
        for _ in range(MAX_LINES):
            if self.fp.readline(CHUNK) in (b"\r\n", b"\n", b""):
                return
        raise http.client.HTTPException(f"more than {MAX_LINES} lines after the last chunk")


class _WatchedConnection(http.client.HTTPConnection):
    guard: StallGuard
    response_class = _BoundedResponse

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(2 * self.guard.seconds)  # the guard comes first, and says that it was a stall
        # A duplicate: ssl takes the socket over, and its handshake must be ended, too.
        watched = self.guard.resources.enter_context(self.sock.dup())
        self.guard.on_stall(partial(_shut_down, watched))


class _WatchedTlsConnection(http.client.HTTPSConnection, _WatchedConnection):
    """HTTPSConnection's connect calls that of _WatchedConnection, then begins with TLS."""


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def __init__(self, guard: StallGuard) -> None:
        super().__init__()
        self._guard = guard

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(self._connect, _WatchedConnection), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(self._connect, _WatchedTlsConnection), request)

    def _connect(
        self, kind: type[_WatchedConnection | _WatchedTlsConnection], host: str, **options: Any
    ) -> http.client.HTTPConnection:
        connection = kind(host, **options)
        connection.guard = self._guard
        return connection


def http_chunks(address: str, limit: int, guard: StallGuard, offset: int) -> Generator[bytes, None, None]:
    with _open_url(address, guard, f"bytes={offset}-{offset + limit - 1}" if offset else None) as response:
        promised = response.headers.get("Content-Length", "")
        part = response.headers.get("Content-Range", "")
        if response.status == 206 and not part.startswith(f"bytes {offset}-"):
            raise TransferError(f"another part was sent than asked for ({sanitize(part)})")
        received = 0
        if offset and response.status != 206:  # a server that knows no ranges sends all
            received, limit = 0, limit + offset
            yield from skip_bytes(read_pieces(response.read1, limit, guard), offset)
            return
        for chunk in read_pieces(response.read1, limit, guard):
            received += len(chunk)
            yield chunk
        guard.check()
        if promised.isdecimal() and received < min(int(promised[:20]), limit):
            raise TransferError(f"cut off after {received:,} of {int(promised[:20]):,} bytes")


def http_size(address: str, guard: StallGuard) -> int:
    """The bytes of a file, as its server announces them. Raises TransferError where it does not."""
    with client_errors(guard), _open_url(address, guard, method="HEAD") as response:
        size = str(response.headers.get("Content-Length", ""))
    if not size.isdecimal():
        raise TransferError("its server does not tell its size", lasting=True)
    return int(size[:20])


def _open_url(
    address: str, guard: StallGuard, part: str | None = None, method: str = "GET"
) -> http.client.HTTPResponse:
    """Open a URL, by way of the environment's proxies and MAX_REDIRECTS redirections at most.

    part: the Range that is asked for.

    Redirections are followed here: urllib reads their bodies, however long, and follows them to ftp.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), _Handler(guard), urllib.request.HTTPErrorProcessor(),
                    urllib.request.HTTPDefaultErrorHandler(), urllib.request.UnknownHandler()):  # fmt: skip
        opener.add_handler(handler)
    url, visited = address, set[str]()
    while url not in visited and len(visited) <= MAX_REDIRECTS:
        visited.add(url)
        try:
            return cast(
                http.client.HTTPResponse,
                opener.open(_build_request(url, part, method), timeout=guard.seconds),
            )
        except urllib.error.HTTPError as error:
            with closing(error):
                location = error.headers.get("Location")
                if error.code not in (301, 302, 303, 307, 308) or not location:
                    raise TransferError(
                        f"HTTP {error.code} {sanitize(error.reason)}",
                        error.code not in _WORTH_RETRYING,
                        error.code in _NO_FILE,
                    ) from error
                url = urllib.parse.urljoin(url, location)
        if urllib.parse.urlsplit(url).scheme.lower() not in ("http", "https"):
            raise TransferError(f"redirected to {sanitize(url)}, which is not followed", lasting=True)
    raise TransferError(f"redirected more than {MAX_REDIRECTS} times, or in a circle", lasting=True)


def _build_request(url: str, part: str | None, method: str) -> urllib.request.Request:
    """A request for the file as it is stored: `user:password@` in a URL becomes a header, as in curl."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    location = parts._replace(netloc=host, fragment="").geturl()
    headers = {
        "Accept-Encoding": "identity",
        "User-Agent": f"sketchforge/{installed_version('sketchforge', missing='0')}",
    }
    if part:
        headers["Range"] = part
    if at:
        token = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
        headers["Authorization"] = f"Basic {token}"
    quoted = urllib.parse.quote(location, safe="%/:=&?~+!$,;'@()*[]")
    return urllib.request.Request(quoted, headers=headers, method=method)
