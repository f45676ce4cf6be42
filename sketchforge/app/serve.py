"""Open models and a port, then serve the page until a signal comes."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import Callable
from types import FrameType

import cv2
import numpy as np
import uvicorn

from sketchforge.app.models import offer_models
from sketchforge.app.server import AppServer, create_app
from sketchforge.app.styles import StyleShelf
from sketchforge.errors import UsageError
from sketchforge.images.encode import encode_png
from sketchforge.options import AppOptions
from sketchforge.utils.device import set_threads
from sketchforge.utils.progress import Progress

WARM_SIDE = 256  # of the drawing that the model is given before anyone waits


def serve_app(options: AppOptions, announce: Callable[[str], None], progress: Progress | None = None) -> None:
    """Serve the page; `announce` is told its address once requests are taken. Returns only by an exception.

    Raises UsageError for a model, style, host or port that cannot be had, SketchforgeError for a damaged model,
    KeyboardInterrupt on a signal.
    """
    progress = progress or Progress()
    set_threads(options.threads)
    with _open_socket(options.host, options.port) as listener:
        models = offer_models(options.model, options.device)
        first = next(iter(models.values()))
        styles = StyleShelf(options.style)
        progress.note(f"model {first.name}, {first.model.size} pixels")
        first.paint(_warm_drawing(), [styles.list()[0].pixels])
        token = secrets.token_urlsafe(16)
        app = create_app(AppServer(models, styles, options.device), token)
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="critical",  # answers tell what failed
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
            )
        )
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        if not _is_loopback(host.strip("[]")):
            progress.note(
                f"--host {options.host}: other machines may reach this, unencrypted; whoever has the address may use it"
            )
        announce(f"http://{host}:{port}/{token}/")
        asyncio.run(server.serve([listener]))
        raise KeyboardInterrupt  # where the signal was to be ignored, as by background jobs of shells


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End at the first signal: pages keep their connections open, and would be waited for."""
        super().handle_exit(sig, frame)
        self.force_exit = True


def _open_socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise UsageError(f"--host {host}: {error.strerror}; --host 127.0.0.1 is this machine") from error
    except OSError as error:
        raise UsageError(
            f"--port {port}: cannot be used on {host} ({error.strerror}); --port 0 takes any that is free"
        ) from error


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _warm_drawing() -> bytes:
    drawing = np.full((WARM_SIDE, WARM_SIDE), 255, np.uint8)
    cv2.circle(drawing, (WARM_SIDE // 2, WARM_SIDE // 2), WARM_SIDE // 4, 0, 2)
    return encode_png(drawing, binary=True)
