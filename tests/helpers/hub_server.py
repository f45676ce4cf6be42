"""A stand-in for Hugging Face's Hub on this machine: what uploading a folder asks of it, and refusals."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Hub:
    """What was asked for. refuse: the status, and the words, with which everything is answered from then on."""

    address: str = ""
    refuse: tuple[int, str] | None = None
    created: list[dict] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)


@contextmanager
def hub_server() -> Iterator[Hub]:
    hub = Hub()

    class Exchange(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(hub.refuse[0] if hub.refuse else 404, {"error": hub.refuse[1] if hub.refuse else ""})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hub.tokens.add(self.headers.get("Authorization", ""))
            if hub.refuse:
                self.answer(hub.refuse[0], {"error": hub.refuse[1]})
            elif self.path.endswith("/api/repos/create"):
                hub.created.append(json.loads(body))
                self.answer(200, {"url": f"{hub.address}/datasets/me/set"})
            elif "/preupload/" in self.path:
                # Small files are sent as they are, in the commit itself.
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(body)["files"]
                ]
                self.answer(200, {"files": files})
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                oid = "0" * 40
                self.answer(
                    200, {"commitUrl": f"{hub.address}/datasets/me/set/commit/{oid}", "commitOid": oid}
                )
            else:  # the head of a card, to be checked
                self.answer(200, {"errors": [], "warnings": []})

        def answer(self, status: int, value: dict) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
