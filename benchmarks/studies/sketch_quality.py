"""Render real photos by every method at hand and measure the sketches: the tables of docs/sketch-quality.md.

    python benchmarks/studies/sketch_quality.py --data DATA --work DIR [--tom RUN] [--photos 50]

Content on the photos of bsds500/val with an odd number (counted from 0; the even ones served to choose TOM's recipe),
in 8-bit grey and as rendered by default; Canny with the smoothing and the thresholds that suit these very photos
best, by its own rule, and by the rule many scripts use (a third above and below the median grey). Realism, variety and
strokes on photos that two people have drawn, against the second drawings; the first drawings are the people's row.
What is rendered already is not rendered again. Leaves content.json, lines.json and a page of each in DIR.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.metrics.sketches.boundaries import boundary_counts, read_boundaries, summarize_boundaries  # noqa: E402
from sketchforge.metrics.sketches.evaluate import as_json, evaluate_sketches  # noqa: E402
from sketchforge.options import EvalSketchesOptions, RenderOptions  # noqa: E402
from sketchforge.render.render import render  # noqa: E402
from sketchforge.report.sketches.page import write_sketch_page  # noqa: E402
from sketchforge.sketchers.canny import CannySketcher  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402

BLURS = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
HIGHS = (30, 45, 60, 80, 100, 130)
LOW_SHARES = (0.3, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tom", type=Path, help="default: the snapshots that render uses")
    parser.add_argument("--photos", type=int, default=50, help="for content")
    parser.add_argument(
        "--grey-photos", type=int, default=50, help="for content at all thresholds, some of them"
    )
    asked = parser.parse_args()
    data, work = asked.data, asked.work
    work.mkdir(parents=True, exist_ok=True)

    photos = sorted((data / "photos/bsds500/val").iterdir())[1::2][: asked.photos]
    tuned = tune_canny(photos, data, work / "canny.json")
    methods = methods_at_hand(data, asked.tom, tuned)
    some = photos[:: max(1, len(photos) // asked.grey_photos)][: asked.grey_photos]
    annotated = {"boundaries": data / "photos/bsds500/boundaries_val"}
    report(work / "content", shards=rendered(work / "content", photos, methods), **annotated)

    pairs = drawn_twice(data)
    first, second = (linked(work / f"drawings-{n}", [drawings[n] for _, drawings in pairs]) for n in (0, 1))
    folders = rendered(work / "lines", [photo for photo, _ in pairs], methods)
    report(work / "lines", shards=folders, references=(second, first, data / "sketches/style_set"))

    greys = rendered(
        work / "content-grey", some, methods, sketch_format="png", grey_levels=256
    )  # last, for it takes longest
    report(work / "content-grey", shards=greys, **annotated)


def methods_at_hand(data: Path, tom: Path | None, tuned: dict[str, float]) -> dict[str, dict]:
    weights = data / "weights"
    options = {f"canny_{name}": tuned[name] for name in ("low", "high", "blur")}
    return {
        "tom": {"method": "tom", "tom": tom, "hands": "none"},
        "canny": {"method": "canny"},
        "canny-tuned": {"method": "canny", **options},
        # Thresholds that docs/weights.md advises: probabilities are not grey tones.
        "pidinet": edge_net("pidinet", weights / "pidinet/pidinet_bsds_vanilla_fp32.safetensors", 0.4),
        "pidinet-tiny": edge_net(
            "pidinet", weights / "pidinet/pidinet_tiny_bsds_vanilla_fp32.safetensors", 0.4
        ),
        "teed": edge_net("teed", weights / "teed/teed_biped_7.safetensors", 0.7),
    } | {
        # As TOM: what is faint everywhere goes.
        "pidinet-core": edge_net(
            "pidinet", weights / "pidinet/pidinet_bsds_vanilla_fp32.safetensors", 0.6, 0.2
        ),
        "teed-core": edge_net("teed", weights / "teed/teed_biped_7.safetensors", 0.7, 0.3),
    }


def edge_net(method: str, weights: Path, threshold: float, low_threshold: float | None = None) -> dict:
    return {"method": method, "edge_weights": weights, "threshold": threshold, "low_threshold": low_threshold}


def rendered(work: Path, photos: list[Path], methods: dict[str, dict], **more: str) -> tuple[Path, ...]:
    work.mkdir(parents=True, exist_ok=True)
    listed = work / "photos.txt"
    listed.write_text("\n".join(map(str, photos)) + "\n")
    for name, options in methods.items():
        render(RenderOptions(work / name, str(listed), fit="keep", **options, **more))
    return tuple(work / name for name in methods)


def report(path: Path, **options: object) -> None:
    found = evaluate_sketches(EvalSketchesOptions(**options, samples=0))
    write_json(path.with_suffix(".json"), as_json(found))
    write_sketch_page(path.with_suffix(".html"), found)
    print(path.with_suffix(".json"), flush=True)


def tune_canny(photos: list[Path], data: Path, out: Path) -> dict[str, float]:
    """The best of all blurs and thresholds on these photos, with F of all three Cannys."""
    if out.is_file():
        return json.loads(out.read_text())
    images = [read_image(path.read_bytes()) for path in photos]
    truth = [read_boundaries(data / "photos/bsds500/boundaries_val" / f"{path.stem}.mat") for path in photos]

    def f(edges: Callable[[np.ndarray], np.ndarray], every: int = 1) -> float:
        """F over every so many photos."""
        sketches = [np.where(edges(image), 0, 255).astype(np.uint8) for image in images[::every]]
        counts = [boundary_counts(s, t, [0.5]) for s, t in zip(sketches, truth[::every], strict=True)]
        return summarize_boundaries(counts).f_ods

    grid = [(share * high, high, blur) for blur, high, share in itertools.product(BLURS, HIGHS, LOW_SHARES)]
    coarse = sorted(grid, key=lambda setting: -f(CannySketcher(*setting).edges, every=5))
    best = max(coarse[:6], key=lambda setting: f(CannySketcher(*setting).edges))
    found = dict(zip(("low", "high", "blur"), best, strict=True)) | {
        "f tuned": f(CannySketcher(*best).edges),
        "f automatic": f(CannySketcher().edges),
        "f by the median": f(by_the_median),
    }
    write_json(out, found)
    print(found, flush=True)
    return found


def by_the_median(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    median = float(np.median(grey))
    return cv2.Canny(cv2.GaussianBlur(grey, (3, 3), 0), 0.67 * median, min(255, 1.33 * median)) > 0


def drawn_twice(data: Path) -> list[tuple[Path, list[Path]]]:
    """100 photos with two drawings each, spread over all that recipe and thresholds were not chosen on."""
    found: dict[str, list[Path]] = {}
    with open(data / "photo_sketch_pairs.tsv", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found.setdefault(row["photo"], []).append(data / row["sketch"])
    names = sorted(found)
    seen = {names[at * len(names) // 60 + next_one] for at in range(60) for next_one in (0, 1)}
    twice = sorted(
        (data / photo, sorted(drawings))
        for photo, drawings in found.items()
        if len(drawings) == 2 and photo not in seen
    )
    return [twice[at * len(twice) // 100] for at in range(100)]


def linked(folder: Path, files: list[Path]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        link = folder / file.name
        if not link.exists():
            link.symlink_to(file)
    return folder


if __name__ == "__main__":
    main()
