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
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import torch
from skimage.feature import hog

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from realism_sets import FLOOR, REFERENCE, Sketches, all_sets  # noqa: E402

from sketchforge.checkpoints.encoder import load_encoder  # noqa: E402
from sketchforge.metrics.kid import kernel_matrices  # noqa: E402
from sketchforge.metrics.sketches import patches  # noqa: E402
from sketchforge.metrics.sketches import two_sample_test as realism
from sketchforge.metrics.sketches.features import kernel_distance_name, sketch_features  # noqa: E402
from sketchforge.metrics.sketches.patches import describe_patches  # noqa: E402
from sketchforge.utils.seeding import numpy_generator  # noqa: E402

PATCHES = 20  # of every sketch
REPLICATES = 1000


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
