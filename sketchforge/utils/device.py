"""The device and the number of CPU threads: chosen once, recorded, and never guessed again."""

from __future__ import annotations

import logging
import math
import os
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any, TypeVar

from sketchforge.errors import UsageError
from sketchforge.utils.cpu_quota import cpu_quota
from sketchforge.utils.text import count_noun

if TYPE_CHECKING:
    import torch

M = TypeVar("M", bound="torch.nn.Module")

_log = logging.getLogger(__name__)


def usable_cores() -> int:
    """CPU cores this process may use: what `taskset`, containers and batch systems leave it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def default_threads() -> int:
    """Threads or processes to compute with where none are asked for: OMP_NUM_THREADS, or all usable cores."""
    # OpenMP takes a list, too: a number for every level of nesting.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    cores = usable_cores()
    return min(cores, int(first)) if first.isdecimal() and int(first) else cores


def choose_device(name: str) -> torch.device:
    """The device named "auto" (CUDA, then Apple's MPS, then CPU) or by any existing torch device name.

    Raises UsageError when the named device is unknown or absent.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: not a device name; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"--device {name}: no CUDA device was found on this machine; use --device cpu or auto"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s), counted from 0"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(
            f"--device {name}: no MPS device was found on this machine; use --device cpu or auto"
        )
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: supported are cpu, cuda and mps")
    _log.info("device %s", device)
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype named "float32", "bfloat16", or "auto": bfloat16 on CUDA, else float32.

    Raises UsageError for another name.
    """
    import torch

    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    if name not in ("float32", "bfloat16"):
        raise UsageError(f"--precision {name}: expected float32 or bfloat16")
    return torch.float32 if name == "float32" else torch.bfloat16


def set_threads(threads: int) -> int:
    """Fix torch's CPU thread count (0: `default_threads`) and return it.

    Sums are split by thread, so results repeat only with the same count. Subnormals are flushed to zero: they
    change nothing that can be seen and slow training several times over.
    """
    import torch

    num_threads = threads or default_threads()
    torch.set_num_threads(num_threads)
    torch.set_flush_denormal(True)
    _log.info("%s of torch", count_noun(num_threads, "thread"))
    return num_threads


def place(module: M, device: torch.device, dtype: torch.dtype | None = None) -> M:
    """Move a module to a device, in channels-last order; `dtype` None keeps its own."""
    import torch

    # torch's types know no memory format here.
    module.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def to_device(value: Any, device: torch.device) -> Any:
    """Copy a CPU tensor to the device; values that are no tensors are returned as they are.

    The copy to a GPU goes through pinned memory and does not block.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if device.type == "cuda" and value.device.type == "cpu" and not value.is_pinned():
        value = value.pin_memory()
    return value.to(device, non_blocking=device.type == "cuda")


# Many small computations side by side, each on one thread of torch.
#
# Splitting every convolution among threads makes them wait for each other some hundred times an image, and
# each time for whatever else runs on the machine. How sums are split also decides their last bits. Splitting
# the images among threads waits once, and gives the same numbers for any number of threads.


def thread_pool(threads: int) -> Executor:
    """An executor of `threads` threads that runs calls in order of submission, each with one torch thread."""
    import torch

    ready = Barrier(threads + 1)

    def set_up_thread() -> None:
        torch.set_flush_denormal(True)  # a setting of each thread
        torch.get_num_threads()  # at its first use a thread takes over the process's number
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, "torch")
    for _ in range(threads):
        pool.submit(set_up_thread)
    ready.wait()
    torch.set_num_threads(threads)  # for this thread, and for libraries that know one number only
    return pool
