"""How fast `render` is, beside the authors' way of drawing, HED, Canny, and what this machine could do at best.

    python benchmarks/rendering.py [--cores 2] [--size 256] [--images 102] [--rounds 3] [--tom RUN] [--json FILE]

Every part is timed in every round, one after the other, and ratios are of the same round, so that other work on the
machine weighs on all alike; reported are medians. Pictures are the built-in photos, stored once or more often.

authors    per snapshot and image: read it, all of VGG16, their generator (512-512-256 channels after pool3), a JPEG;
           batches of one, no weights shared, nothing overlapping. Random weights; timed on two images and two snapshots.
hed, canny `--method hed` is one pass of HED (random weights), model alone; canny is all of `render --method canny`.
decode, draw, encode   the stages of `render` alone: workers reading and storing photos; the model, on pixels at hand;
           workers making black and white PNGs of sketches at hand, and the tar.
render     all of it, ten snapshots.
rates      what torch reaches here: one 3x3 convolution of 64 channels at 128², and a matrix product of 1024.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from growth import store_photos  # noqa: E402

from sketchforge.device import set_threads  # noqa: E402
from sketchforge.images import fit_square, read_image, to_tensor  # noqa: E402
from sketchforge.models.encoder import VGG16_BLOCKS, Encoder  # noqa: E402
from sketchforge.models.hed import HED  # noqa: E402
from sketchforge.models.tom import PaperGenerator  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from sketchforge.pictures import encode_sketches, prepare  # noqa: E402
from sketchforge.render import render  # noqa: E402
from sketchforge.report.hardware import hardware  # noqa: E402
from sketchforge.shards.writer import Record, writing_shard  # noqa: E402
from sketchforge.sketchers import Drawing  # noqa: E402
from sketchforge.sketchers.edges import EdgeSketcher  # noqa: E402
from sketchforge.sketchers.factory import ReadySketcher, open_sketcher  # noqa: E402
from sketchforge.sources import ImageSource, find_images  # noqa: E402
from sketchforge.workers import worker_pool  # noqa: E402

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

    def __init__(self, images: list[ImageSource], options: RenderOptions, ready: ReadySketcher, cores: int) -> None:
        self.images, self.options, self.ready, self.cores = images, options, ready, cores
        self.prepared = [prepare(image, options.size, options.fit) for image in images]
        self.sketches = list(ready.sketcher.draw(np.stack([one.pixels for one in self.prepared[:8]])).result())

    def decode(self) -> float:
        with worker_pool(self.cores, 300) as pool:
            _wake(pool, self.cores)
            start = time.perf_counter()
            tasks = [pool.submit(prepare, image, self.options.size, self.options.fit) for image in self.images]
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
        with worker_pool(self.cores, 300) as pool, writing_shard(folder, 0, "", "") as writer:
            _wake(pool, self.cores)
            start = time.perf_counter()
            tasks = [
                pool.submit(encode_sketches, self.sketches[at % len(self.sketches)], self.options.thresholds)
                for at in range(len(self.images))
            ]
            for image, prepared, task in zip(self.images, self.prepared, tasks, strict=True):
                sketches, _ = pool.result(task)
                writer.add(Record(image.key, image.source, 0, image=prepared.jpeg, sketches=sketches, about={}))
            return time.perf_counter() - start


def _wake(pool: Any, cores: int) -> None:
    """Start the processes and import what they need; starting is no stage."""
    grey = np.full((10, 64, 64), 255, np.uint8)
    for task in [pool.submit(encode_sketches, grey, (0.6, 0.1)) for _ in range(8 * cores)]:
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


def one_round(work: Path, size: int, stages: Stages, authors: Authors, hed: EdgeSketcher) -> dict[str, float]:
    """Seconds an image of every part."""
    count, options = len(stages.images), stages.options
    paths = sorted(Path(str(options.images)).iterdir())[:AUTHORS_IMAGES]
    found: dict[str, float] = {}
    spent = seconds(authors.draw, paths, work)
    found["authors"] = spent / len(paths) / AUTHORS_SNAPSHOTS * options.checkpoints
    images = np.stack([one.pixels for one in stages.prepared[:8]])
    # Of batches of one and of eight the faster.
    alone, together = seconds(lambda: [hed.draw(image[None]).result() for image in images]), seconds(lambda: hed.draw(images).result())
    found["hed"] = min(alone, together) / len(images)
    for name, stage in (("decode", stages.decode), ("draw", stages.draw)):
        found[name] = stage() / count
    with tempfile.TemporaryDirectory(dir=work) as folder:
        found["encode"] = stages.encode(Path(folder)) / count
    for name, method in (("render", "tom"), ("canny", "canny")):
        with tempfile.TemporaryDirectory(dir=work) as folder:
            shards = Path(folder) / "shards"
            chosen = RenderOptions(shards, options.images, method=method, tom=options.tom, size=size,
                                   checkpoints=options.checkpoints)  # fmt: skip
            found[name] = render(chosen).seconds / count
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=102)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tom", type=Path, default=Path("builtin"))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    set_threads(asked.cores)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        photos = store_photos(work / "photos", asked.images)
        options = RenderOptions(work / "unused", photos, tom=asked.tom, size=asked.size)
        ready = open_sketcher(options)
        stages = Stages(find_images(photos), options, ready, asked.cores)
        torch.manual_seed(0)
        authors, hed = Authors(asked.size), EdgeSketcher("hed", HED().eval(), torch.device("cpu"))
        rounds = []
        for number in range(asked.rounds):
            rounds.append(one_round(work, asked.size, stages, authors, hed))
            print(f"round {number + 1}: {json.dumps({k: round(v, 4) for k, v in rounds[-1].items()})}",
                  file=sys.stderr, flush=True)  # fmt: skip
        found = summary(rounds) | {"rates": {name: round(value, 1) for name, value in machine_rates().items()}}
    found |= {
        "size": asked.size, "images": asked.images, "cores": asked.cores, "rounds": asked.rounds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "machine": hardware(torch.device("cpu")),
    }  # fmt: skip
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over rounds: seconds an image, and ratios within a round."""
    ratios = {
        "faster than the authors' way": lambda one: one["authors"] / one["render"],
        "ten sketches, of one HED map": lambda one: one["draw"] / one["hed"],
        "share of the slowest stage's speed": lambda one: max(one[s] for s in ("decode", "draw", "encode")) / one["render"],
        "slower than Canny": lambda one: one["render"] / one["canny"],
    }
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return {
        "seconds_an_image": {name: float(f"{value:.3g}") for name, value in medians.items()},
        "ratios": {name: float(f"{statistics.median(map(of, rounds)):.3g}") for name, of in ratios.items()},
    }


if __name__ == "__main__":
    main()
