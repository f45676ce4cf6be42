"""SEGIN's Table II on other images: a row for each loss and layer that is left out, by one command.

    python benchmarks/studies/segin_rows.py run --data DATA --work DIR --row portraits-64-full-0 [--row …]
    python benchmarks/studies/segin_rows.py table
    python benchmarks/studies/segin_rows.py picture --run runs/segin --shards out --out FILE.jpg

DATA as for ae_results.py, whose shards in DIR, held-out images and measures are taken, so that the rows stand beside
those of auto-encoder, GAN and Style2Paints. Beside those measures a row has what the translator adds to its auxiliary
image: the errors of both against the truth, with the truth as reference, and with the image held out that is nearest to
it (by the mean colour of 8 × 8 squares) in place of one of its class, for portraits have no classes. A row leaves
benchmarks/studies/segin_rows/ROW.json. The same command again goes on where it was interrupted, and leaves out rows
that are there. One thread. The picture shows what is pasted, and what is made of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks.studies.ae_results import (  # noqa: E402
    PAIRS,
    Row,
    add_running,
    figures_of,
    measure_row,
    render_shards,
    result_of,
)
from sketchforge.checkpoints.segin import read_segin  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.images.tensors import to_uint8  # noqa: E402
from sketchforge.metrics.images.lpips import open_lpips  # noqa: E402
from sketchforge.metrics.images.statistics import estimate_means  # noqa: E402
from sketchforge.models.segin import Segin  # noqa: E402
from sketchforge.options import SeginTrainOptions  # noqa: E402
from sketchforge.shards.shard_set import open_shards  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.image_models.validation import read_pairs  # noqa: E402
from trainers.segin.run import train_segin  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "segin_rows"
VERSION = 1  # of a row's JSON
STEPS = {64: 2500, 128: 5000}  # by size; --steps for less
SEEDS = (0, 1, 2)
BATCH = 16

# What distinguishes a row, by its name: the paper's Table II. The others are ours.
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no-gan": {"losses": (("adversarial", 0.0),)},
    "no-reconstruction": {"losses": (("reconstruction", 0.0),)},
    "no-feature": {"losses": (("feature", 0.0),)},
    "no-variation": {"losses": (("variation", 0.0),)},
    "no-non-local": {"non_local": False},
    "no-multi-task": {"losses": (("mask", 0.0), ("masked", 0.0))},
    "soft": {"match": "soft"},
    "sift": {"match": "sift"},
}
# Table II and the last row of Table I: FID and LPIPS to the truth, of shoes and of bags.
PUBLISHED = {
    "full": "54.5 .112, 68.2 .158",
    "no-gan": "55.6 .112, 70.0 .158",
    "no-reconstruction": "59.2 .121, 78.3 .174",
    "no-feature": "76.6 .147, 96.5 .211",
    "no-variation": "58.2 .111, 72.5 .155",
    "no-non-local": "72.4 .132, 94.1 .172",
    "no-multi-task": "77.2 .144, 98.2 .181",
}


class SeginRow(Row):
    """Such as portraits-64-no-gan-0."""

    variants = VARIANTS


def nearest_others(images: torch.Tensor) -> torch.Tensor:
    """For each image (B,3,S,S) the index of the other one that is nearest in the mean colours of 8 × 8 squares."""
    squares = F.adaptive_avg_pool2d(images, 8).flatten(1)
    distance = torch.cdist(squares, squares)
    distance.fill_diagonal_(float("inf"))
    return distance.argmin(1)


@torch.no_grad()
def compare_with_auxiliary(
    model: Segin, sketches: torch.Tensor, images: torch.Tensor, distance: Any, seed: int
) -> dict[str, Any]:
    """What the translator adds: errors of output and auxiliary image against the truth, and their difference.

    sketches (B,1,S,S), images (B,3,S,S) in [-1, 1]. distance(a, b): LPIPS, (B,) each. Each figure is (value, low, high);
    a difference below 0 says that the output is nearer to the truth.
    """
    references = {"truth": images, "nearest": images[nearest_others(images)]}
    figures: dict[str, Any] = {}
    for reference, chosen in references.items():
        values: dict[str, list[torch.Tensor]] = {}
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            auxiliary = model.matcher.paste(sketches[part], chosen[part])
            made = {"output": model.translator(sketches[part], auxiliary).image, "auxiliary": auxiliary}
            for name, image in made.items():
                squared = (image - images[part]).square().mean((1, 2, 3))
                values.setdefault(f"squared error, {name}", []).append(squared)
                values.setdefault(f"LPIPS, {name}", []).append(distance(image, images[part]))
        means = {name: torch.cat(parts).double().numpy() for name, parts in values.items()}
        for measure in ("squared error", "LPIPS"):
            means[f"{measure}, difference"] = means[f"{measure}, output"] - means[f"{measure}, auxiliary"]
        estimates = estimate_means(means, list(range(len(images))), seed)
        figures[reference] = {name: [x.value, x.low, x.high] for name, x in estimates.items()}
    return figures


def run_segin_row(
    row: SeginRow, data: Path, work: Path, steps: int | None = None, pairs: int = PAIRS
) -> Path:
    """Train and measure a row, unless its JSON is there; returns the JSON's path."""
    path = RESULTS / f"{row.name}.json"
    if path.is_file():
        return path
    steps = steps or STEPS[row.size]
    shards = render_shards(Row(row.data, row.size, "all", row.seed), data, work)
    run = work / "segin" / row.name
    train_segin(
        SeginTrainOptions(
            shards=str(shards),
            run=run,
            size=row.size,
            steps=steps,
            seed=row.seed,
            eval_every=steps,
            workers=0,
            threads=1,
            device="cpu",
            **VARIANTS[row.variant],
        )
    )
    kept = result_of(measure_row(shards, run, data, work, pairs))
    lpips = open_lpips(
        "squeeze", data / "weights/squeezenet/squeezenet1_1_features_tvkeys.safetensors", torch.device("cpu")
    )
    images, sketches = read_pairs(open_shards(str(shards)).take_held_out("val"), row.size)
    model, _ = read_segin(run / "model.safetensors")
    auxiliary = compare_with_auxiliary(model, sketches, images, lpips.distance, row.seed)
    masks = json.loads((run / "run.json").read_text())["masks"]
    metadata: dict[str, Any] = {
        "data": row.data,
        "size": row.size,
        "variant": row.variant,
        "seed": row.seed,
        "steps": steps,
        "pairs": pairs,
    }
    RESULTS.mkdir(exist_ok=True)
    entries = metadata | kept | {"auxiliary": auxiliary, "masks": masks}
    write_json(path, {"format": "segin-rows", "version": VERSION, **entries})
    (work / f"segin-{row.name}.png").write_bytes((run / "grid.png").read_bytes())
    return path


def print_table() -> None:
    """A row for each result: its figures, then output against auxiliary image, and the paper's."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    titles = list(dict.fromkeys(title for result in results for title in figures_of(result)))
    pairs = [(ref, measure) for ref in ("truth", "nearest") for measure in ("squared error", "LPIPS")]
    heads = ["", "steps", *titles, *(f"{measure}, reference: {ref}" for ref, measure in pairs), "paper"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    order = list(VARIANTS)
    for result in sorted(results, key=lambda result: (order.index(result["variant"]), result["seed"])):
        figures = figures_of(result)
        cells = [f"{figures[title]['value']:.3g}" if title in figures else "" for title in titles]
        for ref, measure in pairs:
            values = result["auxiliary"][ref]
            cells.append(f"{values[f'{measure}, output'][0]:.3f} of {values[f'{measure}, auxiliary'][0]:.3f}")
        name = f"{result['data']} {result['size']} {result['variant']} {result['seed']}"
        paper = PUBLISHED.get(result["variant"], "")
        print(f"| {name} | {result['steps']:,} | " + " | ".join(cells) + f" | {paper} |")


@torch.no_grad()
def draw_picture(run: Path, shards: str, count: int = 6) -> np.ndarray:
    """uint8 H×W×3: of some images sketch, reference, auxiliary image, output and mask, the reference another's and their own."""
    model, _ = read_segin(run / "model.safetensors")
    images, sketches = read_pairs(open_shards(shards), model.size, count)
    rows: list[list[np.ndarray]] = []
    for row, sketch in enumerate(sketches):
        cells = [to_uint8(sketch[None])[0, ..., 0]]
        for reference in (images[(row + 1) % len(images)], images[row]):
            auxiliary = model.matcher.paste(sketch[None], reference[None])
            made = model.translator(sketch[None], auxiliary)
            mask = to_uint8(made.mask_logits.sigmoid() * 2 - 1)[0, ..., 0]
            cells += [to_uint8(image)[0] for image in (reference[None], auxiliary, made.image)] + [mask]
        rows.append(cells)
    heads = ["sketch", *("reference", "pasted", "made of it", "mask") * 2]
    return contact_sheet(rows, heads, cell=128)


def main(arguments: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table", help="of the rows that are there")
    running = add_running(commands, SeginRow.parse)
    running.add_argument("--steps", type=int, help=f"default: {STEPS}, by size")
    running.add_argument("--pairs", type=int, default=PAIRS, help="mismatched ones that are measured")
    drawing = commands.add_parser("picture", help="what a model pastes, and what it makes of it")
    drawing.add_argument("--run", type=Path, required=True)
    drawing.add_argument("--shards", required=True)
    drawing.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    if asked.command == "table":
        print_table()
    elif asked.command == "picture":
        Image.fromarray(draw_picture(asked.run, asked.shards)).save(asked.out, quality=88)
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        for row in asked.row:
            print(run_segin_row(row, asked.data, asked.work, asked.steps, asked.pairs), flush=True)


if __name__ == "__main__":
    main()
