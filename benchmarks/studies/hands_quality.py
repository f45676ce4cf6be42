"""What hands draw, in figures: ink, fragments, line pixels shared, KID against people, F of the careful hand, CPU time.

    python benchmarks/studies/hands_quality.py --data DATA --work DIR [--half choose] [--hands FILE] [--seed N]

Drawn as `render` does by default: at 256 pixels, cut to squares, for all but F, whole photos for that. Two halves,
one to choose parameters by, the other, the default, to report. PACS photos with people's drawings: 60 of those that are
for development in recognition_data, 60 of the others. BSDS500 val: 25 photos of even numbers, all 50 of odd ones.

Ink, fragments and width are medians over the photos; shared lines (`metrics/sketches/shared_lines.py`) the mean over photos;
KID that of `eval sketches`, against one drawing of each photo; F at one threshold, black and white. Leaves a JSON file in
DIR, and prints it as a table. What is measured already is not measured again, and TOM draws each photo once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from recognition_data import tested_drawings  # noqa: E402
from recognition_kept import KeptSketcher  # noqa: E402
from recognition_sets import hands_digest  # noqa: E402

from sketchforge.checkpoints.encoder import load_encoder  # noqa: E402
from sketchforge.checkpoints.tom import builtin_run  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.line_art import binarize  # noqa: E402
from sketchforge.images.resize import fit_square, shrink_to  # noqa: E402
from sketchforge.metrics.kid import kernel_matrices  # noqa: E402
from sketchforge.metrics.sketches.boundaries import boundary_counts, read_boundaries, summarize_boundaries  # noqa: E402
from sketchforge.metrics.sketches.features import sketch_features  # noqa: E402
from sketchforge.metrics.sketches.shared_lines import line_points, shared_lines  # noqa: E402
from sketchforge.metrics.sketches.strokes import Strokes, measure_strokes, values_of  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from sketchforge.sketchers.foreground import ForegroundFinder  # noqa: E402
from sketchforge.sketchers.tom import TomSketcher  # noqa: E402
from sketchforge.strokes.draw import draw_hands, trace_picture  # noqa: E402
from sketchforge.strokes.hands import Hand, read_hands  # noqa: E402
from sketchforge.strokes.painting import INK_LEVEL  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402

SIDE, NUM_PHOTOS = 256, 60
CHOOSE, REPORT = "choose", "report"
NUM_CONTENT = {CHOOSE: 25, REPORT: 50}
OPTIONS = RenderOptions(Path("unused"))


def main() -> None:
    asked = parse_arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    drawer = Drawer(asked.work, asked.hands, asked.seed)
    path = asked.work / f"{asked.half}-{asked.seed}-{drawer.digest}.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    for part, measure in (("lines", measure_lines), ("content", measure_content)):
        if part in asked.parts and part not in found:
            found[part] = measure(drawer, asked.data, asked.half)
            write_json(path, found)
    print(path)
    print_tables(found, asked.half)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--half", choices=(CHOOSE, REPORT), default=REPORT)
    parser.add_argument("--hands", default="builtin", help="builtin, or a TOML file of hands")
    parser.add_argument("--seed", type=int, default=0, help="of the hands")
    parser.add_argument("--parts", nargs="+", choices=("lines", "content"), default=("lines", "content"))
    return parser.parse_args()


class Drawer:
    """Draws pictures by TOM's built-in snapshots, the foreground head and hands, as `render` does by default."""

    def __init__(self, work: Path, hands: str, seed: int) -> None:
        self.work, self.seed = work, seed
        self.hands = read_hands(None if hands == "builtin" else Path(hands))
        tom = TomSketcher.from_run(builtin_run(), OPTIONS.checkpoints, torch.device("cpu"))
        weights = hashlib.sha256(json.dumps(dict(tom.digests), sort_keys=True).encode()).hexdigest()[:8]
        self.sketcher = KeptSketcher(tom, work / f"greys-{weights}")
        self.sketcher.folder.mkdir(parents=True, exist_ok=True)
        self.digest = f"{hands_digest(hands)}-{weights}"
        self.seconds: list[float] = []

    @cached_property
    def finder(self) -> ForegroundFinder:
        return ForegroundFinder(torch.device("cpu"))

    def draw(self, picture: np.ndarray, key: str, hands: Sequence[Hand]) -> list[np.ndarray]:
        """uint8 HxWx3 RGB -> black and white sketches, uint8 HxW, 255 = paper, one of each hand."""
        size = picture.shape[:2]
        small = shrink_to(picture, OPTIONS.drawn_side(max(size)))
        greys = self.sketcher.draw(small[None]).result()[0]
        foreground = np.rint(self.finder.find(small[None])[0] * 255) / np.float32(255)
        start = time.process_time()
        drawings = draw_hands(trace_picture(greys, foreground, small), hands, self.seed, key, size)
        self.seconds.append(time.process_time() - start)
        return [binarize(drawing.sketch, INK_LEVEL, INK_LEVEL) for drawing in drawings]


def drawn_photos(data: Path, half: str) -> list[tuple[str, str]]:
    """Photos that people have drawn, and one drawing of each, as paths within DATA."""
    tested = tested_drawings(data)
    drawings: dict[str, str] = {}
    for drawing, is_development in zip(tested.drawings, tested.is_development, strict=True):
        if is_development == (half == CHOOSE):
            drawings.setdefault(drawing.photo, drawing.sketch)
    pairs = sorted(drawings.items())
    return [pairs[at * len(pairs) // NUM_PHOTOS] for at in range(NUM_PHOTOS)]


def measure_lines(drawer: Drawer, data: Path, half: str) -> dict[str, Any]:
    """Of every hand, and of the people: ink, fragments, width, KID; of all hands: line pixels shared, and ms."""
    pairs = drawn_photos(data, half)
    people = [cv2.cvtColor(read_image(data / drawing), cv2.COLOR_RGB2GRAY) for _, drawing in pairs]
    drawer.seconds.clear()
    drawn = []
    for photo, _ in pairs:
        picture = fit_square(read_image(data / photo), SIDE, OPTIONS.fit)
        drawn.append(drawer.draw(picture, Path(photo).stem, drawer.hands))
    shared = [shared_lines([line_points(sketch) for sketch in sketches]) for sketches in drawn]
    encoder = load_encoder("builtin")
    reference = sketch_features(people, encoder)
    rows = {"people": describe([measure_strokes(sketch) for sketch in people])}
    for hand, sketches in zip(drawer.hands, zip(*drawn, strict=True), strict=True):
        kid = kernel_matrices(sketch_features(sketches, encoder), reference).mmd2()
        rows[hand.name] = describe([measure_strokes(sketch) for sketch in sketches]) | {"kid": kid}
    errors = np.std(shared, ddof=1) / len(shared) ** 0.5
    milliseconds = 1000 * float(np.median(drawer.seconds))
    return {"rows": rows, "shared": [float(np.mean(shared)), float(errors)], "ms": milliseconds}


def describe(strokes: Sequence[Strokes]) -> dict[str, float]:
    fragments = values_of(strokes, "fragments")
    return {
        "ink": float(np.median(values_of(strokes, "ink"))),
        "fragments": float(np.median(fragments)),
        "fragments 10 %": float(np.percentile(fragments, 10)),
        "fragments 90 %": float(np.percentile(fragments, 90)),
        "width": float(np.median(values_of(strokes, "width"))),
    }


def measure_content(drawer: Drawer, data: Path, half: str) -> dict[str, float]:
    """Boundary F, precision and recall of the first hand, the careful one."""
    photos = sorted((data / "photos/bsds500/val").iterdir())
    photos = photos[::4] if half == CHOOSE else photos[1::2]
    counts = []
    for path in photos[: NUM_CONTENT[half]]:
        (sketch,) = drawer.draw(read_image(path), path.stem, drawer.hands[:1])
        truth = read_boundaries(data / "photos/bsds500/boundaries_val" / f"{path.stem}.mat")
        counts.append(boundary_counts(sketch, truth, [0.5]))
    score = summarize_boundaries(counts)
    each = [summarize_boundaries([count]).f_ods for count in counts]
    return {
        "f": score.f_ods,
        "precision": score.precision,
        "recall": score.recall,
        "f standard error": float(np.std(each, ddof=1) / len(each) ** 0.5),
        "photos": len(counts),
    }


def print_tables(found: dict[str, Any], half: str) -> None:
    if "lines" in found:
        lines = found["lines"]
        print(f"\n{NUM_PHOTOS} photos of PACS, {SIDE} px, half to {half}\n")
        print("| | ink % | fragments [10, 90 %] | width px | KID |\n|---|---|---|---|---|")
        for name, row in lines["rows"].items():
            low, high = row["fragments 10 %"], row["fragments 90 %"]
            kid = f"{row['kid']:.3f}" if "kid" in row else ""
            print(
                f"| {name} | {100 * row['ink']:.1f} | {row['fragments']:.0f} [{low:.0f}, {high:.0f}] "
                f"| {row['width']:.1f} | {kid} |"
            )
        kids = [row["kid"] for row in lines["rows"].values() if "kid" in row]
        shared, error = lines["shared"]
        print(f"\nKID: mean {np.mean(kids):.3f}, best {min(kids):.3f}")
        print(f"line pixels shared: {shared:.3f}, standard error {error:.3f}")
        print(f"tracing and all hands: {lines['ms']:.0f} ms a photo")
    if "content" in found:
        content = found["content"]
        print(
            f"F of the careful hand, {content['photos']} whole photos: {content['f']:.3f}, standard error"
            f" {content['f standard error']:.3f}; precision {content['precision']:.3f},"
            f" recall {content['recall']:.3f}"
        )


if __name__ == "__main__":
    main()
