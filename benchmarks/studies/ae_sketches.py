"""Which sketches teach the auto-encoder what people draw: TOM's own, the careful hand's, or ten hands'.

    python benchmarks/studies/ae_sketches.py run --data DATA --work DIR [ROW ...]  # such as tom-0; default: all
    python benchmarks/studies/ae_sketches.py table --data DATA

DATA is that of utility.py: photos of animals that nobody has drawn, to train on, and people's drawings of others. The
same photos are rendered once as ten sketches by TOM (`--hands none`) and once by ten hands, the first of
which is the careful one. On each set the demo recipe is trained, with equal steps and the same order of photos. What it
makes of people's drawings in the style of the photo drawn is compared with that photo (LPIPS), beside what it
makes of a drawing of another photo. Some 120 photos are for choosing (utility_data.development), the other 138
are the test. A row leaves benchmarks/studies/ae_sketches/ROW.json; rows that are there are left out, and an
interrupted one goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from recognition_kept import render_kept  # noqa: E402
from torch import nn  # noqa: E402
from utility_autoencoder import ae_distances, read_pairs_of_people  # noqa: E402
from utility_data import Drawing, development, gallery, people, training_photos  # noqa: E402
from utility_results import by_photo, estimate  # noqa: E402
from utility_sets import SketchSet, assemble  # noqa: E402
from utility_tables import percent, print_rows  # noqa: E402

from sketchforge.checkpoints.synthesizer import read_autoencoder  # noqa: E402
from sketchforge.metrics.images.lpips import open_lpips  # noqa: E402
from sketchforge.options import AeTrainOptions, RenderOptions  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.autoencoder.run import train_ae  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "ae_sketches"
VERSION = 1  # of a row's JSON
STEPS, SEEDS = 100, 3
FOLDERS = {"tom": "none", "hands": "builtin"}  # `--hands` of each rendering
SETS = {
    "tom": SketchSet("TOM × 10", (("tom", 10),)),
    "careful": SketchSet("the careful hand", (("hands", 1),)),
    "hands": SketchSet("hands × 10", (("hands", 10),)),
}
FIRST = "hands"  # what the others are compared with: what `render` draws by default


def planned_rows() -> list[str]:
    return [f"{name}-{seed}" for seed in range(SEEDS) for name in SETS]


def parse_row(name: str) -> tuple[str, int]:
    """(set, seed) of a name such as careful-2. Raises ArgumentTypeError for another."""
    if name not in planned_rows():
        raise argparse.ArgumentTypeError(f"{name}: no such row; there are {', '.join(planned_rows())}")
    sketch_set, seed = name.split("-")
    return sketch_set, int(seed)


def render_photos(data: Path, work: Path) -> None:
    """The photos of the kinds that people drew, by every `--hands`; what is there is left out."""
    listed = work / "photos.txt"
    kinds = {Path(photo).parent.name for photo in gallery(people(data))}
    photos = [path for path in training_photos(data) if path.parent.name in kinds]
    listed.write_text("\n".join(map(str, photos)) + "\n")
    for folder, hands in FOLDERS.items():
        options = RenderOptions(
            work / folder, str(listed), tom=Path("builtin"), hands=hands, workers=1, threads=1
        )
        render_kept(options, work / "kept")  # TOM draws once


def run_row(name: str, seed: int, data: Path, work: Path, steps: int) -> Path:
    """Train and measure a row, unless its JSON is there; returns the JSON's path."""
    path = RESULTS / f"{name}-{seed}.json"
    if path.is_file():
        return path
    render_photos(data, work)
    options = AeTrainOptions(
        shards=str(assemble(work, name, SETS[name])),
        run=work / "runs" / f"{name}-{seed}",
        steps=steps,
        seed=seed,
        style="multiply",  # the defaults when the rows were made
        padding="zeros",
        workers=0,
        threads=1,
        device="cpu",
    )
    train_ae(options)
    model = read_autoencoder(options.run / "model.safetensors")[0]
    figures = measure(model, data)
    RESULTS.mkdir(exist_ok=True)
    write_json(
        path,
        {"format": "ae-sketches", "version": VERSION, "set": name, "seed": seed, "steps": steps, **figures},
    )
    return path


def measure(model: nn.Module, data: Path) -> dict[str, str]:
    """LPIPS of what is made of each drawing, and of another photo's in its place, four digits each."""
    weights = data / "weights/squeezenet/squeezenet1_1_features_tvkeys.safetensors"
    perceive = open_lpips("squeeze", weights, torch.device("cpu")).distance
    distances = ae_distances(model, *read_pairs_of_people(data, model.size), perceive)
    return {name: " ".join(f"{value:.4f}" for value in values) for name, values in distances.items()}


def figures_by_photo(
    results: Sequence[Mapping[str, Any]], name: str, drawings: Sequence[Drawing], photos: Sequence[str]
) -> np.ndarray:
    """(seeds, photos) of "matched" or "mismatched"."""
    values = np.array([list(map(float, result[name].split())) for result in results])
    return by_photo(values, drawings, photos)


def print_tables(data: Path) -> None:
    """A table of each half, of the seeds that every set has."""
    paths = {name: [RESULTS / f"{name}-{seed}.json" for seed in range(SEEDS)] for name in SETS}
    seeds = [seed for seed in range(SEEDS) if all(paths[name][seed].is_file() for name in SETS)]
    if not seeds:
        sys.exit("no seed of which every set is there; `run` makes them")
    results = {name: [json.loads(paths[name][seed].read_text()) for seed in seeds] for name in SETS}
    drawings = people(data)
    chosen = development(gallery(drawings))
    for half in ("development", "test"):
        photos = [photo for photo in gallery(drawings) if (photo in chosen) == (half == "development")]
        matched, told = {}, {}
        for name in SETS:
            matched[name] = figures_by_photo(results[name], "matched", drawings, photos)
            told[name] = figures_by_photo(results[name], "mismatched", drawings, photos) - matched[name]
        rows = []
        for name, sketch_set in SETS.items():
            beyond = ["", ""]
            if name != FIRST:
                differences = matched[name] - matched[FIRST], told[name] - told[FIRST]
                beyond = [percent(estimate(difference), "+", 2) for difference in differences]
            rows.append(
                [
                    sketch_set.title, percent(estimate(matched[name]), "", 2), beyond[0],
                    percent(estimate(told[name]), "", 2), beyond[1],
                ]
            )  # fmt: skip
        steps = results[FIRST][0]["steps"]
        print(f"\n{half}: {len(photos)} photos, {len(seeds)} seeds, {steps} steps\n")
        title = SETS[FIRST].title
        heads = ["trained on", "LPIPS × 100", f"beyond {title}", "more with another photo's drawing"]
        print_rows([*heads, f"beyond {title}"], rows)


def main(arguments: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="train and measure rows")
    running.add_argument("rows", nargs="*", type=parse_row, metavar="ROW", help="default: all")
    running.add_argument("--work", type=Path, required=True)
    running.add_argument("--steps", type=int, default=STEPS, help=f"default: {STEPS}")
    printing = commands.add_parser("table", help="of the seeds that are there")
    for command in (running, printing):
        command.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args(arguments)
    if asked.command == "table":
        print_tables(asked.data)
        return
    set_threads(1)
    asked.work.mkdir(parents=True, exist_ok=True)
    for name, seed in asked.rows or map(parse_row, planned_rows()):
        print(run_row(name, seed, asked.data, asked.work, asked.steps), flush=True)


if __name__ == "__main__":
    main()
