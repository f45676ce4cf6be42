"""What DiffSketching's fine-tuning gives: sketches held out, before and after, by one command.

    python benchmarks/studies/diffsketching_rows.py run --data DATA --work DIR --row portraits-64-one-step-0 [--row …]
    python benchmarks/studies/diffsketching_rows.py table
    python benchmarks/studies/diffsketching_rows.py picture --run runs/diffsketching --shards out --out FILE.jpg

DATA as for ae_results.py, whose shards in DIR are taken, and the weights pidinet. All rows of fine-tuning begin with the same
U-net, trained once; `concatenation` has one of its own, and none. COUNT sketches held out are drawn out in the style of another
image held out, and TOM draws what came of them. Told is how far that drawing is from the given sketch and from that of a third
image, in the distance that is trained by (L_p) and in Skt-Rec's share of ink that differs, with their differences: without
guidance, before fine-tuning and after. The TOM that draws also guides; so PiDiNet, which has no part in it, draws what came of
them, too: told is the share of ink that differs from its drawing of the image that the sketch is of, and of the third.
`published` fine-tunes by sampling without gradients, as the public code does; `denoising` is the control: as many more steps of
denoising alone, at twice the learning rate of fine-tuning, from the same weights; `longer` and `denoising-longer` take LONGER
times as many. Rows of one call share what they begin with. A row leaves
benchmarks/studies/diffsketching_rows/ROW.json. The same command again goes on where it was interrupted, and leaves out rows
that are there. One thread.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks.studies.ae_results import Row, add_running, render_shards  # noqa: E402
from sketchforge.checkpoints.diffsketching import read_diffsketching, save_unet  # noqa: E402
from sketchforge.data.augment import training_pair  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.images.tensors import to_uint8  # noqa: E402
from sketchforge.losses.diffsketching import (  # noqa: E402
    image_identity,
    sketch_perceptual,
    weigh_tuning,
)
from sketchforge.metrics.images.inputs import SampleReader  # noqa: E402
from sketchforge.metrics.images.sketch_reconstruction import sketch_distances  # noqa: E402
from sketchforge.metrics.images.statistics import estimate_means  # noqa: E402
from sketchforge.models.diffsketching import DiffSketching  # noqa: E402
from sketchforge.models.noise import sample_maps  # noqa: E402
from sketchforge.options import DiffSketchingTrainOptions, RenderOptions  # noqa: E402
from sketchforge.shards.shard_set import open_shards  # noqa: E402
from sketchforge.sketchers.base import Sketcher  # noqa: E402
from sketchforge.sketchers.factory import open_sketcher  # noqa: E402
from sketchforge.utils.files import read_json, write_json  # noqa: E402
from trainers.diffsketching.run import train_diffsketching  # noqa: E402
from trainers.image_models.validation import read_pairs  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "diffsketching_rows"
VERSION = 2  # of a row's JSON
STEPS = {64: 2500, 128: 5000}  # of denoising, by size; --steps for less
TUNING_STEPS = 250  # after them; --tuning-steps for less
LONGER = 4  # times as many, of the rows of that name
PUBLISHED_STEPS = 10  # of fine-tuning as published, each a sampling of a batch
PUBLISHED_BATCH, PUBLISHED_RATE, PUBLISHED_MOMENTUM = 4, 1e-3, 0.9  # as in the public code
NEVER = 10**9  # steps after which fine-tuning begins
COUNT = 200  # sketches held out, of as many images as there are, in turn
BATCH = 16
MEASURES = ("L_p", "ink", "edges")

# What distinguishes a row, by its name.
VARIANTS: dict[str, dict[str, Any]] = {
    "one-step": {"through": 0},
    "last-2": {"through": 2},
    "published": {},
    "longer": {"through": 0},
    "denoising": {"denoising_steps": NEVER},
    "denoising-longer": {"denoising_steps": NEVER},
    "concatenation": {"condition": "concatenation"},
}


class DiffSketchingRow(Row):
    """Such as portraits-64-one-step-0."""

    variants = VARIANTS


def sample_all(
    model: DiffSketching, sketches: torch.Tensor, styles: torch.Tensor, seed: int, scale: float | None = None
) -> torch.Tensor:
    """Images (B,3,S,S) of sketches in styles, each from noise of its own number; scale: of the sketch's guidance."""
    sampling = model.sampling if scale is None else replace(model.sampling, sketch_scale=scale)
    shape, made = tuple(styles.shape[1:]), []
    for start in range(0, len(sketches), BATCH):
        keys = range(start, min(start + BATCH, len(sketches)))
        rows = slice(start, start + BATCH)
        noise = sample_maps(shape, keys, seed)
        made.append(model.sample(sketches[rows], styles[rows], noise, sampling))
    return torch.cat(made)


@torch.no_grad()
def compare_sketches(
    model: DiffSketching, images: torch.Tensor, sketches: torch.Tensor, others: torch.Tensor
) -> dict[str, np.ndarray]:
    """How far TOM's drawings of images are from the given sketches and from the others, float64 (B,) each."""
    values: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        drawn = to_uint8(model.view.draw(images[rows]))[..., 0]
        for name, given in (("own", sketches[rows]), ("other", others[rows])):
            perceptual = model.view.distances(images[rows], given).double().numpy()
            ink = sketch_distances(drawn, to_uint8(given)[..., 0])["relative"]
            values.setdefault(f"L_p, {name}", []).append(perceptual)
            values.setdefault(f"ink, {name}", []).append(ink)
    return {name: np.concatenate(parts) for name, parts in values.items()}


def estimate_distances(
    values: dict[str, np.ndarray], groups: Sequence[int], seed: int
) -> dict[str, list[float]]:
    """(value, low, high) of each, and of other − own."""
    differences = {
        f"{measure}, other − own": values[f"{measure}, other"] - values[f"{measure}, own"]
        for measure in MEASURES
        if f"{measure}, own" in values
    }
    estimates = estimate_means(values | differences, list(groups), seed)
    return {name: [x.value, x.low, x.high] for name, x in estimates.items()}


def read_held_out(shards: Path, size: int, count: int) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """(images, sketches, which image each is of): `count` pairs; an image that comes again brings another sketch."""
    held_out = open_shards(str(shards)).take_held_out("val")
    pairs, indices = [], [number % held_out.num_samples for number in range(count)]
    with closing(SampleReader(held_out)) as reader:
        for number, index in enumerate(indices):
            sketch = (number + number // held_out.num_samples) % len(held_out.styles)
            sample = reader.read(index, [sketch])
            pairs.append(training_pair(sample.image, sample.sketches, size, 0, number, None))
    return torch.stack([x["image"] for x in pairs]), torch.stack([x["sketch"] for x in pairs]), indices


def tune_as_published(
    model: DiffSketching, images: torch.Tensor, sketches: torch.Tensor, identity: float = 0.5
) -> dict[str, Any]:
    """Fine-tune as the public code does: batch by batch a sampling without gradients, L of it, a step of SGD.

    images (N,3,S,S), sketches (N,1,S,S). Returns the losses, and how many weights moved and had a gradient.
    """
    model.unet.requires_grad_(True)
    optimizer = torch.optim.SGD(model.unet.parameters(), PUBLISHED_RATE, PUBLISHED_MOMENTUM)
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    times = model.schedule.list_times(model.sampling.steps, model.sampling.strength)
    losses, reached = [], set[str]()
    for start in range(0, len(images), PUBLISHED_BATCH):
        rows = slice(start, start + PUBLISHED_BATCH)
        noise = sample_maps(tuple(images.shape[1:]), range(start, start + len(images[rows])), 0)
        begin = torch.full((len(noise),), times[0])
        made = model.denoise(
            model.schedule.add_noise(images[rows], noise, begin), sketches[rows], times, model.sampling
        )
        made.requires_grad_()  # else torch itself refuses the step
        loss = weigh_tuning(
            image_identity(model.view.encoder, made, images[rows]),
            sketch_perceptual(model.view, made, sketches[rows]),
            identity,
        )
        optimizer.zero_grad()
        loss.backward()
        reached |= {name for name, parameter in model.unet.named_parameters() if parameter.grad is not None}
        optimizer.step()
        losses.append(round(loss.item(), 5))
    model.unet.requires_grad_(False)
    moved = [name for name, value in model.unet.state_dict().items() if not torch.equal(value, before[name])]
    return {
        "losses": losses,
        "weights that moved": len(moved),
        "weights with a gradient": len(reached),
        "weights": len(before),
    }


def open_edges(data: Path, work: Path) -> Sketcher:
    """PiDiNet, which neither draws sketches for training nor guides."""
    weights = data / "weights/pidinet/pidinet_bsds_vanilla_fp32.safetensors"
    options = RenderOptions(work / "edges", method="pidinet", edge_weights=weights, device="cpu", threads=1)
    return open_sketcher(options).sketcher


def draw_edges(edges: Sketcher, images: torch.Tensor) -> np.ndarray:
    """(B,3,S,S) in [-1, 1] -> uint8 (B,S,S), 255 = paper."""
    return np.concatenate([edges.draw(to_uint8(part)).result()[:, 0] for part in images.split(BATCH)])


class HeldOut:
    """What rows are measured by."""

    def __init__(self, shards: Path, size: int, count: int, seed: int, edges: Sketcher) -> None:
        """edges: what draws images beside TOM."""
        self.images, self.sketches, self.groups = read_held_out(shards, size, count)
        self.edges, self.drawn = edges, draw_edges(edges, self.images)
        step = len(self.images) // 3 or 1
        self.styles, self.seed = self.images.roll(step, 0), seed
        self.third = np.roll(np.arange(len(self.images)), 2 * step)  # neither sketch nor style is of these
        self.others = self.sketches[self.third]

    def measure(self, model: DiffSketching, scale: float | None = None) -> tuple[dict[str, Any], Any]:
        """(estimates, values of each) of what a model makes. scale: of the sketch's guidance; None: the model's."""
        return self._compare(model, sample_all(model, self.sketches, self.styles, self.seed, scale))

    def measure_truth(self, model: DiffSketching) -> dict[str, Any]:
        """Of the images that the sketches were drawn of."""
        return self._compare(model, self.images)[0]

    def _compare(self, model: DiffSketching, images: torch.Tensor) -> tuple[dict[str, Any], Any]:
        values = compare_sketches(model, images, self.sketches, self.others)
        drawn = draw_edges(self.edges, images)
        for name, given in (("own", self.drawn), ("other", self.drawn[self.third])):
            values[f"edges, {name}"] = sketch_distances(drawn, given)["relative"]
        return estimate_distances(values, self.groups, self.seed), values


@cache
def open_held_out(shards: Path, size: int, count: int, seed: int, data: Path, work: Path) -> HeldOut:
    return HeldOut(shards, size, count, seed, open_edges(data, work))


@cache
def measure_beginning(first: Path, held_out: HeldOut) -> tuple[dict[str, Any], Any]:
    """(estimates by state, values of each before fine-tuning) of the first stage's model."""
    model, _ = read_diffsketching(first / "model.safetensors")
    figures: dict[str, Any] = {"the truth's own": held_out.measure_truth(model)}
    figures["before"], before = held_out.measure(model)
    if model.condition == "guidance":
        figures["without guidance"], _ = held_out.measure(model, 0.0)
    return figures, before


def train_first_stage(row: DiffSketchingRow, options: DiffSketchingTrainOptions, steps: int) -> Path:
    """The run of denoising that a row begins with; of `concatenation` all there is."""
    if row.variant == "concatenation":
        options = replace(options, condition="concatenation")
    else:
        options = replace(options, denoising_steps=NEVER)
    train_diffsketching(replace(options, steps=steps))
    return options.run


def tune(row: DiffSketchingRow, first: Path, options: DiffSketchingTrainOptions, steps: int) -> Any:
    """(the fine-tuned model, what is told of the way there)."""
    model, _ = read_diffsketching(first / "model.safetensors")
    if row.variant == "published":
        pairs = read_pairs(
            open_shards(options.shards).take_split("train", "all"),
            row.size,
            PUBLISHED_STEPS * PUBLISHED_BATCH,
        )
        return model, tune_as_published(model, *pairs)
    save_unet(first / "unet", model)
    changes = VARIANTS[row.variant]
    train_diffsketching(
        replace(options, unet=first / "unet", steps=steps, **({"denoising_steps": 0} | changes))
    )
    return read_diffsketching(options.run / "model.safetensors")[0], {}


def run_diffsketching_row(
    row: DiffSketchingRow,
    data: Path,
    work: Path,
    steps: int | None = None,
    tuning_steps: int = TUNING_STEPS,
    count: int = COUNT,
) -> Path:
    """Train and measure a row, unless its JSON is there; returns the JSON's path."""
    path = RESULTS / f"{row.name}.json"
    if path.is_file() and read_json(path).get("version") == VERSION:
        return path
    steps = steps or STEPS[row.size]
    tuning_steps *= LONGER if row.variant.endswith("longer") else 1
    shards = render_shards(Row(row.data, row.size, "all", row.seed), data, work)
    condition = "concatenation" if row.variant == "concatenation" else "guidance"
    options = DiffSketchingTrainOptions(
        shards=str(shards),
        run=work / "diffsketching" / f"{row.data}-{row.size}-{condition}-{row.seed}",
        size=row.size,
        seed=row.seed,
        workers=0,
        threads=1,
        device="cpu",
    )
    first = train_first_stage(row, options, steps)
    held_out = open_held_out(shards, row.size, count, row.seed, data, work)
    beginning, before = measure_beginning(first, held_out)
    figures = dict(beginning)
    if condition == "guidance":
        tuned, told = tune(row, first, replace(options, run=work / "diffsketching" / row.name), tuning_steps)
        figures["after"], after = held_out.measure(tuned)
        figures["after, without guidance"], _ = held_out.measure(tuned, 0.0)
        gains = {
            f"{key}, before − after": before[key] - after[key]
            for key in (f"{each}, own" for each in MEASURES)
        }
        estimates = estimate_means(gains, held_out.groups, row.seed)
        figures["gain"] = {name: [x.value, x.low, x.high] for name, x in estimates.items()}
        figures |= {"on the way": told} if told else {}
    published = row.variant == "published"
    metadata: dict[str, Any] = {
        "data": row.data,
        "size": row.size,
        "variant": row.variant,
        "seed": row.seed,
        "steps": steps,
        "tuning_steps": 0 if condition == "concatenation" else PUBLISHED_STEPS if published else tuning_steps,
        "sketches": count,
        "images": len(set(held_out.groups)),
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(path, {"format": "diffsketching-rows", "version": VERSION, **metadata, "figures": figures})
    return path


def print_table() -> None:
    """A line for each row and state of its model."""
    measures = [f"{name}, {of}" for name in MEASURES for of in ("own", "other", "other − own")]
    print(
        "| " + " | ".join(["row", "steps", "model", *measures]) + " |\n" + "|---" * (len(measures) + 3) + "|"
    )
    for path in sorted(RESULTS.glob("*.json")):
        result = read_json(path)
        name = f"{result['data']} {result['size']} {result['variant']} {result['seed']}"
        steps = f"{result['steps']:,} + {result['tuning_steps']}"
        for state in ("without guidance", "before", "after", "after, without guidance", "the truth's own"):
            if state in result["figures"]:
                told = result["figures"][state]
                cells = [
                    "{:.3g} [{:.3g} {:.3g}]".format(*told[key]) if key in told else "" for key in measures
                ]
                print("| " + " | ".join([name, steps, state, *cells]) + " |")
        for state in ("gain", "on the way"):
            if state in result["figures"]:
                print(f"{name}, {state}: {result['figures'][state]}")


def draw_picture(run: Path, shards: str, count: int = 6) -> np.ndarray:
    """uint8 H×W×3: of some images sketch, style, output without and with guidance, and TOM's drawing of it."""
    model, _ = read_diffsketching(run / "model.safetensors")
    images, sketches = read_pairs(open_shards(shards), model.size, count)
    styles = images.roll(1, 0)
    made = [sample_all(model, sketches, styles, 0, scale) for scale in (0.0, None)]
    with torch.no_grad():
        drawn = to_uint8(model.view.draw(made[1]))[..., 0]
    columns = [to_uint8(styles), *(to_uint8(each) for each in made)]
    rows: list[list[np.ndarray | None]] = [
        [to_uint8(sketches)[row, ..., 0], *(column[row] for column in columns), drawn[row]]
        for row in range(len(images))
    ]
    return contact_sheet(rows, ["sketch", "style", "unguided", "guided", "TOM's sketch of it"], cell=128)


def main(arguments: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table", help="of the rows that are there")
    running = add_running(commands, DiffSketchingRow.parse)
    running.add_argument("--steps", type=int, help=f"of denoising; default: {STEPS}, by size")
    running.add_argument("--tuning-steps", type=int, default=TUNING_STEPS)
    running.add_argument("--count", type=int, default=COUNT, help="sketches held out")
    drawing = commands.add_parser("picture", help="what guidance makes of sketches")
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
            print(
                run_diffsketching_row(
                    row, asked.data, asked.work, asked.steps, asked.tuning_steps, asked.count
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
