"""The known sets of drawings for realism_power.py: by people, by machines, and controls made of them."""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from skimage.morphology import skeletonize

from sketchforge.images.builtin.drawings import load_drawings
from sketchforge.images.decode import read_image
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.reader import read_samples
from sketchforge.shards.shard_set import open_folder
from sketchforge.utils.seeding import numpy_generator

PHOTOS_PER_CLASS = 25
REFERENCE = "people, second drawings"
FLOOR = "people, first drawings"
Sketches = dict[str, np.ndarray]  # uint8 HxW by the name of the source image


def grey(path: Path) -> np.ndarray:
    return cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY)


def human_drawings(data: Path) -> dict[str, tuple[Path, list[Path]]]:
    """{name: (photo, its drawings)} for PHOTOS_PER_CLASS photos of each class, spread evenly."""
    found: dict[str, list[Path]] = {}
    with open(data / "photo_sketch_pairs.tsv", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found.setdefault(row["photo"], []).append(data / row["sketch"])
    classes: dict[str, list[str]] = {}
    for photo in found:
        classes.setdefault(Path(photo).parent.name, []).append(photo)
    chosen = [
        rows[i * len(rows) // PHOTOS_PER_CLASS] for rows in classes.values() for i in range(PHOTOS_PER_CLASS)
    ]
    return {f"{Path(p).parent.name}-{Path(p).stem}": (data / p, sorted(found[p])) for p in chosen}


def drawn_by_machine(
    work: Path, data: Path, tom: Path | None, photos: list[tuple[str, Path]]
) -> dict[str, Sketches]:
    """Every method's sketches of the photos, from the shards under `work` or drawn anew; 1 bit, as stored."""
    (work / "photos").mkdir(parents=True, exist_ok=True)
    for name, path in photos:
        shutil.copy(path, work / "photos" / f"{name}.jpg")
    weights = data / "weights"
    plans = {
        "Canny": {"method": "canny"},
        "PiDiNet": {
            "method": "pidinet",
            "edge_weights": weights / "pidinet" / "pidinet_bsds_vanilla_fp32.safetensors",
            "threshold": 0.4,
        },
        "TEED": {"method": "teed", "edge_weights": weights / "teed" / "teed_biped_7.safetensors"},
    }
    if tom:
        plans["TOM"] = {"method": "tom", "tom": tom, "hands": "none"}
    sets: dict[str, Sketches] = {}
    for method, options in plans.items():
        folder = work / method.lower()
        if not folder.exists() or not open_folder(folder).manifest["complete"]:
            render(RenderOptions(folder, work / "photos", fit="keep", workers=1, threads=1, **options))
        shards = open_folder(folder)
        samples = read_samples(shards, shards.keys)
        for style in range(len(next(iter(samples.values())).sketches)):
            name = method if method != "TOM" else f"TOM style {style}"
            sets[name] = {key: sample.sketches[style] for key, sample in samples.items()}
    return sets


def jitter(sketch: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    """Displaced by a smooth random field (correlated over about 4 px) of this standard deviation per axis."""
    fields = [cv2.GaussianBlur(rng.standard_normal(sketch.shape).astype(np.float32), (0, 0), 2) for _ in "xy"]
    y, x = np.mgrid[: sketch.shape[0], : sketch.shape[1]].astype(np.float32)
    dx, dy = (field / field.std() * pixels for field in fields)
    paper = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": 255}
    return cv2.remap(sketch, x + dx, y + dy, cv2.INTER_LINEAR, **paper)


def gaps(sketch: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Discs of 4 px radius erased at random ink pixels, `share` for every 60 of them."""
    ink = np.argwhere(sketch < 128)
    spoilt = sketch.copy()
    for y, x in ink[rng.integers(len(ink), size=round(len(ink) * share / 60))]:
        cv2.circle(spoilt, (int(x), int(y)), 4, 255, -1)
    return spoilt


def salt(sketch: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(sketch.shape) < share, 0, sketch).astype(np.uint8)


def segments(sketch: np.ndarray, width: float, rng: np.random.Generator) -> np.ndarray:
    """Straight lines of 10 to 60 px anywhere, as much ink as in the sketch."""
    made = np.full_like(sketch, 255)
    while (made < 128).sum() < (sketch < 128).sum():
        start, turn = rng.uniform(0, min(sketch.shape), 2), rng.uniform(0, 2 * np.pi)
        end = start + rng.uniform(10, 60) * np.array([np.cos(turn), np.sin(turn)])
        cv2.line(made, start.astype(int).tolist(), end.astype(int).tolist(), 0, int(width), cv2.LINE_AA)
    return made


def pen(sketch: np.ndarray, width: float, rng: np.random.Generator) -> np.ndarray:
    """The thinned lines redrawn this broad."""
    broad = cv2.dilate(skeletonize(sketch < 128).astype(np.uint8), np.ones((int(width),) * 2, np.uint8))
    return np.where(broad, 0, 255).astype(np.uint8)


def resized(sketch: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(sketch, None, fx=scale, fy=scale, interpolation=way)


def one_bit(sketch: np.ndarray, threshold: float, rng: np.random.Generator) -> np.ndarray:
    return np.where(sketch > threshold * 255, 255, 0).astype(np.uint8)


CONTROLS: dict[str, tuple[str, Callable[..., np.ndarray], float]] = {
    "stored 1 px wide": (FLOOR, pen, 1),
    "stored 5 px wide": (FLOOR, pen, 5),
    "stored at 2x": (FLOOR, resized, 2.0),
    "stored at 0.75x": (FLOOR, resized, 0.75),
    "stored in 1 bit": (FLOOR, one_bit, 0.7),
    "jitter 0.5 px": (FLOOR, jitter, 0.5),
    "jitter 1 px": (FLOOR, jitter, 1),
    "jitter 2 px": (FLOOR, jitter, 2),
    "gaps 0.25": (FLOOR, gaps, 0.25),
    "gaps 0.5": (FLOOR, gaps, 0.5),
    "gaps 1": (FLOOR, gaps, 1),
    "random segments": (FLOOR, segments, 3),
    "Canny with 1 % salt": ("Canny", salt, 0.01),
}


def all_sets(options: argparse.Namespace) -> dict[str, Sketches]:
    people = human_drawings(options.data)
    sets = {FLOOR: {n: grey(d[0]) for n, (_, d) in people.items()}}
    sets[REFERENCE] = {n: grey(d[1]) for n, (_, d) in people.items()}
    photos = [(name, photo) for name, (photo, _) in people.items()]
    machines = drawn_by_machine(options.work, options.data, options.tom, photos)
    style_set = sorted((options.data / "sketches" / "style_set").iterdir())
    both = {**sets, **machines}
    for name, (of, control, amount) in CONTROLS.items():
        sets[name] = {
            n: control(sketch, amount, numpy_generator(0, name, n)) for n, sketch in both[of].items()
        }
    sets["style_set (other people)"] = {path.stem: grey(path) for path in style_set}
    sets["built-in drawings"] = {name: drawing for name, drawing in load_drawings()}
    return {**sets, **machines}
