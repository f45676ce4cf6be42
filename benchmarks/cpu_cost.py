"""CPU time of ten sketches of one image, on one thread: snapshots, hands, one HED map, the authors' way.

    python benchmarks/cpu_cost.py [--size 256] [--images 8] [--rounds 3] [--draw-size N] [--precision bfloat16] [--json FILE]

Time of the process, not of the clock, so that other work on the machine weighs less; everything is timed in every round
and ratios are of one round; printed are medians, as JSON. Images are built-in photos.

authors    per snapshot and image: read it, all of VGG16, their generator, a JPEG (benchmarks/rendering.py), random weights;
           timed on one image and one snapshot, times ten
hed        one pass of HED, the model alone, random weights
canny      read the photo, draw and encode one sketch
snapshots  read and store the photo, ten built-in snapshots, ten PNGs of one bit: `render --hands none`
hands      the same with ten hands in place of the snapshots' own sketches: `render --hands builtin`
trace      of that, what hands add: foreground, tracing, drawing, painting
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import growth  # noqa: E402
from rendering import Authors  # noqa: E402

from sketchforge.images.line_art import SketchTone  # noqa: E402
from sketchforge.images.sources import find_images  # noqa: E402
from sketchforge.models.hed import HED  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from sketchforge.render.encode import (  # noqa: E402
    DrawnPicture,
    SketchEncoding,
    encode_sample,
    encode_sketches,
    sketch_tone,
)
from sketchforge.render.hands import open_hands  # noqa: E402
from sketchforge.render.prepare import prepare  # noqa: E402
from sketchforge.report.provenance import hardware  # noqa: E402
from sketchforge.sketchers.canny import CannySketcher  # noqa: E402
from sketchforge.sketchers.edge_networks import EdgeSketcher  # noqa: E402
from sketchforge.sketchers.factory import open_sketcher  # noqa: E402

TEN = 10


def cpu_seconds(function: Callable[..., Any], *arguments: Any) -> float:
    begin = time.process_time()
    function(*arguments)
    return time.process_time() - begin


class Costs:
    """One round's CPU seconds an image."""

    def __init__(self, asked: argparse.Namespace, work: Path) -> None:
        photos = growth.store_photos(work / "photos", asked.images)
        self.options = RenderOptions(
            work / "unused", photos, tom=Path("builtin"), size=asked.size, draw_size=asked.draw_size, threads=1,
            precision=asked.precision, hands="builtin",
        )  # fmt: skip
        self.images = find_images(photos)
        self.sketcher = open_sketcher(self.options).sketcher
        hands = open_hands(self.options)
        assert hands is not None
        self.hands, self.tone = hands, sketch_tone(self.options)
        torch.manual_seed(0)
        self.hed_sketcher = EdgeSketcher("hed", HED().eval(), torch.device("cpu"))
        self.author = Authors(asked.size)
        self.paths = sorted(photos.iterdir())
        self.work = work

    def authors(self) -> float:
        import rendering

        rendering.AUTHORS_SNAPSHOTS = 1
        return cpu_seconds(self.author.draw, self.paths[:1], self.work) * TEN

    def hed(self) -> float:
        pixels = np.stack([self._prepare(image, whole=True).pixels for image in self.images])
        return cpu_seconds(lambda: [self.hed_sketcher.draw(image[None]).result() for image in pixels]) / len(
            pixels
        )

    def canny(self) -> float:
        def draw() -> None:
            for image in self.images:
                pixels = self._prepare(image, whole=True).pixels
                encode_sketches(
                    CannySketcher().draw(pixels[None]).result()[0], SketchTone(False, (0.65, 0.65), 8)
                )

        return cpu_seconds(draw) / len(self.images)

    def snapshots(self) -> float:
        def draw() -> None:
            for image in self.images:
                prepared = self._prepare(image)
                greys = self.sketcher.draw(prepared.pixels[None]).result()[0]
                encode_sample(
                    greys, DrawnPicture.of(image.key, prepared), SketchEncoding(None, self.tone, False)
                )

        return cpu_seconds(draw) / len(self.images)

    def with_hands(self) -> tuple[float, float]:
        """Seconds of all, and of what hands add to a drawing."""
        all_seconds = added = 0.0
        for image in self.images:
            begin = time.process_time()
            prepared = self._prepare(image)
            greys = self.sketcher.draw(prepared.pixels[None]).result()[0]
            middle = time.process_time()
            encode_sample(
                greys, DrawnPicture.of(image.key, prepared), SketchEncoding(self.hands, self.tone, False)
            )
            added += time.process_time() - middle
            all_seconds += time.process_time() - begin
        return all_seconds / len(self.images), added / len(self.images)

    def round(self) -> dict[str, float]:
        seconds = {name: getattr(self, name)() for name in ("authors", "hed", "canny", "snapshots")}
        seconds["hands"], seconds["trace"] = self.with_hands()
        return seconds

    def _prepare(self, image: Any, whole: bool = False) -> Any:
        drawn_side = None if whole else self.options.drawn_side
        return prepare(image, self.options.size, self.options.fit, drawn_side)


RATIOS = {
    "authors / snapshots": ("authors", "snapshots"),
    "authors / hands": ("authors", "hands"),
    "snapshots / hed": ("snapshots", "hed"),
    "hands / hed": ("hands", "hed"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--draw-size", type=int)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        costs = Costs(asked, Path(folder))
        costs.snapshots(), costs.with_hands()  # the first ones take longer
        rounds = [costs.round() for _ in range(asked.rounds)]
    found = {
        "size": asked.size,
        "draw_size": costs.options.drawn_side(asked.size),
        "cpu_ms": {
            name: round(1000 * statistics.median(one[name] for one in rounds), 1) for name in rounds[0]
        },
        "ratios": {
            name: float(f"{statistics.median(one[over] / one[under] for one in rounds):.3g}")
            for name, (over, under) in RATIOS.items()
        },
        "precision": asked.precision,
        "machine": hardware(torch.device("cpu")),
    }
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
