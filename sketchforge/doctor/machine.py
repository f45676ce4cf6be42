"""Cores, memory, devices and disks, as far as this process may use them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from sketchforge.checkpoints.catalog import cache_folder
from sketchforge.doctor.finding import FAIL, OK, WARN, Finding, Findings, describe_bytes, hide_home
from sketchforge.utils.cpu_quota import cpu_quota
from sketchforge.utils.device import default_threads, usable_cores
from sketchforge.utils.text import count_noun

LEAST_MEMORY = 2e9  # bytes: torch and a few workers
LEAST_DISK = 2e9
LEAST_SHARED = 2.5e8  # batches of one training's loader processes
_NVIDIA = Path("/proc/driver/nvidia/version")  # where a driver is loaded


def check_cores() -> Findings:
    """Cores, and the memory that is left."""
    quota = cpu_quota()
    allowed = f", {quota:g} allowed by the container" if quota is not None else ""
    threads = f"computing with {count_noun(default_threads(), 'thread')}"
    if os.environ.get("OMP_NUM_THREADS"):
        threads += f" (OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']})"
    yield Finding(OK, "cores", f"{os.cpu_count()}, {usable_cores()} usable{allowed}; {threads}")
    memory = read_memory()
    if memory is not None:
        total, free = memory
        text = f"{describe_bytes(total)}, {describe_bytes(free)} free"
        if free < LEAST_MEMORY:
            step = f"leave {describe_bytes(LEAST_MEMORY)} free, or give --workers 1 and small batches"
            yield Finding(WARN, "memory", text, step)
        else:
            yield Finding(OK, "memory", text)


def read_memory(path: Path = Path("/proc/meminfo")) -> tuple[int, int] | None:
    """Bytes of memory in all and free, by Linux; None where that cannot be told."""
    try:
        lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
        return tuple(int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]
    except (OSError, ValueError, KeyError, IndexError):
        return None


def check_devices() -> Findings:
    """What networks can run on: each device computes a gradient."""
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    elif _NVIDIA.exists():
        yield Finding(
            WARN,
            "cuda",
            f"an NVIDIA driver is there, but torch {torch.__version__} cannot use it",
            "install torch's CUDA build that fits the driver; see pytorch.org",
        )
    if torch.backends.mps.is_available():
        devices.append("mps")
    for name in devices:
        text = "the processor"
        try:
            if name.startswith("cuda"):
                free, total = torch.cuda.mem_get_info(name)
                text = f"{torch.cuda.get_device_name(name)}, {describe_bytes(total)}, {describe_bytes(free)} free"
                text += f", CUDA {torch.version.cuda}"
            elif name == "mps":
                text = "Apple's GPU"
            compute_gradient(name)
        except Exception as error:  # torch raises anything where driver and build do not fit
            line = hide_home(str(error).splitlines()[0] if str(error) else type(error).__name__)
            yield Finding(
                FAIL if name == "cpu" else WARN,
                name,
                f"{text}: does not compute: {line}",
                "install torch again" if name == "cpu" else "use --device cpu, or mend torch and the driver",
            )
        else:
            yield Finding(OK, name, f"{text}; computes gradients")


def compute_gradient(device: str) -> None:
    """A step of training of a convolution whose answer is known. Raises RuntimeError for another answer."""
    import torch

    image = torch.ones(1, 1, 8, 8, device=device)
    weight = torch.zeros(1, 1, 3, 3, device=device, requires_grad=True)
    loss = (torch.nn.functional.conv2d(image, weight) - 1).square().mean()
    loss.backward()
    assert weight.grad is not None
    if not torch.allclose(weight.grad.cpu(), torch.full((1, 1, 3, 3), -2.0)):
        raise RuntimeError("a gradient comes out wrong")


def check_disks() -> Findings:
    """Room where commands write, and in the memory that processes share."""
    places = {"disk here": Path.cwd(), "disk cache": cache_folder(), "disk temp": Path(tempfile.gettempdir())}
    for name, folder in places.items():
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        # Where somebody works is nobody's business; where the cache is, many ask.
        place = f"{hide_home(folder)}: " if name == "disk cache" else ""
        text = f"{place}{describe_bytes(free)} free"
        if not os.access(there, os.W_OK):
            yield Finding(
                WARN, name, f"{text}, but not to be written to", "name folders elsewhere for outputs"
            )
        elif free < LEAST_DISK:
            yield Finding(WARN, name, text, f"make room: {describe_bytes(LEAST_DISK)} are little enough")
        else:
            yield Finding(OK, name, text)
    shared = Path("/dev/shm")
    if shared.is_dir():
        size = shutil.disk_usage(shared).total
        if size < LEAST_SHARED:
            step = "give the container more, as in docker run --shm-size=2g"
            yield Finding(WARN, "shared memory", describe_bytes(size), step)
        else:
            yield Finding(OK, "shared memory", describe_bytes(size))
