"""The work of the worker processes: decode pictures, encode sketches. Free of torch."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sketchforge.errors import SketchforgeError
from sketchforge.images import ImageError, decode_image, fit_square
from sketchforge.shards.schema import JPEG_QUALITY
from sketchforge.sources import ImageSource

if TYPE_CHECKING:
    import numpy as np

PNG_COMPRESSION = 6


@dataclass(frozen=True)
class Prepared:
    """One input, read and fitted; `reason` says why not, and then there are no pixels."""

    reason: str | None
    seconds: float
    pixels: np.ndarray | None = None  # uint8 HxWx3 RGB, to be drawn from
    jpeg: bytes = b""  # the same picture, to be stored
    sha256: str = ""  # of the source bytes
    original_width: int = 0
    original_height: int = 0


def prepare(image: ImageSource, size: int, fit: str) -> Prepared:
    """Read, decode and fit one image, and encode it for the shard."""
    start = time.perf_counter()
    try:
        data = image.read()
        decoded = decode_image(data)
    except ImageError as error:
        return Prepared(error.reason, time.perf_counter() - start)
    pixels = fit_square(decoded.pixels, size, fit)
    untouched = decoded.is_plain_jpeg and pixels.shape == decoded.pixels.shape
    height, width = decoded.pixels.shape[:2]
    return Prepared(
        None,
        time.perf_counter() - start,
        pixels,
        data if untouched else encode_jpeg(pixels),
        hashlib.sha256(data).hexdigest(),
        width,
        height,
    )


def encode_sketches(sketches: np.ndarray, bilevel: bool) -> tuple[list[bytes], float]:
    """uint8 NxHxW -> N PNG files and the seconds spent; `bilevel` for sketches of 0 and 255 only."""
    start = time.perf_counter()
    return [encode_png(sketch, bilevel) for sketch in sketches], time.perf_counter() - start


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """uint8 HxWx3 RGB -> JPEG, colour at full resolution."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def encode_png(grey: np.ndarray, bilevel: bool) -> bytes:
    """uint8 HxW -> PNG of 8 bits a pixel, or of one (0 and 255 only)."""
    import cv2

    parameters = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION, cv2.IMWRITE_PNG_BILEVEL, int(bilevel)]
    done, data = cv2.imencode(".png", grey, parameters)
    if not done:
        raise ValueError(f"PNG encoding failed for {grey.dtype} of shape {grey.shape}")
    return data.tobytes()


class WorkerPool:
    """Processes that run the functions above.

    They never see Ctrl-C, which is the parent's to handle, and they end themselves when the parent is gone,
    even by kill -9. Started by `spawn`: forking after torch or cv2 have started threads can deadlock.
    """

    def __init__(self, num_workers: int) -> None:
        self._pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), _start_worker)

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        with _interrupts_held():
            return self._pool.submit(function, *arguments)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def worker_pool(num_workers: int) -> Iterator[WorkerPool]:
    """A pool that is gone when the block ends; SketchforgeError when one of its processes dies."""
    pool = WorkerPool(num_workers)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise SketchforgeError(
            "a worker process died (killed, or out of memory); finished shards are kept, run the same "
            "command again, with fewer --workers if memory was short"
        ) from error
    finally:
        pool.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold SIGINT back while a process may be started: it inherits that, and Ctrl-C cannot hit it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)  # the processes are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
