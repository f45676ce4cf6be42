"""A local S3 server (moto's) that fails when it is told to."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REFUSE, CUT, STALL, LOSE = "refuse", "cut", "stall", "lose"


class S3Server:
    """A WSGI application around moto's; `faults` decides about requests one after another.

    faults(method, path) -> REFUSE: HTTP 503; CUT: half of the answer, to a PUT none; STALL: no answer; LOSE: done, but no
    answer; None: moto's own.
    """

    def __init__(self, application: Callable) -> None:
        self._application = application
        self.url = ""
        self.faults: Callable[[str, str], str | None] = lambda *_: None
        self.requests: Counter[str] = Counter()
        self.ended = threading.Event()

    def __call__(self, environ: dict, start_response: Callable) -> Iterator[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests[method] += 1
        fault = self.faults(method, path)
        if fault == STALL:
            self.ended.wait(60)
            raise ConnectionAbortedError
        if fault == CUT and method == "PUT":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if fault == REFUSE:
            text = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            start_response("503 Slow Down", [("Content-Length", str(len(text)))])
            yield text
            return
        body = b"".join(self._application(environ, start_response))
        if fault == LOSE:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if fault == CUT:
            yield body[: len(body) // 2]
            raise ConnectionAbortedError
        yield body

    def fail_once(self, fault: str, method: str, ending: str = "") -> None:
        """Answer the first request of a method for a path of an ending by a fault."""
        left = [fault]
        self.faults = lambda name, path: (
            left.pop() if left and name == method and path.endswith(ending) else None
        )


@contextmanager
def s3_server(monkeypatch) -> Iterator[S3Server]:
    """Run a server with an empty bucket `b`, and make clients of this process and its children use it."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *_: object) -> None: ...

        def log_error(self, *_: object) -> None: ...

    application = S3Server(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    application.url = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "AWS_ENDPOINT_URL": application.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        yield application
    finally:
        application.ended.set()
        server.shutdown()
        server.server_close()
