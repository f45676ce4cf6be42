"""What a report was computed on."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.options import EvalCompareOptions, EvalImagesOptions, EvalSketchesOptions
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


# Commands that give the same figures again, as a shell takes them.


def sketches_command_line(asked: EvalSketchesOptions) -> str:
    words: list[object] = ["sketches"]
    for path in asked.shards:
        words += ["--shards", path]
    words += ["--boundaries", asked.boundaries] if asked.boundaries else []
    for path in asked.references:
        words += ["--references", path]
    return _line([*words, "--samples", asked.samples, "--seed", asked.seed])


def images_command_line(asked: EvalImagesOptions) -> str:
    words: list[object] = ["images", "--model", asked.model, "--shards", asked.shards]
    words += ["--reference", asked.reference] if asked.reference else []
    words += [*_networks("--features", asked.features), *_networks("--lpips", asked.lpips)]
    for encoder in asked.encoders:
        words += ["--encoder", encoder]
    words += ["--tom", asked.tom] if asked.tom else []
    return _line([*words, "--samples", asked.samples, "--seed", asked.seed])


def compare_command_line(asked: EvalCompareOptions) -> str:
    words: list[object] = ["compare", asked.reference, *asked.sets]
    words += ["--shards", asked.shards] if asked.shards else []
    words += _networks("--features", asked.features)
    return _line([*words, "--samples", asked.samples, "--seed", asked.seed])


def _networks(option: str, asked: Sequence[tuple[str, Path | None]]) -> list[str]:
    return [word for name, path in asked for word in (option, name if path is None else f"{name}={path}")]


def _line(words: Sequence[object]) -> str:
    return shlex.join(["sketchforge", "eval", *map(str, words)])


MEASURES = (
    "What each figure can and cannot tell: docs/measures.md. Weights are never downloaded; what "
    "lacks them is "
    "missing, and nothing takes its place under the same name."
)
