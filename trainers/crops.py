"""Training crops as a pure function of (seed, purpose, position), independent of earlier crops."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from sketchforge.errors import SketchforgeError
from sketchforge.images.decode import ImageError
from sketchforge.images.tensors import to_tensor
from sketchforge.utils.seeding import numpy_generator
from sketchforge.utils.signals import deferred_signals, raise_deferred
from sketchforge.utils.text import count_noun

_log = logging.getLogger(__name__)

CACHE_BYTES = 1 << 30
WAIT_SECONDS = 0.2  # for an image, before a signal is looked for


class CropSampler:
    """Random square crops of images; each pass shuffles the images and uses every image once.

    readers: functions that return uint8 H×W×3 RGB. Decoded images are cached while they fit in CACHE_BYTES.
    Where a reader raises ImageError, the next readable image replaces its image, so a crop does not depend on
    earlier crops. `unreadable` collects the indices that failed so far. Raises SketchforgeError when no image
    can be read.
    zoom: the crop's side is a uniform share between 1/zoom and 1 of the image's shorter side.
    """

    def __init__(
        self,
        readers: Sequence[Callable[[], np.ndarray]],
        size: int,
        seed: int,
        purpose: str,
        zoom: float = 1.5,
    ) -> None:
        self.readers, self.size, self.seed, self.purpose, self.zoom = readers, size, seed, purpose, zoom
        self.unreadable: set[int] = set()
        self._cache: dict[int, np.ndarray] = {}
        self._cached_bytes = 0
        self._epoch, self._permutation = -1, np.arange(0)

    def batch(self, step: int, count: int) -> Tensor:
        """(count, 3, size, size) float32 in [-1, 1]: crops at positions step·count to (step+1)·count - 1."""
        return torch.cat([to_tensor(self.crop(step * count + i)) for i in range(count)])

    def crop(self, position: int) -> np.ndarray:
        """uint8 size×size×3, the crop at this position of the endless sequence."""
        epoch, index_in_epoch = divmod(position, len(self.readers))
        return self.crop_of(int(self._shuffle_images(epoch)[index_in_epoch]), position)

    def crop_of(self, index: int, position: int) -> np.ndarray:
        """uint8 size×size×3, the crop that this position takes of the image `index`."""
        image = self._read_image(index)
        rng = numpy_generator(self.seed, f"{self.purpose} crop", position)
        shorter = min(image.shape[:2])
        side = max(round(shorter * rng.uniform(1 / self.zoom, 1.0)), 1)
        top = int(rng.integers(image.shape[0] - side + 1))
        left = int(rng.integers(image.shape[1] - side + 1))
        crop = image[top : top + side, left : left + side]
        method = cv2.INTER_AREA if side > self.size else cv2.INTER_CUBIC
        crop = cv2.resize(crop, (self.size, self.size), interpolation=method)
        return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop

    def _shuffle_images(self, epoch: int) -> np.ndarray:
        if self._epoch != epoch:
            rng = numpy_generator(self.seed, f"{self.purpose} order", epoch)
            self._epoch, self._permutation = epoch, rng.permutation(len(self.readers))
        return self._permutation

    def _read_image(self, index: int) -> np.ndarray:
        for offset in range(len(self.readers)):
            candidate = (index + offset) % len(self.readers)
            if candidate not in self.unreadable:
                try:
                    return self._decode(candidate)
                except ImageError as error:
                    _log.info("%s: image %d: %s", self.purpose, candidate, error)
                    self.unreadable.add(candidate)
        raise SketchforgeError(f"none of {count_noun(len(self.readers), 'image')} can be read")

    def _decode(self, index: int) -> np.ndarray:
        if index in self._cache:
            return self._cache[index]
        image = self.readers[index]()
        if self._cached_bytes + image.nbytes <= CACHE_BYTES:
            self._cache[index] = image
            self._cached_bytes += image.nbytes
        return image


class Prefetch:
    """Prepares the next step's batch in a thread while this step trains."""

    def __init__(self, make: Callable[..., Any]) -> None:
        """make: a pure function of the arguments that `get` is given."""
        self._make = make
        self._pool = ThreadPoolExecutor(1)
        self._ahead: tuple[tuple, Future] | None = None

    def get(self, this: tuple, following: tuple) -> Any:
        """Return make(*this), and start make(*following) in the thread.

        The next call uses the result if its `this` equals this `following`.
        """
        # A signal while a thread is started, given work or waited for can make both threads hang.
        with deferred_signals(signal.SIGINT, signal.SIGTERM):
            ahead = self._ahead
            while ahead is not None and not ahead[1].done():
                wait([ahead[1]], timeout=WAIT_SECONDS)
                raise_deferred()  # the read may hang
            if ahead is not None and ahead[0] != this:
                ahead[1].exception()  # one thread at a time reads images
            batch = ahead[1].result() if ahead is not None and ahead[0] == this else self._make(*this)
            self._ahead = (following, self._pool.submit(self._make, *following))
        return batch

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
