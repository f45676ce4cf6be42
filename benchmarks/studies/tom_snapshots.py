"""Compare runs of TOM by their ten snapshots, as `render` draws with them: content, realism, shared lines, ink.

    python benchmarks/studies/tom_snapshots.py --data DATA --work DIR NAME=RUN [NAME=RUN ...]

Content: F of the black and white sketches of bsds500/val, every fourth photo from the first on, on which choices were
made ("chosen"), and from the second on, kept for the report ("report"). Realism, lines and ink: 60 photos of PACS,
against one person's drawing of each. Shared lines: of two snapshots' sketches of a photo, the share of the sparser one's
thinned lines within 2 pixels (at 256) of the other's, and `line_differences`, which takes equal lengths of line; both in
the mean of all pairs. The consensus is the mean of the ten greys. Leaves DIR/NAME.json and a sheet, DIR/NAME.png, of six
pictures in ten styles. What is measured already is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.checkpoints.encoder import load_encoder  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.images.decode import read_image  # noqa: E402
from sketchforge.images.encode import write_png  # noqa: E402
from sketchforge.images.line_art import binarize  # noqa: E402
from sketchforge.images.tensors import to_tensor  # noqa: E402
from sketchforge.metrics.kid import kernel_matrices  # noqa: E402
from sketchforge.metrics.sketches.boundaries import boundary_counts, read_boundaries, summarize_boundaries  # noqa: E402
from sketchforge.metrics.sketches.features import sketch_features  # noqa: E402
from sketchforge.metrics.sketches.patches import describe_patches, stroke_patches  # noqa: E402
from sketchforge.metrics.sketches.two_sample_test import two_sample_test  # noqa: E402
from sketchforge.options import RenderOptions  # noqa: E402
from sketchforge.sketchers.tom import TomSketcher  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.tom.selection import line_differences, share_lines, thin_ink  # noqa: E402

COUNT, SIDE = 10, 256
NUM_CONTENT, NUM_REALISM, PATCHES = 25, 60, 20
THRESHOLDS = RenderOptions(Path("unused")).thresholds
SHEET = (
    "photos/pacs/elephant/*", "photos/pacs/dog/*", "photos/pacs/giraffe/*", "photos/pacs/person/*",
    "paintings/pacs/horse/*", "photos/bsds500/val/*",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.work.mkdir(parents=True, exist_ok=True)
    for named in asked.runs:
        name, _, run = named.partition("=")
        path = asked.work / f"{name}.json"
        if not path.is_file():
            sketcher = TomSketcher.from_run(Path(run), COUNT, torch.device("cpu"))
            write_png(asked.work / f"{name}.png", draw_sheet(sketcher, asked.data))
            lines = measure_lines(sketcher, asked.data)
            print(name, lines, flush=True)
            write_json(path, lines | measure_content(sketcher, asked.data))
        print(name, json.dumps(json.loads(path.read_text())), flush=True)


def draw_greys(sketcher: TomSketcher, image: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 -> float32 (COUNT,H,W) in [0, 1], 1 = paper."""
    return sketcher.sketches(to_tensor(image))[0, :, 0].numpy()


def to_lines(grey: np.ndarray) -> np.ndarray:
    """float in [0, 1] -> uint8, black and white as `render` has it."""
    return binarize(np.rint(grey * 255).astype(np.uint8), *THRESHOLDS)


def draw_sheet(sketcher: TomSketcher, data: Path) -> np.ndarray:
    rows = []
    for pattern in SHEET:
        path = sorted(data.glob(pattern))[11]
        image = cv2.resize(read_image(path.read_bytes()), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        greys = draw_greys(sketcher, image)
        rows.append([image, to_lines(greys.mean(0)), *(to_lines(grey) for grey in greys)])
    return contact_sheet(rows, ["photo", "consensus", *map(str, range(COUNT))])


def measure_content(sketcher: TomSketcher, data: Path) -> dict[str, Any]:
    """F of every style and of the consensus, on both parts of the photos."""
    photos = sorted((data / "photos/bsds500/val").iterdir())
    scores = {}
    for part, offset in (("chosen", 0), ("report", 1)):
        counts: list[list[Any]] = [[] for _ in range(COUNT + 1)]
        for path in photos[offset::4][:NUM_CONTENT]:
            greys = draw_greys(sketcher, read_image(path.read_bytes()))
            truth = read_boundaries(data / "photos/bsds500/boundaries_val" / f"{path.stem}.mat")
            for style, grey in zip(counts, [*greys, greys.mean(0)], strict=True):
                style.append(boundary_counts(to_lines(grey), truth, [0.5]))
        found = [round(summarize_boundaries(style).f_ods, 4) for style in counts]
        scores[f"f {part}"] = {
            "styles": found[:-1],
            "mean": float(np.mean(found[:-1])),
            "consensus": found[-1],
        }
    return scores


def measure_lines(sketcher: TomSketcher, data: Path) -> dict[str, Any]:
    """Realism against people's drawings, shared lines and ink, on photos of PACS."""
    pairs: dict[str, str] = {}
    with open(data / "photo_sketch_pairs.tsv", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            pairs.setdefault(row["photo"], row["sketch"])
    names = sorted(pairs)
    names = [names[at * len(names) // NUM_REALISM] for at in range(NUM_REALISM)]
    drawn: list[list[np.ndarray]] = []
    shared, alike = [], []
    for name in names:
        greys = draw_greys(sketcher, read_image((data / name).read_bytes()))
        drawn.append([to_lines(grey) for grey in greys])
        shared.append(share_of_the_sparser(drawn[-1]))
        alike.append(1 - line_differences(greys[:, None])[np.triu_indices(COUNT, 1)].mean())
    people = [
        cv2.cvtColor(read_image((data / pairs[name]).read_bytes()), cv2.COLOR_RGB2GRAY) for name in names
    ]
    styles = list(zip(*drawn, strict=True))
    return {
        "ink": [float(np.mean([(sketch < 128).mean() for sketch in style])) for style in styles],
        "shared": float(np.mean(shared)),
        "alike at equal length": float(np.mean(alike)),
        "auc": compare_strokes(styles, people, names),
        "kid": compare_features(styles, people),
    }


def share_of_the_sparser(sketches: Sequence[np.ndarray]) -> float:
    """Mean over pairs of the share of the sparser one's line pixels near the denser one's."""
    lines = np.stack([thin_ink(sketch < 128) for sketch in sketches])
    shares, lengths = share_lines(lines), lines.sum((1, 2))
    pairs = itertools.combinations(range(len(lines)), 2)
    return float(np.mean([shares[(i, j) if lengths[i] <= lengths[j] else (j, i)] for i, j in pairs]))


def compare_strokes(
    styles: Sequence[Sequence[np.ndarray]], people: Sequence[np.ndarray], names: Sequence[str]
) -> list[float]:
    """AUC of the two-sample test of each style's strokes against people's; .5 is best."""

    def describe(sketches: Sequence[np.ndarray], side: str) -> tuple[np.ndarray, list[str]]:
        patches = [describe_patches(stroke_patches(s, PATCHES, 0, side, n)) for s, n in zip(sketches, names)]
        return np.concatenate(patches), [n for n, rows in zip(names, patches) for _ in rows]

    theirs, their_groups = describe(people, "people")
    aucs = []
    for style in styles:
        ours, groups = describe(style, "ours")
        aucs.append(round(two_sample_test(ours, groups, theirs, their_groups, 0).auc, 4))
    return aucs


def compare_features(styles: Sequence[Sequence[np.ndarray]], people: Sequence[np.ndarray]) -> list[float]:
    """KID of each style against people's drawings."""
    encoder = load_encoder("builtin")
    reference = sketch_features(people, encoder)
    return [round(kernel_matrices(sketch_features(style, encoder), reference).mmd2(), 4) for style in styles]


if __name__ == "__main__":
    main()
