"""At which size to draw: content and realism of TOM's sketches drawn small and enlarged before they are binarised.

    python benchmarks/studies/draw_size.py --data DATA --out FILE.json [--photos 16]

Content: F on photos of bsds500/val, whole (481 pixels) and as crops of 256, black and white; those of even numbers
(counted from 0) are there to choose by, odd ones to report. Realism: AUC and KID against people's drawings of 50 photos of
PACS, at 256 pixels, even and odd photos likewise. Four snapshots, and the hand "careful" on all of them. Every
measurement is kept in FILE.json as it is made, and not made twice.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.checkpoints.tom import builtin_run  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.line_art import binarize  # noqa: E402
from sketchforge.images.resize import fit_square, resize_image, shrink_to  # noqa: E402
from sketchforge.metrics.sketches.boundaries import (
    BoundaryCounts,
    boundary_counts,
    fit_boundaries,
    read_boundaries,
    summarize_boundaries,
)  # noqa: E402
from sketchforge.metrics.sketches.features import sketch_features  # noqa: E402
from sketchforge.metrics.sketches.measure_sets import Measured, builtin_encoder  # noqa: E402
from sketchforge.metrics.sketches.measure_sketch import PATCHES  # noqa: E402
from sketchforge.metrics.sketches.patches import describe_patches, stroke_patches  # noqa: E402
from sketchforge.metrics.sketches.statistics import estimate_auc, estimate_kid  # noqa: E402
from sketchforge.options import TOM_LOW_THRESHOLD, RenderOptions  # noqa: E402
from sketchforge.sketchers.tom import TomSketcher  # noqa: E402
from sketchforge.strokes.draw import draw_hands, trace_picture  # noqa: E402
from sketchforge.strokes.foreground import find_foreground  # noqa: E402
from sketchforge.strokes.hands import pick_hands, read_hands  # noqa: E402
from sketchforge.strokes.painting import INK_LEVEL  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402

SNAPSHOTS = (0, 2, 4, 7)
SIZES = {256: (128, 152, 176, 208, 232, 256), 481: (176, 208, 240, 256, 320, 384, 481)}
ROWS = [*(f"snapshot {number}" for number in SNAPSHOTS), "careful", "outline"]


class Drawer:
    """Draws a picture at a size: {row: black and white sketch of the picture's own size}."""

    def __init__(self) -> None:
        whole = TomSketcher.from_run(builtin_run(), 10, torch.device("cpu"))
        self.sketcher = TomSketcher(
            whole.encoder,
            [whole.generators[number] for number in SNAPSHOTS],
            [whole.styles[number] for number in SNAPSHOTS],
            torch.device("cpu"),
        )
        self.hands = pick_hands(read_hands(), ["careful", "outline"])
        self.seconds: dict[int, float] = {}

    def draw(self, picture: np.ndarray, size: int, key: str) -> dict[str, np.ndarray]:
        begin = time.process_time()
        greys = self.sketcher.draw(shrink_to(picture, size)[None]).result()[0]
        self.seconds[size] = self.seconds.get(size, 0.0) + time.process_time() - begin
        height, width = picture.shape[:2]
        binary = [
            binarize(resize_image(grey, height, width), RenderOptions.threshold, TOM_LOW_THRESHOLD)
            for grey in greys
        ]
        traced = trace_picture(greys, find_foreground(picture), picture)
        drawings = draw_hands(traced, self.hands, 0, key, (height, width))
        hands = [binarize(drawing.sketch, INK_LEVEL, INK_LEVEL) for drawing in drawings]
        return dict(zip(ROWS, binary + hands, strict=True))


def content(
    drawer: Drawer, data: Path, side: int, parity: int, num_photos: int, size: int
) -> dict[str, float]:
    counts: dict[str, list[BoundaryCounts]] = {row: [] for row in ROWS}
    for path in sorted((data / "photos/bsds500/val").iterdir())[parity::2][:num_photos]:
        annotations = read_boundaries(data / "photos/bsds500/boundaries_val" / f"{path.stem}.mat")
        picture = read_image(path.read_bytes())
        if side == 256:
            picture = fit_square(picture, side, "crop")
            annotations = [fit_boundaries(annotation, side, "crop") for annotation in annotations]
        for row, sketch in drawer.draw(picture, size, path.stem).items():
            counts[row].append(boundary_counts(sketch, annotations, [0.5]))
    return {row: summarize_boundaries(found).f_ods for row, found in counts.items()}


def drawn_photos(data: Path, parity: int) -> list[tuple[Path, Path]]:
    drawings: dict[str, str] = {}
    with open(data / "photo_sketch_pairs.tsv", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            drawings.setdefault(row["photo"], row["sketch"])
    names = sorted(drawings)
    chosen = [names[at * len(names) // 100] for at in range(100)][parity::2]
    return [(data / name, data / drawings[name]) for name in chosen]


def measured(sketches: list[np.ndarray], names: list[str]) -> Measured:
    result = Measured()
    for sketch, name in zip(sketches, names, strict=True):
        result.photos.append(name)
        result.patches.append(describe_patches(stroke_patches(sketch, PATCHES, 0, name)))
        result.features.append(sketch_features([sketch], builtin_encoder())[0])
    return result


def realism(drawer: Drawer, data: Path, parity: int, size: int) -> dict[str, dict[str, float]]:
    pairs = drawn_photos(data, parity)
    names = [photo.stem for photo, _ in pairs]
    people = [
        np.where(fit_square(read_image(drawing.read_bytes()), 256, "crop")[..., 0] < 128, 0, 255).astype(
            np.uint8
        )
        for _, drawing in pairs
    ]
    reference = measured(people, names)
    drawn = [
        drawer.draw(fit_square(read_image(photo.read_bytes()), 256, "crop"), size, photo.stem)
        for photo, _ in pairs
    ]
    found = {}
    for row in ROWS:
        sketches = measured([sketches[row] for sketches in drawn], names)
        auc = estimate_auc(sketches, reference, row, 0, [], False, 3)["auc"].value
        kid = estimate_kid(sketches, reference, row, 0, [], False)["kid"].value
        found[row] = {"auc": auc, "kid": kid}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--only", nargs="*", default=[""], help="measurements whose names hold one of these")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    drawer = Drawer()
    for parity, half in enumerate(("choose", "report")):
        tasks = [
            (f"{half} content {side} {size}", content, (side, parity, asked.photos, size))
            for side, sizes in SIZES.items()
            for size in sizes
        ]
        tasks += [(f"{half} realism 256 {size}", realism, (parity, size)) for size in SIZES[256]]
        for name, measure, arguments in tasks:
            if name not in found and any(part in name for part in asked.only):
                found[name] = measure(drawer, asked.data, *arguments)
                write_json(asked.out, found)
                print(name, json.dumps(found[name]), flush=True)
    print({size: round(seconds, 2) for size, seconds in sorted(drawer.seconds.items())})


if __name__ == "__main__":
    main()
