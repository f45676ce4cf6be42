"""The hardware, versions and commands that a report was computed with."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.options import EvalCompareOptions, EvalImagesOptions, EvalSketchesOptions
from sketchforge.utils.device import usable_cores
from sketchforge.utils.text import count_noun

if TYPE_CHECKING:
    import torch


def hardware(device: torch.device) -> dict[str, str]:
    """Device, processor, cores and versions, by name."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "device": f"{device} ({name})" if name else str(device),
        "processor": _read_processor(),
        "cores": f"{usable_cores()} usable, {count_noun(torch.get_num_threads(), 'thread')} of torch",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "torch": torch.__version__,
    }


def versions(hardware: Mapping[str, str], libraries: Mapping[str, str]) -> dict[str, str]:
    """`hardware` with one more entry, "libraries", that lists the other versions."""
    remaining = {name: version for name, version in libraries.items() if name not in hardware}
    return {**hardware, "libraries": ", ".join(map(" ".join, remaining.items()))}


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


# Shell commands that measure the same figures again.


def sketches_command_line(asked: EvalSketchesOptions) -> str:
    words: list[object] = ["sketches"]
    for path in asked.shards:
        words += ["--shards", path]
    words += ["--boundaries", asked.boundaries] if asked.boundaries else []
    for path in asked.references:
        words += ["--references", path]
    return _join_command([*words, "--samples", asked.samples, "--seed", asked.seed])


def images_command_line(asked: EvalImagesOptions) -> str:
    words: list[object] = ["images", "--model", asked.model, "--shards", asked.shards]
    words += ["--split", asked.split] if asked.split else []
    words += ["--reference", asked.reference] if asked.reference else []
    words += [*_format_networks("--features", asked.features), *_format_networks("--lpips", asked.lpips)]
    for encoder in asked.encoders:
        words += ["--encoder", encoder]
    words += ["--tom", asked.tom] if asked.tom else []
    return _join_command([*words, "--samples", asked.samples, "--seed", asked.seed])


def compare_command_line(asked: EvalCompareOptions) -> str:
    words: list[object] = ["compare", asked.reference, *asked.sets]
    words += ["--shards", asked.shards] if asked.shards else []
    words += ["--split", asked.split] if asked.split else []
    words += _format_networks("--features", asked.features)
    return _join_command([*words, "--samples", asked.samples, "--seed", asked.seed])


def _format_networks(option: str, networks: Sequence[tuple[str, Path | None]]) -> list[str]:
    return [word for name, path in networks for word in (option, name if path is None else f"{name}={path}")]


def _join_command(words: Sequence[object]) -> str:
    return shlex.join(["sketchforge", "eval", *map(str, words)])


MEASURES = (
    "What each figure can and cannot tell is in the chapter on measures of sketchforge's documentation. Weights are never "
    "downloaded; what lacks them is missing, and nothing takes its place under the same name."
)
