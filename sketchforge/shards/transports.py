"""One attempt at reading a file from elsewhere: by HTTP, from a path, or as what a command prints.

`chunks` never yields more bytes than it is asked for, and ends, by an error, as soon as its StallGuard sees no
progress. Nothing that a command has started outlives the attempt, or this process, however it ends.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from functools import partial
from typing import Any, cast

from sketchforge.shards.stall_guard import StallGuard, TransferError
from sketchforge.utils.versions import installed_version

CHUNK = 1 << 18  # bytes
MAX_REDIRECTS = 5
MAX_LINES = 100  # of trailers, and responses before the real one: as many as http.client reads headers
_WORTH_RETRYING = {408, 425, 429, *range(500, 600)}  # HTTP
_NOT_RUNNABLE = (126, 127)  # a shell's exit codes for a program that is not there or cannot be run
_LASTING_ERRORS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
_STDERR_BYTES = 4096

# The command's group is killed as soon as the pipe at fd 0 closes: when this process closes it, or dies.
# Its background part takes the pipe as fd 3, for a shell gives such parts /dev/null as fd 0.
_LEASHED = 'exec 3<&0 </dev/null; (cat <&3; kill -9 0) >/dev/null 2>&1 & exec "$@" 3<&-'
# webdataset's opener runs commands, so it gets a process of its own, with which they can be killed. Its package
# is not imported as a whole: that takes seconds.
_GOPEN = """
import importlib.util, shutil, sys, types
folders = importlib.util.find_spec("webdataset").submodule_search_locations
package = sys.modules["webdataset"] = types.ModuleType("webdataset")
package.__path__ = folders
from webdataset.gopen import gopen
try:
    with gopen(sys.argv[1], "rb") as stream:
        shutil.copyfileobj(stream, sys.stdout.buffer)
except (OSError, ValueError, ImportError) as error:
    missing = isinstance(error, FileNotFoundError) and error.filename and "/" not in str(error.filename)
    print(f"needs the program {error.filename}" if missing else error, file=sys.stderr)
    sys.exit(127 if missing or not isinstance(error, OSError) else 1)
"""


def chunks(address: str, limit: int, guard: StallGuard) -> Generator[bytes, None, None]:
    """Yield at most `limit` bytes of the file at `address`, in pieces. Raises TransferError."""
    scheme = urllib.parse.urlsplit(address).scheme.lower()
    if scheme in ("http", "https"):
        source = _http_chunks(address, limit, guard)
    elif scheme == "pipe":
        source = _command_chunks(["/bin/sh", "-c", address.removeprefix("pipe:")], limit, guard)
    elif len(scheme) > 1 and scheme != "file":
        source = _command_chunks([sys.executable, "-c", _GOPEN, address], limit, guard)
    else:
        source = _file_chunks(address, limit, guard)
    try:
        with closing(source):
            yield from source
    except (OSError, http.client.HTTPException, ValueError) as error:
        guard.check()
        raise TransferError(_describe_cause(error), _is_lasting(error)) from error
    guard.check()


def _read(read: Callable[[int], bytes], limit: int, guard: StallGuard) -> Generator[bytes, None, None]:
    while limit > 0 and (chunk := read(min(CHUNK, limit))):
        limit -= len(chunk)
        guard.progress(len(chunk))
        yield chunk


def _file_chunks(address: str, limit: int, guard: StallGuard) -> Generator[bytes, None, None]:
    path = address
    if address.lower().startswith("file:"):
        path = urllib.request.url2pathname(urllib.parse.urlsplit(address).path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise TransferError("not a regular file", lasting=True)
    with open(path, "rb", buffering=0) as file:
        yield from _read(file.read, limit, guard)


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
        for chunk in _read(process.stdout.read, limit, guard):
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


def _http_chunks(address: str, limit: int, guard: StallGuard) -> Generator[bytes, None, None]:
    with _open_url(address, guard) as response:
        promised = response.headers.get("Content-Length", "")
        received = 0
        for chunk in _read(response.read1, limit, guard):
            received += len(chunk)
            yield chunk
        guard.check()
        if promised.isdecimal() and received < min(int(promised[:20]), limit):
            raise TransferError(f"cut off after {received:,} of {int(promised[:20]):,} bytes")


def _open_url(address: str, guard: StallGuard) -> http.client.HTTPResponse:
    """Open a URL, by way of the environment's proxies and MAX_REDIRECTS redirections at most.

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
            return cast(http.client.HTTPResponse, opener.open(_build_request(url), timeout=guard.seconds))
        except urllib.error.HTTPError as error:
            with closing(error):
                location = error.headers.get("Location")
                if error.code not in (301, 302, 303, 307, 308) or not location:
                    raise TransferError(
                        f"HTTP {error.code} {_sanitize(error.reason)}", error.code not in _WORTH_RETRYING
                    ) from error
                url = urllib.parse.urljoin(url, location)
        if urllib.parse.urlsplit(url).scheme.lower() not in ("http", "https"):
            raise TransferError(f"redirected to {_sanitize(url)}, which is not followed", lasting=True)
    raise TransferError(f"redirected more than {MAX_REDIRECTS} times, or in a circle", lasting=True)


def _build_request(url: str) -> urllib.request.Request:
    """A request for the file as it is stored: `user:password@` in a URL becomes a header, as in curl."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    location = parts._replace(netloc=host, fragment="").geturl()
    headers = {
        "Accept-Encoding": "identity",
        "User-Agent": f"sketchforge/{installed_version('sketchforge', missing='0')}",
    }
    if at:
        token = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
        headers["Authorization"] = f"Basic {token}"
    return urllib.request.Request(urllib.parse.quote(location, safe="%/:=&?~+!$,;'@()*[]"), headers=headers)


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
    return _sanitize(text)


def _sanitize(text: object) -> str:
    """A stranger's text in one short printable line."""
    return re.sub(r"[^\x20-\x7e\xa0-\uffff]", "?", str(text))[:200]
