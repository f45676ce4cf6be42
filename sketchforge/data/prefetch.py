"""Batches on their way to the device, ahead of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sketchforge.images.tensors import normalize_pixels
from sketchforge.utils.device import to_device

Batch = dict[str, Any]


def move_to_device(batch: Mapping[str, Any], device: torch.device) -> Batch:
    """Tensors on the device, of them uint8 ones as float32 in [-1, 1]: images travel at a quarter of the size."""
    here = {name: to_device(value, device) for name, value in batch.items()}
    return {
        name: normalize_pixels(value) if isinstance(value, Tensor) and value.dtype == torch.uint8 else value
        for name, value in here.items()
    }


class DevicePrefetch:
    """Batches on a device, the next one on its way while one is trained on.

    loader: batches as dicts; move(batch, device) brings one there, and may do with it what is better done
    there. On CUDA it runs on a stream of its own, beside the training.
    """

    def __init__(
        self,
        loader: Iterable[Mapping[str, Any]],
        device: torch.device,
        move: Callable[[Mapping[str, Any], torch.device], Batch] = move_to_device,
    ) -> None:
        self._loader, self._device, self._move = loader, torch.device(device), move
        self._waited = 0.0

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    @property
    def waited(self) -> float:
        """Seconds spent waiting for the loader since this was last asked."""
        waited, self._waited = self._waited, 0.0
        return waited

    def __iter__(self) -> Iterator[Batch]:
        loader = iter(self._loader)
        if self._device.type != "cuda":
            while (batch := self._next(loader)) is not None:
                here = self._move(batch, self._device)
                del batch  # whose memory may be wanted for the next one
                yield here
            return
        stream = torch.cuda.Stream(self._device)
        ahead = self._copied(self._next(loader), stream)
        while ahead is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(stream)
            for value in ahead.values():
                if isinstance(value, Tensor):
                    value.record_stream(current)  # or its memory might be given away while it is in use
            here, ahead = ahead, self._copied(self._next(loader), stream)
            yield here

    def _next(self, loader: Iterator[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        start = time.perf_counter()
        batch = next(loader, None)
        self._waited += time.perf_counter() - start
        return batch

    def _copied(self, batch: Mapping[str, Any] | None, stream: torch.cuda.Stream) -> Batch | None:
        if batch is None:
            return None
        with torch.cuda.stream(stream):
            return self._move(batch, self._device)
