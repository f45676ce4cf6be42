"""Moving batches to the device ahead of their use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sketchforge.data.augment import normalize_entry
from sketchforge.data.dataset import NUMBERS
from sketchforge.utils.device import to_device

Batch = dict[str, Any]


def move_to_device(batch: Mapping[str, Any], device: torch.device) -> Batch:
    """Move tensors to the device; uint8 ones become float32 there: a quarter of the bytes.

    Samples' numbers stay: the host decides by them, and would have to wait for the device to read them back.
    """
    moved = {name: value if name in NUMBERS else to_device(value, device) for name, value in batch.items()}
    return {
        name: normalize_entry(name, value)
        if isinstance(value, Tensor) and value.dtype == torch.uint8
        else value
        for name, value in moved.items()
    }


class DevicePrefetch:
    """Yields batches on a device, and moves the next one there while the current one is trained on.

    loader: batches as dicts.
    move(batch, device): moves a batch, and may process it there. On CUDA it runs on a separate stream, in
    parallel with the training.
    """

    def __init__(
        self,
        loader: Iterable[Mapping[str, Any]],
        device: torch.device,
        move: Callable[[Mapping[str, Any], torch.device], Batch] = move_to_device,
    ) -> None:
        self._loader, self._device, self._move = loader, torch.device(device), move
        self._wait_seconds = 0.0

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    @property
    def waited(self) -> float:
        """Seconds spent waiting for the loader since this property was last read."""
        seconds, self._wait_seconds = self._wait_seconds, 0.0
        return seconds

    def __iter__(self) -> Iterator[Batch]:
        loader = iter(self._loader)
        if self._device.type != "cuda":
            while (batch := self._fetch_next(loader)) is not None:
                ready = self._move(batch, self._device)
                del batch  # its memory may be reused for the next one
                yield ready
            return
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch's
        upcoming = self._copy(self._fetch_next(loader), stream)
        while upcoming is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(stream)
            for value in upcoming.values():
                if isinstance(value, Tensor) and value.is_cuda:
                    value.record_stream(current)  # or its memory might be reused while it is in use
            ready, upcoming = upcoming, self._copy(self._fetch_next(loader), stream)
            yield ready

    def _fetch_next(self, loader: Iterator[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        start = time.perf_counter()
        batch = next(loader, None)
        self._wait_seconds += time.perf_counter() - start
        return batch

    def _copy(self, batch: Mapping[str, Any] | None, stream: torch.cuda.Stream) -> Batch | None:
        if batch is None:
            return None
        with torch.cuda.stream(stream):
            return self._move(batch, self._device)
