"""What a report was computed on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.utils.device import usable_cores

if TYPE_CHECKING:
    import torch


def hardware(device: torch.device) -> dict[str, str]:
    """Device, processor, cores and versions, by name."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "device": f"{device} ({name})" if name else str(device),
        "processor": _processor(),
        "cores": f"{usable_cores()} usable, {torch.get_num_threads()} threads of torch",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "torch": torch.__version__,
    }


def versions(hardware: Mapping[str, str], libraries: Mapping[str, str]) -> dict[str, str]:
    """`hardware` and the versions of libraries, as a list of names and values shows them."""
    others = {name: version for name, version in libraries.items() if name not in hardware}
    return {**hardware, "libraries": ", ".join(map(" ".join, others.items()))}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "unknown"
