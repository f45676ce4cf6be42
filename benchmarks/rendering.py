"""How fast `render` is, beside the authors' way of drawing, HED, Canny, and what this machine could do at best.

    python benchmarks/rendering.py [--cores 2] [--size 256] [--images 102] [--rounds 3] [--tom RUN] [--json FILE]
                                   [--parts authors hed …] [--profile]

Every part is timed in every round, one after the other, each in a process of its own, and ratios are of the same round,
so that other work on the machine weighs on all alike; reported are medians. Images are the built-in photos, stored once or more often.

authors    per snapshot and image: read it, all of VGG16, their generator (512-512-256 channels after pool3), a JPEG;
           batches of one, no weights shared, nothing overlapping. Random weights; timed on two images and two snapshots.
hed, canny `--method hed` is one pass of HED (random weights), model alone; canny is all of `render --method canny`.
decode, draw, encode   the stages of `render` alone: workers reading and storing photos; the model, on pixels at hand;
           workers making black and white PNGs of sketches at hand, and the tar.
render     all of it, ten snapshots without hands (what those add: benchmarks/cpu_cost.py).
rates      what torch reaches here: one 3x3 convolution of 64 channels at 128², and a matrix product of 1024.

`--profile` shows instead where the time of drawing goes, by operation, on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import growth  # noqa: E402

from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.resize import fit_square  # noqa: E402
from sketchforge.images.sources import ImageSource, find_images  # noqa: E402
from sketchforge.images.tensors import to_tensor  # noqa: E402
from sketchforge.models.encoder import VGG16_BLOCKS, Encoder  # noqa: E402
from sketchforge.models.hed import HED  # noqa: E402
from sketchforge.models.tom import PaperGenerator  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from sketchforge.render.encode import encode_sketches, sketch_tone  # noqa: E402
from sketchforge.render.prepare import prepare  # noqa: E402
from sketchforge.report.provenance import hardware  # noqa: E402
from sketchforge.shards.writer import Record, write_shard  # noqa: E402
from sketchforge.sketchers.base import Drawing  # noqa: E402
from sketchforge.sketchers.edge_networks import EdgeSketcher  # noqa: E402
from sketchforge.sketchers.factory import ReadySketcher, open_sketcher  # noqa: E402
from sketchforge.storage.folder import folder_at  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from sketchforge.utils.worker_pool import worker_pool  # noqa: E402

AUTHORS_IMAGES, AUTHORS_SNAPSHOTS = 2, 2  # enough to time: each takes a second and more


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


class Authors:
    """The published way of drawing, as the paper and its code describe it, in our own words."""

    def __init__(self, size: int) -> None:
        torch.manual_seed(0)
        self.size = size
        self.vgg = Encoder(VGG16_BLOCKS, "imagenet", "zeros").eval()
        self.generator = PaperGenerator().eval()

    @torch.inference_mode()
    def draw(self, paths: list[Path], out: Path) -> None:
        from PIL import Image

        for snapshot in range(AUTHORS_SNAPSHOTS):
            for path in paths:
                image = to_tensor(fit_square(read_image(path), self.size, "crop"))
                features = self.vgg(image, ["pool3", "pool5"])
                sketch = self.generator({"pool3": features["pool3"]})[0, 0]
                grey = sketch.add(1).mul(127.5).byte().numpy()
                Image.fromarray(grey).convert("RGB").save(out / f"{path.stem}-{snapshot}.jpg")


class Stages:
    """The stages of `render`, each by itself, with what the one before makes at hand."""

    def __init__(
        self, images: list[ImageSource], options: RenderOptions, ready: ReadySketcher, cores: int
    ) -> None:
        self.images, self.options, self.ready, self.cores = images, options, ready, cores
        self.prepared = [prepare(image, options.size, options.fit, options.drawn_side) for image in images]
        # The first ones take longer.
        self.sketches = list(
            ready.sketcher.draw(np.stack([one.pixels for one in self.prepared[:8]])).result()
        )

    def decode(self) -> float:
        with worker_pool(self.cores, 300) as pool:
            _wake(pool, self.cores)
            start = time.perf_counter()
            tasks = [
                pool.submit(prepare, image, self.options.size, self.options.fit, self.options.drawn_side)
                for image in self.images
            ]
            for task in tasks:
                pool.result(task)
            return time.perf_counter() - start

    def draw(self) -> float:
        pixels, size = [one.pixels for one in self.prepared], self.options.batch_size
        start = time.perf_counter()
        begun = deque[Drawing]()
        for at in range(0, len(pixels), size):
            begun.append(self.ready.sketcher.draw(np.stack(pixels[at : at + size])))
            if len(begun) > 1:  # as `render` does: the next batch has been begun
                begun.popleft().result()
        begun[0].result()
        return time.perf_counter() - start

    def encode(self, folder: Path) -> float:
        with worker_pool(self.cores, 300) as pool, write_shard(folder_at(folder), 0, "", "") as writer:
            _wake(pool, self.cores)
            start = time.perf_counter()
            tasks = [
                pool.submit(
                    encode_sketches,
                    self.sketches[at % len(self.sketches)],
                    sketch_tone(self.options),
                    None,
                    (self.options.size, self.options.size),
                )
                for at in range(len(self.images))
            ]
            for image, prepared, task in zip(self.images, self.prepared, tasks, strict=True):
                sketches = pool.result(task).pngs
                writer.add(
                    Record(image.key, image.source, 0, image=prepared.jpeg, sketches=sketches, metadata={})
                )
            return time.perf_counter() - start


def _wake(pool: Any, cores: int) -> None:
    """Start the processes and import what they need; starting is no stage."""
    grey = np.full((10, 64, 64), 255, np.uint8)
    for task in [
        pool.submit(encode_sketches, grey, sketch_tone(RenderOptions(Path("unused"))))
        for _ in range(8 * cores)
    ]:
        pool.result(task)


@torch.inference_mode()
def machine_rates() -> dict[str, float]:
    """Multiply-adds a second, in units of 1e9."""
    x = torch.randn(1, 64, 128, 128).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3).contiguous(memory_format=torch.channels_last)
    a = torch.randn(1024, 1024)
    work = {
        "convolution": (lambda: F.conv2d(x, weight, padding=1), 64 * 64 * 9 * 128**2),
        "matrix product": (lambda: a @ a, 1024**3),
    }
    found = {}
    for name, (function, adds) in work.items():
        function()
        found[name] = adds / min(seconds(function) for _ in range(5)) / 1e9
    return found


def authors(options: RenderOptions, work: Path, cores: int) -> float:
    paths = sorted(Path(str(options.images)).iterdir())[:AUTHORS_IMAGES]
    spent = seconds(Authors(options.size).draw, paths, work)
    return spent / len(paths) / AUTHORS_SNAPSHOTS * options.checkpoints


def hed(options: RenderOptions, work: Path, cores: int) -> float:
    torch.manual_seed(0)
    sketcher = EdgeSketcher("hed", HED().eval(), torch.device("cpu"))
    images = np.stack(
        [prepare(image, options.size, options.fit).pixels for image in find_images(options.images)[:8]]
    )
    # Of batches of one and of eight the faster.
    alone = seconds(lambda: [sketcher.draw(image[None]).result() for image in images])
    return min(alone, seconds(lambda: sketcher.draw(images).result())) / len(images)


def stage(name: str, options: RenderOptions, work: Path, cores: int) -> float:
    stages = Stages(find_images(options.images), options, open_sketcher(options), cores)
    spent = stages.encode(work) if name == "encode" else getattr(stages, name)()
    return spent / len(stages.images)


PARTS = {"authors": authors, "hed": hed} | {
    name: partial(stage, name) for name in ("decode", "draw", "encode")
}

WHOLE = {"render": "tom", "canny": "canny"}  # and their methods


def in_a_process(part: str, asked: argparse.Namespace, photos: Path) -> float:
    """Seconds an image of a part, alone in its process."""
    words = [sys.executable, __file__, "--part", part, "--photos", str(photos)]
    for name in ("cores", "size", "tom"):
        words += [f"--{name}", str(getattr(asked, name))]
    return float(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)


def rendered(method: str, options: RenderOptions, work: Path) -> float:
    """Seconds an image of all of `render`, in a process that has imported nothing else, as a user's.

    Workers begin with what their parent's main module imports at its head: growth.py's is light.
    """
    task = {"images": str(options.images), "method": method, "size": options.size, "plan": False}
    if method == "tom":
        task |= {"tom": str(options.tom), "checkpoints": options.checkpoints, "hands": "none"}
    with tempfile.TemporaryDirectory(dir=work) as out:
        words = [
            sys.executable,
            growth.__file__,
            "--task",
            json.dumps(task | {"shards": str(Path(out) / "shards")}),
        ]
        spent = float(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    return spent / len(find_images(options.images))


def profile(options: RenderOptions, rounds: int = 10, least: float = 0.01) -> str:
    """Milliseconds of an image's ten sketches by operation, a table in Markdown; above the share `least` of all."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    sketcher = open_sketcher(options).sketcher
    prepared = prepare(find_images(options.images)[0], options.size, options.fit, options.drawn_side)
    image = to_tensor(prepared.pixels)
    sketcher.sketches(image)
    with profiled(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(rounds):
            sketcher.sketches(image)
    spent = {event.key: event.self_cpu_time_total / 1000 / rounds for event in found.key_averages()}
    whole = sum(spent.values())
    rows = [
        (name, value)
        for name, value in sorted(spent.items(), key=lambda item: -item[1])
        if value > least * whole
    ]
    lines = [f"| {name} | {value:.1f} | {value / whole:.0%} |" for name, value in rows]
    return "\n".join(
        ["| operation | ms an image | share |", "|---|---|---|", *lines, f"| all | {whole:.1f} | |"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=102)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tom", type=Path, default=Path("builtin"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, *WHOLE], default=[*PARTS, *WHOLE])
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--photos", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    set_threads(asked.cores)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        photos = asked.photos or growth.store_photos(work / "photos", asked.images)
        options = RenderOptions(work / "unused", photos, tom=asked.tom, size=asked.size)
        if asked.part:
            print(PARTS[asked.part](options, work, asked.cores))
            return
        if asked.profile:
            print(profile(replace(options, threads=1)))
            return
        rounds = []
        for number in range(asked.rounds):
            rounds.append({
                part: in_a_process(part, asked, photos) if part in PARTS else rendered(WHOLE[part], options, work)
                for part in asked.parts
            })  # fmt: skip
            shown = {part: round(one, 4) for part, one in rounds[-1].items()}
            print(f"round {number + 1}: {json.dumps(shown)}", file=sys.stderr, flush=True)
    found = summary(rounds) | {
        "rates": {name: round(value, 1) for name, value in machine_rates().items()},
        "size": asked.size, "images": asked.images, "cores": asked.cores, "rounds": asked.rounds,
        "machine": hardware(torch.device("cpu")),
    }  # fmt: skip
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over rounds: seconds an image, and ratios within a round."""
    ratios = {
        "faster than the authors' way": (("authors",), "render"),
        "ten sketches, of one HED map": (("draw",), "hed"),
        "share of the slowest stage's speed": (("decode", "draw", "encode"), "render"),
        "slower than Canny": (("render",), "canny"),
    }
    measured = {name: pair for name, pair in ratios.items() if {*pair[0], pair[1]} <= set(rounds[0])}
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return {
        "seconds_an_image": {name: float(f"{value:.3g}") for name, value in medians.items()},
        "ratios": {
            name: float(
                f"{statistics.median(max(one[part] for part in parts) / one[other] for one in rounds):.3g}"
            )
            for name, (parts, other) in measured.items()
        },
    }


if __name__ == "__main__":
    main()
