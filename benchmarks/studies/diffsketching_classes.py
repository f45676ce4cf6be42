"""Whether a class guides DiffSketching, finer than a sketch's kind and against it (the paper's Fig. 4), by one command.

    python benchmarks/studies/diffsketching_classes.py run --data DATA --work DIR [--seed 0]
    python benchmarks/studies/diffsketching_classes.py table
    python benchmarks/studies/diffsketching_classes.py picture --work DIR --out FILE.jpg

DATA holds photos/pacs, photos of five kinds, and the weights efficientnet_lite0. They are rendered once into DIR, four of
five for training; U-net and noised classifier learn of these (the demo recipe's first stage). COUNT sketches held out are
drawn out in the style of another photo held out: without a class, with that of their own photo, and with the next kind's,
from the same noise. A judge that had no part in it, logistic regression of EfficientNet-Lite0's features of the training
photos shrunk to the model's size, says of what kind each image is; told is how often that is the kind of the sketch and how often the one that
was asked for. A run leaves benchmarks/studies/diffsketching_classes/kinds-SIZE-STEPS-SEED.json. The same command again goes on where it
was interrupted. One thread.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from recognition_classifier import logistic_answers  # noqa: E402
from recognition_features import Scale, describe  # noqa: E402
from results_pictures import random_pairs  # noqa: E402

from benchmarks.studies.diffsketching_rows import BATCH, NEVER, sample_all  # noqa: E402
from sketchforge.checkpoints.diffsketching import read_diffsketching  # noqa: E402
from sketchforge.data.augment import training_pair  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.images.tensors import to_uint8  # noqa: E402
from sketchforge.metrics.images.statistics import estimate_means  # noqa: E402
from sketchforge.models.diffsketching import DiffSketching  # noqa: E402
from sketchforge.models.noise import sample_maps  # noqa: E402
from sketchforge.options import DiffSketchingTrainOptions, RenderOptions  # noqa: E402
from sketchforge.render.render import render  # noqa: E402
from sketchforge.shards.open_shard import OpenShard  # noqa: E402
from sketchforge.shards.shard_set import ShardSet, open_shards  # noqa: E402
from sketchforge.synthesis.synthesizer import load_model  # noqa: E402
from sketchforge.utils.files import read_json, write_json  # noqa: E402
from trainers.diffsketching.run import train_diffsketching  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "diffsketching_classes"
VERSION = 1  # of the JSON
SIZE, STEPS = 64, 2500
COUNT = 150  # sketches held out
JUDGE = "efficientnet"
WITHOUT, OWN, NEXT = "no class", "its own kind", "the next kind"


def render_kinds(data: Path, work: Path) -> Path:
    """Render the photos, where they are not: classes by folder, parts train and val."""
    shards = work / "kinds"
    render(
        RenderOptions(
            shards,
            str(data / "photos/pacs"),
            split="train=.8,val=.2",
            labels="folder",
            tom=Path("builtin"),
            hands="none",
            workers=1,
            threads=1,
        )
    )
    return shards


def read_kinds(
    shards: ShardSet, size: int, count: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """(images (N,3,S,S), a sketch of each (N,1,S,S), in [-1, 1], and classes (N,)), evenly spread; count: None: all."""
    places = [(number, row) for number, samples in enumerate(shards.shard_sizes) for row in range(samples)]
    chosen = np.unique(np.linspace(0, len(places) - 1, count or len(places)).round().astype(int))
    pairs, labels = [], []
    for turn, (number, row) in enumerate(places[at] for at in chosen):
        shard = OpenShard(shards, number)
        sample = shard.read(row, [turn % len(shards.styles)])
        labels.append(shard.read_class(row))
        shard.close()
        pairs.append(training_pair(sample.image, sample.sketches, size, 0, turn, None))
    images, sketches = (torch.stack([pair[name] for pair in pairs]) for name in ("image", "sketch"))
    return images, sketches, np.array(labels)


def sample_kinds(
    model: DiffSketching, sketches: torch.Tensor, styles: torch.Tensor, labels: np.ndarray, seed: int
) -> torch.Tensor:
    """(N,3,S,S), each guided to a class of its own (N,), from noise of its own number."""
    made = torch.zeros_like(styles)
    for label in np.unique(labels):
        rows = torch.from_numpy(np.flatnonzero(labels == label))
        sampling = replace(model.sampling, label=int(label))
        for part in rows.split(BATCH):
            noise = sample_maps(tuple(styles.shape[1:]), part.tolist(), seed)
            made[part] = model.sample(sketches[part], styles[part], noise, sampling)
    return made


def tell_kinds(
    probabilities: Mapping[str, np.ndarray], own: np.ndarray, next_kinds: np.ndarray, seed: int
) -> dict[str, Any]:
    """Of each request: how often the judge sees the sketch's own kind, and the next, with intervals over images.

    probabilities: (N,J) by request. own, next_kinds: (N,). Beside them what asking for a kind adds, image for image.
    """
    seen: dict[str, np.ndarray] = {}
    for request, each in probabilities.items():
        answers = each.argmax(1)
        seen[f"{request}: own kind seen"] = (answers == own).astype(float)
        seen[f"{request}: next kind seen"] = (answers == next_kinds).astype(float)
    for kind, request in (("own", OWN), ("next", NEXT)):
        if request in probabilities:
            key = f"{kind} kind seen"
            seen[f"{request} adds: {key}"] = seen[f"{request}: {key}"] - seen[f"{WITHOUT}: {key}"]
    estimates = estimate_means(seen, list(range(len(own))), seed)
    return {name: [x.value, x.low, x.high] for name, x in estimates.items()}


def run_kinds(data: Path, work: Path, seed: int, steps: int = STEPS, count: int = COUNT) -> Path:
    """Train and measure, unless the JSON is there; returns its path."""
    path = RESULTS / f"kinds-{SIZE}-{steps}-{seed}.json"
    if path.is_file():
        return path
    shards = render_kinds(data, work)
    run = work / "diffsketching" / f"kinds-{SIZE}-{seed}"
    train_diffsketching(
        DiffSketchingTrainOptions(
            shards=str(shards), run=run, size=SIZE, seed=seed, steps=steps, denoising_steps=NEVER,
            workers=0, threads=1, device="cpu",
        )
    )  # fmt: skip
    model, _ = read_diffsketching(run / "model.safetensors")
    opened = open_shards(str(shards))
    photos, _, kinds = read_kinds(opened.take_split("train", "all"), SIZE)
    images, sketches, own = read_kinds(opened.take_held_out("val"), SIZE, count)
    next_kinds = (own + 1) % len(model.classes)
    styles = images.roll(len(images) // 3, 0)
    made = {
        "the photos themselves": images,
        WITHOUT: sample_all(model, sketches, styles, seed),
        OWN: sample_kinds(model, sketches, styles, own, seed),
        NEXT: sample_kinds(model, sketches, styles, next_kinds, seed),
    }
    learnt = describe(JUDGE, to_uint8(photos), data, work)
    scale = Scale.of(learnt)
    probabilities = {
        request: logistic_answers(scale(learnt), kinds, 1, scale(describe(JUDGE, to_uint8(each), data, work)))
        for request, each in made.items()
    }
    figures = tell_kinds(probabilities, own, next_kinds, seed)
    metadata = {
        "size": SIZE, "seed": seed, "steps": steps, "sketches": len(own), "classes": list(model.classes),
        "class_scale": model.sampling.class_scale, "sketch_scale": model.sampling.sketch_scale,
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    write_json(path, {"format": "diffsketching-classes", "version": VERSION, **metadata, "figures": figures})
    return path


def print_table() -> None:
    """Figures of the runs that are there."""
    for path in sorted(RESULTS.glob("*.json")):
        for name, estimate in read_json(path)["figures"].items():
            print("| {} | {:.2f} [{:.2f} {:.2f}] |".format(name, *estimate))


def draw_picture(run: Path, count: int = 6) -> np.ndarray:
    """uint8 H×W×3: built-in drawings in the style of photos, without a class and with each that the model knows."""
    model = load_model(run, "cpu")
    rows: list[list[np.ndarray | None]] = []
    assert model.sampling is not None
    for drawing, style in random_pairs(count, 0):
        row: list[np.ndarray | None] = [drawing, style]
        for label in (None, *range(len(model.classes))):
            model.sampling = replace(model.sampling, label=label)
            row.append(model.synthesize(drawing, style))
        rows.append(row)
    return contact_sheet(rows, ["drawing", "style", WITHOUT, *model.classes], cell=112)


def main(arguments: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table", help="of the runs that are there")
    running, drawing = commands.add_parser("run"), commands.add_parser("picture")
    running.add_argument("--data", type=Path, required=True)
    for command in (running, drawing):
        command.add_argument("--work", type=Path, required=True)
        command.add_argument("--seed", type=int, default=0)
    running.add_argument("--steps", type=int, default=STEPS)
    running.add_argument("--count", type=int, default=COUNT, help=f"sketches held out; default: {COUNT}")
    drawing.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    if asked.command == "table":
        print_table()
    elif asked.command == "picture":
        run = asked.work / "diffsketching" / f"kinds-{SIZE}-{asked.seed}"
        Image.fromarray(draw_picture(run)).save(asked.out, quality=88)
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        print(run_kinds(asked.data, asked.work, asked.seed, asked.steps, asked.count), flush=True)


if __name__ == "__main__":
    main()
