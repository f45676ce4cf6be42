"""An HTTP server that misbehaves as it is told, request by request."""

from __future__ import annotations

import gzip
import http.server
import random
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import partial

CHUNK = bytes(1 << 16)
DRIP_SECONDS = 0.02  # between two bytes


class Exchange(http.server.BaseHTTPRequestHandler):
    """One request; a behaviour answers it by these methods, or writes what it likes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.server.hostile.answer(self)

    def do_HEAD(self) -> None:
        self.close_connection = True
        data = self.server.hostile.files.get(self.path.rpartition("/")[2])
        with suppress(OSError):
            self.start(404 if data is None else 200, length=len(data or b""))

    def log_message(self, *_: object) -> None: ...

    def start(self, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, data: bytes) -> None:
        self.server.hostile.count(len(data))
        self.wfile.write(data)

    def rest(self, seconds: float | None = None) -> bool:
        """Wait for the client to go, for the server's end, or for so long; whether to go on."""
        ended = self.server.hostile.ended
        readable, _, _ = select.select([self.connection, ended], [], [], seconds)
        return not readable

    def drip(self, data: bytes) -> None:
        """Send a byte at a time, and begin anew at the end."""
        while True:
            for index in range(len(data)):
                self.send(data[index : index + 1])
                if not self.rest(DRIP_SECONDS):
                    return


Behaviour = Callable[[Exchange, bytes], None]


def good(exchange: Exchange, data: bytes) -> None:
    exchange.start(length=len(data))
    exchange.send(data)


def ranged(exchange: Exchange, data: bytes) -> None:
    """The part that is asked for, where one is."""
    asked = exchange.headers.get("Range", "")
    if not asked:
        good(exchange, data)
        return
    first, last = map(int, asked.removeprefix("bytes=").split("-"))
    part = data[first : last + 1]
    exchange.start(206, length=len(part), Content_Range=f"bytes {first}-{first + len(part) - 1}/{len(data)}")
    exchange.send(part)


def other_part(exchange: Exchange, data: bytes) -> None:
    """Ten bytes from the eighth on, whatever was asked for."""
    exchange.start(206, length=10, Content_Range=f"bytes 7-16/{len(data)}")
    exchange.send(data[7:17])


def good_in_chunks(exchange: Exchange, data: bytes) -> None:
    exchange.start(Transfer_Encoding="chunked")
    for start in range(0, len(data), 1000):
        piece = data[start : start + 1000]
        exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    exchange.send(b"0\r\n\r\n")


def until_closed(exchange: Exchange, data: bytes) -> None:
    """No length: the end of the connection is the end of the file."""
    exchange.start()
    exchange.send(data)


def cut(exchange: Exchange, data: bytes, part: float = 0.5) -> None:
    exchange.start(length=len(data))
    exchange.send(data[: int(len(data) * part)])


def short(exchange: Exchange, data: bytes) -> None:
    """The first half, and a length that agrees with it."""
    good(exchange, data[: len(data) // 2])


def too_long(exchange: Exchange, data: bytes) -> None:
    good(exchange, data + b"more")


def wrong_length(exchange: Exchange, data: bytes) -> None:
    exchange.start(length=3)
    exchange.send(data)


def other_contents(exchange: Exchange, data: bytes) -> None:
    good(exchange, data[:-1] + bytes([data[-1] ^ 1]))


def stall(exchange: Exchange, data: bytes) -> None:
    exchange.start(length=len(data))
    exchange.send(data[: len(data) // 2])
    exchange.rest()


def mute(exchange: Exchange, data: bytes) -> None:
    exchange.rest()


def drip(exchange: Exchange, data: bytes) -> None:
    exchange.start(length=1 << 40)
    exchange.drip(data)


def drip_headers(exchange: Exchange, data: bytes) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 50)


def endless(exchange: Exchange, data: bytes) -> None:
    exchange.start()
    while True:
        exchange.send(CHUNK)


def endless_chunks(exchange: Exchange, data: bytes) -> None:
    exchange.start(Transfer_Encoding="chunked")
    while True:
        exchange.send(b"10000\r\n%s\r\n" % CHUNK)


def endless_headers(exchange: Exchange, data: bytes) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        exchange.send(b"X-A: " + b"b" * 1000 + b"\r\n")


def endless_continues(exchange: Exchange, data: bytes) -> None:
    while True:
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def endless_trailers(exchange: Exchange, data: bytes) -> None:
    exchange.start(Transfer_Encoding="chunked")
    exchange.send(b"%x\r\n%s\r\n0\r\n" % (len(data), data))
    while True:
        exchange.send(b"X-A: b\r\n" * 100)


def garbage(exchange: Exchange, data: bytes) -> None:
    exchange.send(b"\x16\x03\x01\0\xff" * 20 + b"\r\n\r\n")


def garbage_chunks(exchange: Exchange, data: bytes) -> None:
    exchange.start(Transfer_Encoding="chunked")
    exchange.send(b"-5\r\n" + data)


def hang_up(exchange: Exchange, data: bytes) -> None:
    """Reset the connection without an answer."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def refuse(exchange: Exchange, data: bytes, status: int = 500) -> None:
    exchange.start(status, length=5)
    exchange.send(b"sorry")


def redirect(exchange: Exchange, data: bytes, to: str = "") -> None:
    """To an address, or in a circle."""
    exchange.start(302, length=0, Location=to or exchange.path)


def redirect_for_ever(exchange: Exchange, data: bytes) -> None:
    exchange.start(302, length=0, Location=exchange.path + "x")


def redirect_with_endless_body(exchange: Exchange, data: bytes) -> None:
    exchange.start(302, Location=exchange.path + "x")
    while True:
        exchange.send(CHUNK)


def gzip_bomb(exchange: Exchange, data: bytes) -> None:
    bomb = gzip.compress(bytes(1 << 24))
    exchange.start(length=len(bomb), Content_Encoding="gzip")
    exchange.send(bomb)


BENIGN = (good, good_in_chunks, until_closed)
PASSING = (  # another attempt may succeed
    cut, short, too_long, wrong_length, other_contents, stall, mute, drip, drip_headers, endless, endless_chunks,
    endless_headers, endless_continues, endless_trailers, garbage, garbage_chunks, hang_up, gzip_bomb,
    partial(refuse, status=500), partial(refuse, status=503), partial(refuse, status=429),
)  # fmt: skip
LASTING = (
    partial(refuse, status=403), partial(refuse, status=404), redirect, redirect_for_ever, redirect_with_endless_body,
    partial(redirect, to="file:///etc/passwd"), partial(redirect, to="pipe:echo hacked"), partial(redirect, to="ftp://x/y"),
)  # fmt: skip


class HostileServer:
    """Serves `files` by name from localhost; `behave(name, n)` says how the n-th request for a file is answered.

    requests: how often each name was asked for. sent: bytes of answers, headers apart.
    """

    def __init__(self, files: dict[str, bytes], behave: Callable[[str, int], Behaviour]) -> None:
        self.files, self.behave = files, behave
        self.requests: Counter[str] = Counter()
        self.sent = 0
        self._mutex = threading.Lock()
        self.ended, self._end = socket.socketpair()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
        self._server.hostile = self
        self._server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self._server.server_port}/out"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, exchange: Exchange) -> None:
        name = exchange.path.rpartition("/")[2]
        with self._mutex:
            self.requests[name] += 1
            number = self.requests[name]
        known = name.rstrip("x")
        if known not in self.files:
            refuse(exchange, b"", 404)
        else:
            self.behave(known, number)(exchange, self.files[known])

    def count(self, num_bytes: int) -> None:
        with self._mutex:
            self.sent += num_bytes

    def close(self) -> None:
        self._end.send(b"x")  # never read: whoever rests wakes up
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def hostile_server(files: dict[str, bytes], behave: Callable[[str, int], Behaviour]):
    server = HostileServer(files, behave)
    try:
        yield server
    finally:
        server.close()


def in_turn(*behaviours: Behaviour) -> Callable[[str, int], Behaviour]:
    """The first request for a file is answered by the first behaviour, and so on; then by the last."""
    return lambda name, number: behaviours[min(number, len(behaviours)) - 1]


def random_behaviour(rng: random.Random) -> Behaviour:
    kinds = rng.choices((BENIGN, PASSING, LASTING), (4, 8, 1))[0]
    behaviour = rng.choice(kinds)
    return partial(cut, part=rng.random()) if behaviour is cut else behaviour


def name_of(behaviour: Behaviour) -> str:
    if isinstance(behaviour, partial):
        return " ".join([behaviour.func.__name__, *map(str, behaviour.keywords.values())])
    return behaviour.__name__
