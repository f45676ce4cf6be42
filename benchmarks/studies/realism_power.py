"""What the measures of realism tell apart, and what they must not: the two-sample test and KID on known sets.

    python benchmarks/studies/realism_power.py --work WORK --data DATA [--tom RUN] [--json FILE]
    python benchmarks/studies/realism_power.py --work WORK --data DATA [--tom RUN] --variants

DATA (default: the variable SKETCHFORGE_TEST_DATA) holds photo_sketch_pairs.tsv with photos/pacs and
sketches/pacs, sketches/style_set, and weights/pidinet and weights/teed. WORK takes the sketches of 100 of the
photos, drawn by `sketchforge render`'s own code; the next call finds them there.

The reference are the second drawings of the 100 photos, by people; the first drawings of the same photos, by
other people, are the floor. Of the first drawings are also made the controls: stored otherwise (other pens,
sizes, one bit), which should score as the floor does, and spoilt in steps, which should score ever higher.
Intervals are the 2.5 and 97.5 percentiles over resampled photos, the classifiers held fixed.
With --variants: AUC for other settings of the test than the ones we took.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import torch
from skimage.feature import hog
from skimage.morphology import skeletonize

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.checkpoints.encoder import load_encoder  # noqa: E402
from sketchforge.images.builtin.drawings import load_drawings  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.metrics.kid import kernel_matrices  # noqa: E402
from sketchforge.metrics.sketches import patches  # noqa: E402
from sketchforge.metrics.sketches import two_sample_test as realism
from sketchforge.metrics.sketches.features import kernel_distance_name, sketch_features  # noqa: E402
from sketchforge.metrics.sketches.patches import describe_patches  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from sketchforge.render.render import render  # noqa: E402
from sketchforge.shards.reader import read_samples  # noqa: E402
from sketchforge.shards.shard_set import open_folder  # noqa: E402
from sketchforge.utils.seeding import numpy_generator  # noqa: E402

PHOTOS_PER_CLASS = 25
PATCHES = 20  # of every sketch
REPLICATES = 1000
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
        plans["TOM"] = {"method": "tom", "tom": tom}
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


# --- controls


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


# --- measurement


def described(sketches: Sketches, describe: Callable, count: int, role: str) -> tuple[np.ndarray, list[str]]:
    rows = {n: describe(patches.stroke_patches(s, count, 0, role, n)) for n, s in sketches.items()}
    filled = {n: r for n, r in rows.items() if len(r)}
    return np.concatenate(list(filled.values())), [n for n, r in filled.items() for _ in r]


def subject(name: str) -> str:
    """The built-in drawings of one subject by two pens go together."""
    return name.rsplit("-", 1)[0]


def main_table(sets: dict[str, Sketches]) -> list[dict[str, object]]:
    encoder = load_encoder("builtin")
    measured = {n: described(s, describe_patches, PATCHES, n) for n, s in sets.items()}
    measured["built-in drawings"] = (
        measured["built-in drawings"][0],
        [subject(n) for n in measured["built-in drawings"][1]],
    )
    features = {n: sketch_features(list(s.values()), encoder) for n, s in sets.items()}
    other = "style_set (other people)"
    rows = []
    halves = [list(sets[FLOOR])[part::2] for part in (0, 1)]
    for name in sets:
        if name == REFERENCE:
            continue
        result = realism.two_sample_test(*measured[name], *measured[REFERENCE], seed=0)
        kernels = kernel_matrices(features[name], features[REFERENCE])
        row = {"set": name, "sketches": len(sets[name]), "patches": int(result.labels.sum())}
        row |= {"auc": result.auc, "auc interval": interval_auc(result), "kid": kernels.mmd2()}
        row["kid interval"] = interval_kid(kernels, list(sets[name]), list(sets[REFERENCE]))
        if name != other:
            against_others = realism.two_sample_test(*measured[name], *measured[other], seed=0)
            row["auc against style_set"] = against_others.auc
        rows.append(row)
    sides = [rows_of(measured, half) for half in halves]
    half_test = realism.two_sample_test(*sides[0], *sides[1], seed=0)
    rows.append(
        {
            "set": "people, half of the photos against the other",
            "sketches": 2 * len(halves[0]),
            "patches": int(half_test.labels.sum()),
            "auc": half_test.auc,
            "auc interval": interval_auc(half_test),
        }
    )
    return rows


def rows_of(
    measured: dict[str, tuple[np.ndarray, list[str]]], names: list[str]
) -> tuple[np.ndarray, list[str]]:
    """The described patches of people's drawings, first and second, of the photos named."""
    parts, groups = [], []
    for side in (FLOOR, REFERENCE):
        features, owners = measured[side]
        keep = np.isin(owners, names)
        parts.append(features[keep])
        groups += [owner for owner, kept in zip(owners, keep) if kept]
    return np.concatenate(parts), groups


def interval_auc(result: realism.TwoSampleResult) -> list[float]:
    names = np.unique(result.groups)
    found = []
    for replicate in range(REPLICATES):
        draw = numpy_generator(0, "bootstrap", replicate).integers(len(names), size=len(names))
        found.append(result.resampled_auc(dict(zip(names.tolist(), np.bincount(draw, minlength=len(names))))))
    return np.nanpercentile(found, [2.5, 97.5]).tolist()


def interval_kid(kernels, names_a: list[str], names_b: list[str]) -> list[float]:
    names = sorted(set(names_a) | set(names_b))
    at = {name: i for i, name in enumerate(names)}
    found = []
    for replicate in range(REPLICATES):
        draw = numpy_generator(0, "bootstrap", replicate).integers(len(names), size=len(names))
        weights = np.bincount(draw, minlength=len(names))
        found.append(kernels.mmd2(*([weights[at[n]] for n in side] for side in (names_a, names_b))))
    return np.nanpercentile(found, [2.5, 97.5]).tolist()


def describe_gradients(windows: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (Dalal & Triggs 2005): 2x2 cells of 8 orientations, ink in front."""
    side = windows.shape[1]
    blurred = [cv2.GaussianBlur(window, (0, 0), 1) for window in windows]
    rows = [hog(image, 8, (side // 2,) * 2, (1, 1)) for image in blurred]
    return np.column_stack([(windows < 128).sum(axis=(1, 2)), np.array(rows).reshape(len(windows), -1)])


def describe_pixels(windows: np.ndarray) -> np.ndarray:
    """The window itself, blurred to 8x8 pixels, ink in front."""
    small = [cv2.resize(255 - window, (8, 8), interpolation=cv2.INTER_AREA) for window in windows]
    return np.column_stack([(windows < 128).sum(axis=(1, 2)), np.array(small).reshape(len(windows), -1)])


VARIANTS: dict[str, dict[str, object]] = {
    "as it is": {},
    "working side 128, patch 24": {"WORKING_SIDE": 128, "PATCH_SIDE": 24},
    "working side 224": {"WORKING_SIDE": 224},
    "pen 1": {"PEN_WIDTH": 1},
    "pen 5": {"PEN_WIDTH": 5},
    "patch 16": {"PATCH_SIDE": 16},
    "patch 24": {"PATCH_SIDE": 24},
    "ink not matched": {"INK_STRATA": 1},
    "5 patches a sketch": {"count": 5},
    "oriented gradients": {"describe": describe_gradients},
    "8x8 pixels": {"describe": describe_pixels},
}
VARIANT_SETS = (
    FLOOR, "stored 1 px wide", "stored 5 px wide", "jitter 0.5 px", "jitter 1 px", "jitter 2 px", "gaps 0.25",
    "gaps 0.5", "gaps 1", "random segments", "style_set (other people)", "built-in drawings", "Canny",
    "Canny with 1 % salt", "PiDiNet", "TEED", "TOM style 0", "TOM style 4",
)  # fmt: skip


def variant_table(sets: dict[str, Sketches]) -> list[dict[str, object]]:
    shown = {name: sets[name] for name in (REFERENCE, *VARIANT_SETS) if name in sets}
    rows = []
    for variant, settings in VARIANTS.items():
        taken = {"PATCH_SIDE": patches.PATCH_SIDE, "INK_STRATA": realism.INK_STRATA} | settings
        of_patches = {k: v for k, v in taken.items() if hasattr(patches, k)}
        of_test = {"INK_STRATA": taken["INK_STRATA"]}
        describe, count = settings.get("describe", describe_patches), settings.get("count", PATCHES)
        with patch.multiple(patches, **of_patches), patch.multiple(realism, **of_test):
            measured = {n: described(s, describe, count, n) for n, s in shown.items()}
            row: dict[str, object] = {"variant": variant}
            for name in list(shown)[1:]:
                groups = [subject(n) if name == "built-in drawings" else n for n in measured[name][1]]
                test = realism.two_sample_test(measured[name][0], groups, *measured[REFERENCE], seed=0)
                row[name] = test.auc
        rows.append(row)
        print(as_markdown([row]).splitlines()[-1], file=sys.stderr, flush=True)
    return rows


def as_markdown(rows: list[dict[str, object]]) -> str:
    def shown(value: object) -> str:
        if isinstance(value, list):
            return " to ".join(map(shown, value))
        if isinstance(value, float):
            return f"{value:.3f}" if abs(value) < 2 else f"{value:.1f}"
        return "" if value is None else str(value)

    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(shown(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("SKETCHFORGE_TEST_DATA"))
    parser.add_argument("--tom", type=Path, help="a run of tom-train; without it TOM is left out")
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is missing and SKETCHFORGE_TEST_DATA is not set")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sets = all_sets(options)
    started = time.perf_counter()
    rows = variant_table(sets) if options.variants else main_table(sets)
    print(as_markdown(rows))
    print(f"\nkid: {kernel_distance_name('builtin')}; {time.perf_counter() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
