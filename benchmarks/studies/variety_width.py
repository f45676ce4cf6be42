"""How wide the variety measure's kernel is, and what else lies how far apart in its style space.

    python benchmarks/studies/variety_width.py --data DATA --shards OUT > variety_width.json

DATA (default: the variable SKETCHFORGE_TEST_DATA) holds photo_sketch_pairs.tsv, two columns `sketch` and
`photo`, and the drawings it names, two of every photo, by two people. OUT is a shard folder of `sketchforge
render` with several sketches of each image; without it, what is measured on it is left out. Prints JSON:

units       medians over pairs of the distance in each part of the description (UNITS of metrics/variety.py)
width       with these as units, the distances between two people's drawings of one photo; WIDTH is the median
distances   in widths, between a drawing and
            - itself, disturbed: "human ..." people's drawings, "shards ..." the first sketches of OUT
            - another: by someone else of another photo, with another built-in pen, in another style of OUT,
              by Canny with other thresholds
            "share" is that of disturbed pixels: half of them become ink, half paper. "noisy twice" is between
            two noisy copies. Gaps are six pixels broad, and a region is erased around some inked pixel.
vendi       Vendi scores of the styles of OUT, of Canny's thresholds, of the built-in pens on one subject
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.errors import SketchforgeError  # noqa: E402
from sketchforge.images.builtin.drawings import PENS, SUBJECTS, draw  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.metrics.sketches.variety import UNITS, style_distances, style_parts, vendi_score  # noqa: E402
from sketchforge.shards.reader import StoredSample, read_samples  # noqa: E402
from sketchforge.shards.selection import spread_evenly  # noqa: E402
from sketchforge.shards.shard_set import open_folder  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from sketchforge.utils.seeding import numpy_generator  # noqa: E402

THRESHOLDS = (10, 20, 30, 40, 60, 80)  # Canny's lower one, on 8-bit gradients; the upper one is twice as high
SHARES = (0.002, 0.005, 0.01)
DISTURBED = 60  # drawings, and images of OUT

Parts = dict[str, np.ndarray]


def two_tone(drawing: np.ndarray) -> np.ndarray:
    """As `render` stores sketches: the scans' grey rims would count as a style."""
    return np.where(drawing < 128, 0, 255).astype(np.uint8)


def pairs(data: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two drawings of every photo of the table, in its order."""
    drawings = defaultdict(list)
    with open(data / "photo_sketch_pairs.tsv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            drawings[row["photo"]].append(data / row["sketch"])
    found = []
    for photo, paths in drawings.items():
        if len(paths) != 2:
            raise SketchforgeError(f"{photo}: found {len(paths)} drawings of it, expected 2")
        found.append(tuple(two_tone(read_image(path)[..., 0]) for path in paths))
    return found


def noisy(sketch: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    salt_and_pepper = np.where(rng.random(sketch.shape) < 0.5, 0, 255).astype(np.uint8)
    return np.where(rng.random(sketch.shape) < share, salt_and_pepper, sketch)


def shifted(sketch: np.ndarray) -> np.ndarray:
    return np.pad(sketch, ((1, 0), (1, 0)), constant_values=255)[:-1, :-1]


def erased(sketch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Without a square of 2 % of the area around some inked pixel."""
    result, half = sketch.copy(), round((sketch.size * 0.02) ** 0.5 / 2)
    inked = np.argwhere(sketch < 128)
    row, column = inked[rng.integers(len(inked))] if len(inked) else (0, 0)
    result[max(0, row - half) : row + half, max(0, column - half) : column + half] = 255
    return result


def dashed(sketch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With gaps of six pixels, until a fifth of the ink is gone."""
    result, inked = sketch.copy(), np.argwhere(sketch < 128)
    for row, column in rng.permutation(inked):
        if (result < 128).sum() <= 0.8 * len(inked):
            break
        result[max(0, row - 3) : row + 3, max(0, column - 3) : column + 3] = 255
    return result


def dilated(sketch: np.ndarray) -> np.ndarray:
    """Lines one pixel broader on each side."""
    return cv2.erode(sketch, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=255)


def disturbances(sketch: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, Parts, Parts]]:
    """(what was done, one side, other side) for everything that is done to a sketch."""
    own = style_parts(sketch)
    yield "shifted by 1 px", own, style_parts(shifted(sketch))
    yield "erased region of 2 %", own, style_parts(erased(sketch, rng))
    for share in SHARES:
        once, twice = (style_parts(noisy(sketch, share, rng)) for _ in range(2))
        yield f"noisy, share {share}", own, once
        yield f"noisy twice, share {share}", once, twice
    yield "a fifth erased as dashes", own, style_parts(dashed(sketch, rng))
    yield "dilated by 1 px", own, style_parts(dilated(sketch))


def canny(image: np.ndarray, low: float) -> np.ndarray:
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 2.0)
    return 255 - cv2.Canny(grey, low, 2 * low)


def read_shards(folder: Path) -> list[StoredSample]:
    """At most DISTURBED samples, spread over the folder."""
    shards = open_folder(folder)
    return list(read_samples(shards, spread_evenly(list(shards.keys), DISTURBED)).values())


def of_each_other(group: list[Parts]) -> list[tuple[Parts, Parts]]:
    return [(a, b) for n, a in enumerate(group) for b in group[:n]]


def summary(values: np.ndarray) -> dict[str, float]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    figures = {"mean": values.mean(), "median": median, "quartile 1": low, "quartile 3": high}
    return {name: round(float(value), 4) for name, value in figures.items()} | {"n": len(values)}


def measure(data: Path, shards: Path | None, seed: int) -> dict[str, object]:
    rng = numpy_generator(seed, "variety width")
    drawings = pairs(data)
    people = [(style_parts(a), style_parts(b)) for a, b in drawings]
    units = {name: float(np.median([np.linalg.norm(a[name] - b[name]) for a, b in people])) for name in UNITS}

    def vector(parts: Parts) -> np.ndarray:
        return np.concatenate([parts[name] / unit for name, unit in units.items()]) / len(units) ** 0.5

    def distances(compared: list[tuple[Parts, Parts]]) -> np.ndarray:
        return np.array([np.linalg.norm(vector(a) - vector(b)) for a, b in compared])

    apart = distances(people)
    width = float(np.median(apart))

    def score(group: list[Parts]) -> float:
        return vendi_score(style_distances(np.stack([vector(parts) for parts in group])), width)

    compared: defaultdict[str, list[tuple[Parts, Parts]]] = defaultdict(list)
    vendi: dict[str, list[list[Parts]]] = {}
    compared["two people, one photo"] = people
    others = people[len(people) // 2 :] + people[: len(people) // 2]
    compared["two people, two photos"] = [(a, b) for (a, _), (_, b) in zip(people, others, strict=True)]
    for sketch, _ in spread_evenly(drawings, DISTURBED):
        for name, a, b in disturbances(sketch, rng):
            compared[f"human {name}"].append((a, b))

    seeds: list[list[list[Parts]]] = [
        [[style_parts(two_tone(draw(subject, pen, 256, s))) for s in (0, 1)] for pen in PENS]
        for subject in spread_evenly(SUBJECTS, 8)
    ]
    for pens in seeds:
        compared["one pen, one subject, two seeds"] += [(a, b) for a, b in pens]
        compared["two pens, one subject"] += of_each_other([a for a, _ in pens])
    vendi[f"{len(PENS)} pens, one subject"] = [[a for a, _ in pens] for pens in seeds]

    if shards is not None:
        samples = read_shards(shards)
        styles = [[style_parts(sketch) for sketch in sample.sketches] for sample in samples]
        edges = [[style_parts(canny(sample.image, low)) for low in THRESHOLDS] for sample in samples]
        for sample in samples:
            for name, a, b in disturbances(sample.sketches[0], rng):
                compared[f"shards {name}"].append((a, b))
        for name, groups in (
            (f"{len(styles[0])} styles of the shards, one image", styles),
            (f"Canny at {len(THRESHOLDS)} thresholds, one image", edges),
        ):
            vendi[name] = groups
            compared[name] = [pair for group in groups for pair in of_each_other(group)]
    return {
        "units": {name: round(unit, 4) for name, unit in units.items()},
        "width": summary(apart),
        "distances": {name: summary(distances(found) / width) for name, found in compared.items()},
        "vendi": {name: summary(np.array([score(g) for g in groups])) for name, groups in vendi.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SKETCHFORGE_TEST_DATA"))
    parser.add_argument("--shards", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is missing and SKETCHFORGE_TEST_DATA is not set")
    set_threads(options.threads)
    try:
        result = measure(Path(options.data), options.shards, options.seed)
    except (SketchforgeError, OSError) as error:
        sys.exit(f"error: {error}")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
