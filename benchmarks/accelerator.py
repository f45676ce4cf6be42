"""Whether a GPU has enough to do: its busy share during `render`, and how long a step of `ae-train` waits for data.

    python benchmarks/accelerator.py [--device cuda] [--images 1000] [--size 256] [--workers 0] [--steps 200] [--json FILE]

Busy is the share of the time between the first image and the last in which at least one kernel ran, by torch's profiler. It
falls where decoding, hands or encoding do not keep up: `cores for one GPU` is how many of this machine's cores would, by the
CPU seconds that an image takes beside drawing. Without a GPU the same is shown of the process that draws, as a trial of
this script, and it says so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sketchforge.images.builtin.photos import load_photos  # noqa: E402
from sketchforge.images.encode import write_png  # noqa: E402
from sketchforge.options import AeTrainOptions, RenderOptions  # noqa: E402
from sketchforge.render.render import render  # noqa: E402
from sketchforge.utils.progress import Progress  # noqa: E402
from trainers.autoencoder.run import train_ae  # noqa: E402


class Notes(Progress):
    """Keeps the lines that a command prints."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def store_photos(folder: Path, count: int) -> Path:
    """The built-in photos as files, each as often as it takes."""
    photos = list(load_photos())
    folder.mkdir()
    for number in range(count):
        target = folder / f"{number:06d}.png"
        if number < len(photos):
            write_png(target, photos[number][1])
        else:
            os.link(folder / f"{number % len(photos):06d}.png", target)
    return folder


def union_of(spans: list[tuple[float, float]]) -> float:
    """The length that spans cover together."""
    covered, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return covered


def measure_render(images: Path, shards: Path, size: int, device: str, workers: int) -> dict[str, Any]:
    on_gpu = device.startswith("cuda")
    activities = [torch.profiler.ProfilerActivity.CUDA if on_gpu else torch.profiler.ProfilerActivity.CPU]
    options = RenderOptions(
        shards,
        images,
        tom=Path("builtin"),
        size=size,
        device=device,
        workers=workers,
        batch_size=32 if on_gpu else 8,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if on_gpu:
        with torch.profiler.profile(activities=activities) as profile:
            summary = render(options)
        spans = [
            (event.time_range.start, event.time_range.end)
            for event in profile.events()
            if event.device_type == torch.autograd.DeviceType.CUDA
        ]
        busy = union_of(spans) / (max(stop for _, stop in spans) - min(start for start, _ in spans))
    else:
        summary = render(options)
        busy = summary.stage_seconds["draw"] / summary.seconds
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / summary.num_images
    rate = summary.num_images / summary.seconds
    return {
        "busy": busy,
        "images a second": rate,
        "CPU seconds an image beside drawing": seconds,
        "cores for one GPU": rate / busy * seconds,
        "slowest stage": summary.slowest_stage,
    }


def measure_training(shards: Path, run: Path, size: int, device: str, steps: int) -> dict[str, Any]:
    notes = Notes()
    start = time.perf_counter()
    train_ae(AeTrainOptions(shards=str(shards), run=run, size=size, steps=steps, device=device), notes)
    waiting = next(line for line in notes.lines if "waiting for data" in line)
    match = re.match(r"([\d.]+)%", waiting)
    assert match
    return {"waiting for data": float(match[1]) / 100, "seconds": time.perf_counter() - start, "steps": steps}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        images = store_photos(work / "in", asked.images)
        figures = {
            "device": torch.cuda.get_device_name(asked.device)
            if asked.device.startswith("cuda")
            else "CPU: no GPU here",
            "render": measure_render(images, work / "out", asked.size, asked.device, asked.workers),
            "ae-train": measure_training(work / "out", work / "run", asked.size, asked.device, asked.steps),
        }
    print(json.dumps(figures, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
