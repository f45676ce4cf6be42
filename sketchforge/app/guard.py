"""What stands before every request: the token, limits on what is sent, and headers that forbid all but our own."""

from __future__ import annotations

import hmac
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 << 20  # bytes: of a photo as it comes from a camera
HEADERS = {
    # Nothing but this server's own files; pictures may be made in the page.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class BodyTooLargeError(Exception):
    """More bytes were sent than the limit, which the message names."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"too large: more than {limit / (1 << 20):.0f} MB; send a smaller file")


def fail(status: int, message: str) -> JSONResponse:
    """An error as pages read it: {"error": one line}."""
    return JSONResponse({"error": " ".join(message.split())}, status)


class Guard:
    """ASGI middleware: paths begin with the token, or the answer is 403; bodies end at MAX_BODY."""

    def __init__(self, app: ASGIApp, token: str, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._prefix = f"/{token}/".encode()
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # nothing else is answered
        send = _add_headers(send)
        path = scope["path"].encode()
        if not hmac.compare_digest(path[: len(self._prefix)], self._prefix):
            refusal = fail(403, "not without the token: open the address that `sketchforge app` printed")
            await refusal(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            await fail(413, str(BodyTooLargeError(self._max_body)))(scope, receive, send)
            return
        scope = {**scope, "path": "/" + path[len(self._prefix) :].decode(), "raw_path": None}
        await self._app(scope, _count_bytes(receive, self._max_body), send)


def _add_headers(send: Send) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return send_guarded


def _count_bytes(receive: Receive, limit: int) -> Receive:
    """Bodies need not say beforehand how long they are: reading beyond the limit raises BodyTooLargeError."""
    total = 0

    async def receive_counted() -> Any:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise BodyTooLargeError(limit)
        return message

    return receive_counted
