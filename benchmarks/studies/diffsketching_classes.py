"""Whether a class guides DiffSketching, finer than a sketch's kind and against it (the paper's Fig. 4), by one command.

    python benchmarks/studies/diffsketching_classes.py run --data DATA --work DIR --classes animals|tones [--seed 0]
    python benchmarks/studies/diffsketching_classes.py table
    python benchmarks/studies/diffsketching_classes.py picture --work DIR --classes animals|tones --out FILE.jpg

animals: DATA's photos/pacs, of five kinds; a class against the sketch. The judge of what is made had no part in it: logistic
regression of EfficientNet-Lite0's features of the training photos shrunk to the model's size (DATA's weights). tones: DATA's
faces/stylegan2_256, each light or dark, warm or cool, by the medians of its mean lightness and yellowness: classes finer than
the sketch's kind, and a judge that is arithmetic.

Images are rendered once into DIR, four of five for training; U-net and noised classifier learn of these (the demo recipe's
first stage). The scale of the classifier's gradient is chosen on TRIES sketches of training, the next class asked for: of
SCALES the largest that takes the output's L_p to its sketch up by no more than WORSE. Then COUNT sketches held out are drawn
out in the style of another image held out: without a class, with that of their own image, and with the next, from the same
noise. Told is how often the judge sees the sketch's class and the next, and L_p. A run leaves
benchmarks/studies/diffsketching_classes/CLASSES-SIZE-STEPS-SEED.json. The same command again goes on where it was
interrupted. One thread.
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
from diffsketching_class_sets import (  # noqa: E402
    IMAGES,
    Answers,
    judge_of,
    read_classes,
    render_classes,
)
from PIL import Image  # noqa: E402
from results_pictures import random_pairs  # noqa: E402

from benchmarks.studies.diffsketching_rows import BATCH, NEVER, sample_all  # noqa: E402
from sketchforge.checkpoints.diffsketching import read_diffsketching  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.metrics.images.statistics import estimate_means  # noqa: E402
from sketchforge.models.diffsketching import DiffSketching  # noqa: E402
from sketchforge.models.noise import sample_maps  # noqa: E402
from sketchforge.options import DiffSketchingTrainOptions  # noqa: E402
from sketchforge.shards.shard_set import open_shards  # noqa: E402
from sketchforge.synthesis.synthesizer import load_model  # noqa: E402
from sketchforge.utils.files import read_json, write_json  # noqa: E402
from trainers.diffsketching.run import train_diffsketching  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "diffsketching_classes"
VERSION = 2  # of the JSON
SIZE, STEPS = 64, 2500
COUNT, TRIES = 150, 80  # sketches held out; of training
SCALES = (2.0, 10.0, 30.0, 100.0, 300.0)
WORSE = 0.1  # of L_p
WITHOUT, OWN, NEXT = "no class", "its own class", "the next class"


def sample_classes(
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


def tell_classes(
    answers: Mapping[str, np.ndarray],
    distances: Mapping[str, np.ndarray],
    own: np.ndarray,
    next_classes: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Of each request: how often the judge sees the sketch's own class and the next, and L_p, with intervals over images.

    answers, distances: (N,) by request. own, next_classes: (N,). Beside them what asking for a class adds, image for image.
    """
    seen: dict[str, np.ndarray] = {}
    for request, each in answers.items():
        seen[f"{request}: own class seen"] = (each == own).astype(float)
        seen[f"{request}: next class seen"] = (each == next_classes).astype(float)
    seen |= {f"{request}: L_p": each for request, each in distances.items()}
    for kind, request in (("own", OWN), ("next", NEXT)):
        for key in (f"{kind} class seen", "L_p"):
            if f"{request}: {key}" in seen:
                seen[f"{request} adds: {key}"] = seen[f"{request}: {key}"] - seen[f"{WITHOUT}: {key}"]
    estimates = estimate_means(seen, list(range(len(own))), seed)
    return {name: [x.value, x.low, x.high] for name, x in estimates.items()}


@torch.no_grad()
def sketch_errors(model: DiffSketching, images: torch.Tensor, sketches: torch.Tensor) -> np.ndarray:
    """L_p of images (N,3,S,S) to their sketches, (N,)."""
    parts = zip(images.split(BATCH), sketches.split(BATCH), strict=True)
    return torch.cat([model.view.distances(*part) for part in parts]).double().numpy()


@torch.no_grad()
def rate_classifier(model: DiffSketching, images: torch.Tensor, classes: np.ndarray) -> dict[str, float]:
    """How often the noised classifier is right, by the share of x_t's variance that is the image's."""
    assert model.classifier is not None
    noise, rates = sample_maps(tuple(images.shape[1:]), range(len(images)), 0), {}
    for time in model.schedule.list_times(model.sampling.steps, model.sampling.strength):
        now = torch.full((len(images),), time)
        found = model.classifier(model.schedule.add_noise(images, noise, now), now).argmax(1).numpy()
        rates[f"{float(model.schedule.image_share[time]):.2f}"] = float((found == classes).mean())
    return rates


def try_scales(
    model: DiffSketching,
    sketches: torch.Tensor,
    styles: torch.Tensor,
    asked: np.ndarray,
    judge: Answers,
    seed: int,
) -> list[dict[str, float]]:
    """Of no class (scale 0) and of each scale: how often the class asked for is seen, and L_p, on average."""
    tries = []
    for scale in (0.0, *SCALES):
        model.sampling = replace(model.sampling, class_scale=scale)
        made = sample_classes(model, sketches, styles, asked, seed)
        seen, error = float((judge(made) == asked).mean()), float(sketch_errors(model, made, sketches).mean())
        tries.append({"class_scale": scale, "seen": seen, "L_p": error})
        print(f"scale {scale:g}: seen {seen:.2f}, L_p {error:.2f}", file=sys.stderr, flush=True)
    return tries


def choose_scale(tries: list[dict[str, float]]) -> float:
    """The largest whose L_p is at most WORSE above that without a class, the first of `tries`; of none, the smallest."""
    most = (1 + WORSE) * tries[0]["L_p"]
    return max(
        (each["class_scale"] for each in tries[1:] if each["L_p"] <= most), default=tries[1]["class_scale"]
    )


def run_of(work: Path, classes: str, steps: int, seed: int) -> Path:
    """The folder of the training."""
    return work / "diffsketching" / f"{classes}-{SIZE}-{steps}-{seed}"


def run_classes(
    classes: str, data: Path, work: Path, seed: int, steps: int = STEPS, count: int = COUNT
) -> Path:
    """Train and measure, unless the JSON is there; returns its path."""
    path = RESULTS / f"{classes}-{SIZE}-{steps}-{seed}.json"
    if path.is_file():
        return path
    shards, medians = render_classes(classes, SIZE, data, work)
    run = run_of(work, classes, steps, seed)
    train_diffsketching(
        DiffSketchingTrainOptions(
            shards=str(shards), run=run, size=SIZE, seed=seed, steps=steps, denoising_steps=NEVER,
            workers=0, threads=1, device="cpu",
        )
    )  # fmt: skip
    model, _ = read_diffsketching(run / "model.safetensors")
    opened = open_shards(str(shards))
    photos, drawn, learnt = read_classes(opened.take_split("train", "all"), SIZE)
    judge = judge_of(model.classes, photos, learnt, medians, data, work)
    some = np.unique(np.linspace(0, len(photos) - 1, TRIES).round().astype(int))
    tries = try_scales(
        model,
        drawn[some],
        photos[some].roll(len(some) // 3, 0),
        (learnt[some] + 1) % len(model.classes),
        judge,
        seed,
    )
    model.sampling = replace(model.sampling, class_scale=choose_scale(tries))
    images, sketches, own = read_classes(opened.take_held_out("val"), SIZE, count)
    next_classes = (own + 1) % len(model.classes)
    styles = images.roll(len(images) // 3, 0)
    made = {
        "the images themselves": images,
        WITHOUT: sample_all(model, sketches, styles, seed),
        OWN: sample_classes(model, sketches, styles, own, seed),
        NEXT: sample_classes(model, sketches, styles, next_classes, seed),
    }
    figures = tell_classes(
        {request: judge(each) for request, each in made.items()},
        {request: sketch_errors(model, each, sketches) for request, each in made.items()},
        own,
        next_classes,
        seed,
    )
    metadata = {
        "data": classes, "size": SIZE, "seed": seed, "steps": steps, "sketches": len(own), "classes": list(model.classes),
        "class_scale": model.sampling.class_scale, "sketch_scale": model.sampling.sketch_scale,
        "tries": tries, "sketches_tried": len(some), "classifier": rate_classifier(model, images, own),
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    write_json(path, {"format": "diffsketching-classes", "version": VERSION, **metadata, "figures": figures})
    return path


def print_table() -> None:
    """Tries and figures of the runs that are there."""
    for path in sorted(RESULTS.glob("*.json")):
        result = read_json(path)
        print(f"{path.stem}: class scale {result['class_scale']:g}")
        for each in result["tries"]:
            print("| tried {class_scale:g} | {seen:.2f} | {L_p:.2f} |".format(**each))
        for share, rate in result["classifier"].items():
            print(f"| classifier right, {share} of the image left | {rate:.2f} |")
        for name, estimate in result["figures"].items():
            print("| {} | {:.2f} [{:.2f} {:.2f}] |".format(name, *estimate))


def draw_picture(run: Path, scale: float, count: int = 6) -> np.ndarray:
    """uint8 H×W×3: built-in drawings in the style of photos, without a class and with each that the model knows.

    scale: of the classifier's gradient.
    """
    model = load_model(run, "cpu")
    rows: list[list[np.ndarray | None]] = []
    assert model.sampling is not None
    for drawing, style in random_pairs(count, 0):
        row: list[np.ndarray | None] = [drawing, style]
        for label in (None, *range(len(model.classes))):
            model.sampling = replace(model.sampling, label=label, class_scale=scale)
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
        command.add_argument("--classes", choices=sorted(IMAGES), required=True)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--steps", type=int, default=STEPS)
    running.add_argument("--count", type=int, default=COUNT, help=f"sketches held out; default: {COUNT}")
    drawing.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    if asked.command == "table":
        print_table()
    elif asked.command == "picture":
        result = read_json(RESULTS / f"{asked.classes}-{SIZE}-{asked.steps}-{asked.seed}.json")
        run = run_of(asked.work, asked.classes, asked.steps, asked.seed)
        Image.fromarray(draw_picture(run, result["class_scale"])).save(asked.out, quality=88)
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        print(
            run_classes(asked.classes, asked.data, asked.work, asked.seed, asked.steps, asked.count),
            flush=True,
        )


if __name__ == "__main__":
    main()
