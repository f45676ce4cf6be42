"""CPU time of ten sketches of one image, on one thread: snapshots, hands, one HED map, Canny, the authors' way.

    python benchmarks/cpu_cost.py [--sizes 256 512 1024] [--rounds 2] [--draw-size N] [--json FILE]

Time of the process, not of the clock, so that other work on the machine weighs less. All of a size is timed in every
round, and ratios are of one round; printed are medians, as tables in Markdown, and written as JSON. Images are built-in
photos, fewer of the larger sizes. About three minutes on a machine that does nothing else.

authors    per snapshot and image: read it, all of VGG16, their generator, a JPEG (benchmarks/rendering.py), random weights;
           one image, one snapshot, in the first round alone, times ten: at 1024 pixels it takes most of a minute
hed        one pass of HED, the model alone, random weights, on one image
canny      read and store the photo, draw and encode one sketch
snapshots  read and store the photo, ten built-in snapshots, ten PNGs of one bit: `render --hands none`
hands      the same with ten hands in place of the snapshots' own sketches, tone and the foreground head included: what
           `render` does by default
head       of that, finding the foreground
drawing    of that, tracing, drawing, painting, PNGs

On a processor that computes in bfloat16 (avx512_bf16 or amx_bf16 in /proc/cpuinfo) snapshots and hands are timed by
`--precision bfloat16`, too.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import growth  # noqa: E402
import rendering  # noqa: E402

from sketchforge.images.sources import ImageSource, find_images  # noqa: E402
from sketchforge.models.hed import HED  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from sketchforge.render.encode import (  # noqa: E402
    DrawnPicture,
    SketchEncoding,
    encode_sample,
    sketch_tone,
)
from sketchforge.render.hands import open_hands  # noqa: E402
from sketchforge.render.prepare import Prepared, prepare  # noqa: E402
from sketchforge.report.provenance import hardware  # noqa: E402
from sketchforge.sketchers.canny import CannySketcher  # noqa: E402
from sketchforge.sketchers.edge_networks import EdgeSketcher  # noqa: E402
from sketchforge.sketchers.factory import open_sketcher  # noqa: E402
from sketchforge.sketchers.foreground import ForegroundFinder  # noqa: E402

TEN = 10
IMAGES = {256: 4, 512: 2}  # by size; of other sizes one
CPU = torch.device("cpu")


def cpu_seconds(function: Callable[..., Any], *arguments: Any) -> float:
    begin = time.process_time()
    function(*arguments)
    return time.process_time() - begin


def has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16, as far as the system tells."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None


class Costs:
    """CPU seconds an image of one size."""

    def __init__(self, size: int, draw_size: int | None, photos: Path, work: Path) -> None:
        self.paths, self.work = sorted(photos.iterdir())[: IMAGES.get(size, 1)], work
        self.options = RenderOptions(
            work / "unused",
            photos,
            tom=Path("builtin"),
            size=size,
            draw_size=draw_size,
            threads=1,
            hands="builtin",
        )
        names = {path.name for path in self.paths}
        self.images = [image for image in find_images(photos) if image.source in names]
        hands = open_hands(self.options)
        assert hands is not None
        self.hands, self.tone, self.finder = hands, sketch_tone(self.options), ForegroundFinder(CPU)
        self.sketchers = {"": open_sketcher(self.options).sketcher}
        if has_bfloat16():
            half = replace(self.options, precision="bfloat16")
            self.sketchers[" in bfloat16"] = open_sketcher(half).sketcher
        torch.manual_seed(0)
        self.hed_sketcher = EdgeSketcher("hed", HED().eval(), CPU)
        self.canny_sketcher = CannySketcher()
        self.author = rendering.Authors(size)

    def authors(self) -> float:
        rendering.AUTHORS_SNAPSHOTS = 1
        return cpu_seconds(self.author.draw, self.paths[:1], self.work) * TEN

    def hed(self) -> float:
        pixels = self._prepare(self.images[0], whole=True).pixels
        return cpu_seconds(lambda: self.hed_sketcher.draw(pixels[None]).result())

    def canny(self) -> float:
        return self._time(lambda image: self._encode(image, self.canny_sketcher, hands=False, whole=True))

    def snapshots(self, name: str = "") -> float:
        return self._time(lambda image: self._encode(image, self.sketchers[name], hands=False))

    def with_hands(self, name: str = "") -> dict[str, float]:
        """Seconds of all, of the foreground head and of what follows the snapshots."""
        parts = np.array([self._encode(image, self.sketchers[name], hands=True) for image in self.images])
        return dict(zip(("hands", "head", "drawing"), parts.mean(0).tolist(), strict=True))

    def round(self, authors: float | None) -> dict[str, float]:
        """authors: the time of an earlier round; None: to be taken."""
        seconds = {"authors": self.authors() if authors is None else authors}
        seconds |= {"hed": self.hed(), "canny": self.canny()}
        for name in self.sketchers:
            seconds["snapshots" + name] = self.snapshots(name)
            seconds |= {part + name: value for part, value in self.with_hands(name).items()}
        return seconds

    def _encode(
        self, image: ImageSource, sketcher: Any, hands: bool, whole: bool = False
    ) -> tuple[float, float, float]:
        """Make the files of one image: seconds of all of it, of the foreground head, and of what follows the drawing."""
        begin = time.process_time()
        prepared = self._prepare(image, whole)
        greys = sketcher.draw(prepared.pixels[None]).result()[0]
        drawn = time.process_time()
        if hands:
            found = self.finder.find(prepared.pixels[None])
            prepared = replace(prepared, foreground=np.rint(found[0] * 255).astype(np.uint8))
        middle = time.process_time()
        encoding = SketchEncoding(self.hands if hands else None, self.tone)
        encode_sample(greys, DrawnPicture.of(image.key, prepared), encoding)
        end = time.process_time()
        return end - begin, middle - drawn, end - middle

    def _time(self, make: Callable[[ImageSource], Any]) -> float:
        return cpu_seconds(lambda: [make(image) for image in self.images]) / len(self.images)

    def _prepare(self, image: ImageSource, whole: bool = False) -> Prepared:
        return prepare(image, self.options.size, self.options.fit, None if whole else self.options.drawn_side)


RATIOS = {
    "snapshots: times as fast as the authors' way": ("authors", "snapshots"),
    "hands": ("authors", "hands"),
    "snapshots, in HED maps": ("snapshots", "hed"),
    "hands, in HED maps": ("hands", "hed"),
    "bfloat16 / float32, snapshots": ("snapshots in bfloat16", "snapshots"),
    "bfloat16 / float32, hands": ("hands in bfloat16", "hands"),
}


def summarize(rounds: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Medians over rounds: milliseconds, and ratios of one round."""
    return {
        "cpu_ms": {
            name: round(1000 * statistics.median(each[name] for each in rounds), 1) for name in rounds[0]
        },
        "ratios": {
            name: float(f"{statistics.median(each[over] / each[under] for each in rounds):.3g}")
            for name, (over, under) in RATIOS.items()
            if over in rounds[0] and under in rounds[0]
        },
    }


def format_table(found: list[dict[str, Any]], part: str) -> str:
    """A Markdown table of "cpu_ms" or "ratios", a row for each size."""
    names = list(found[0][part])
    rows = [["size, TOM draws at", *names], ["---"] * (1 + len(names))]
    for each in found:
        values = [
            f"{each[part][name]:,.3g}" if part == "ratios" else f"{each[part][name]:,.0f}" for name in names
        ]
        rows.append([f"{each['size']}, {each['draw_size']}", *values])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--draw-size", type=int)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        photos = growth.store_photos(work / "photos", max(IMAGES.values()))
        for size in asked.sizes:
            costs = Costs(size, asked.draw_size, photos, work)
            costs.snapshots(), costs.with_hands()  # the first ones take longer
            rounds: list[dict[str, float]] = []
            for _ in range(asked.rounds):
                rounds.append(costs.round(rounds[0]["authors"] if rounds else None))
            found.append({"size": size, "draw_size": costs.options.drawn_side(size), **summarize(rounds)})
    machine = hardware(CPU) | {"bfloat16": "yes" if has_bfloat16() else "no avx512_bf16 or amx_bf16"}
    print(format_table(found, "cpu_ms"), format_table(found, "ratios"), sep="\n\n")
    print(f"\n{json.dumps(machine)}")
    if asked.json:
        asked.json.write_text(json.dumps({"sizes": found, "machine": machine}, indent=1) + "\n")


if __name__ == "__main__":
    main()
