"""Train the sketch-to-image model that sketchforge ships, measure it, and write it as it ships.

    python benchmarks/studies/ship_synthesizer.py train --data DATA --work DIR    # again to go on
    python benchmarks/studies/ship_synthesizer.py measure --data DATA --work DIR
    python benchmarks/studies/ship_synthesizer.py write --work DIR --out sketchforge/checkpoints/builtin
    python benchmarks/studies/ship_synthesizer.py pictures --out docs/images

`measure` takes the runs in WORK, else the model that ships. `train` composes the pictures (synthesizer_images.py), renders them with the ten hands from the built-in snapshots,
and trains the auto-encoder and then the GAN (--gan-steps 0: not that one); more --ae-steps or --gan-steps continue a training that has ended.
`write` leaves synthesizer.safetensors, of the GAN or with --run ae of the auto-encoder alone, with weights in float16, which are computed with in float32. `pictures` draws built-in
samples by the model that ships, as `synthesize`, `mix` and `transfer` do without arguments. One thread.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from synthesizer_images import write_images  # noqa: E402

import sketchforge  # noqa: E402
from sketchforge.checkpoints.runs import MODEL_FILE, find_trained_run  # noqa: E402
from sketchforge.checkpoints.synthesizer import read_model, write_synthesizer  # noqa: E402
from sketchforge.metrics.images.evaluate import evaluate_images  # noqa: E402
from sketchforge.metrics.images.result import image_json  # noqa: E402
from sketchforge.options import (  # noqa: E402
    AeTrainOptions,
    EvalImagesOptions,
    GanTrainOptions,
    MixOptions,
    RenderOptions,
    SynthesizeOptions,
    TransferOptions,
)
from sketchforge.render.render import render  # noqa: E402
from sketchforge.synthesis.job import run_job  # noqa: E402
from sketchforge.synthesis.record import GRID_FILE  # noqa: E402
from sketchforge.synthesis.synthesizer import load_model  # noqa: E402
from sketchforge.utils.files import sha256_of  # noqa: E402
from trainers.autoencoder import recipe as ae_recipes  # noqa: E402
from trainers.autoencoder.run import train_ae  # noqa: E402
from trainers.gan import recipe as gan_recipes  # noqa: E402
from trainers.gan.run import train_gan  # noqa: E402

SIZE = 128
AE_STEPS, GAN_STEPS = 8000, 1200
EMA = 0.995  # the demo's average is of its last 50 steps
BUILTIN = Path(sketchforge.__file__).parent / "checkpoints/builtin"
FILE = "synthesizer.safetensors"  # its card, with the ending .md, has to be there
QUALITY = 88  # of JPEGs
PARTS = ("train", "held-out")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    training, measuring = commands.add_parser("train"), commands.add_parser("measure")
    writing, picture = commands.add_parser("write"), commands.add_parser("pictures")
    for command in (training, measuring):
        command.add_argument("--data", type=Path, required=True)
    for command in (training, measuring, writing):
        command.add_argument("--work", type=Path, required=True)
    for command in (writing, picture):
        command.add_argument("--out", type=Path, required=True)
    training.add_argument("--ae-steps", type=int, default=AE_STEPS)
    training.add_argument("--gan-steps", type=int, default=GAN_STEPS)
    writing.add_argument("--run", choices=("gan", "ae"), default="gan")
    asked = parser.parse_args()
    if asked.command == "train":
        train(asked.data, asked.work, asked.ae_steps, asked.gan_steps)
    elif asked.command == "measure":
        measure(asked.data, asked.work)
    elif asked.command == "write":
        write(asked.work / asked.run, asked.out)
    else:
        draw_pictures(asked.out)


def render_parts(data: Path, work: Path, parts: tuple[str, ...]) -> None:
    """The pictures and the shards of these parts, where they are not."""
    if not (work / "pictures").is_dir():
        write_images(data, work / "pictures.new")
        (work / "pictures.new").rename(work / "pictures")
    for part in parts:
        source, shards = str(work / "pictures" / part), work / "shards" / part
        render(RenderOptions(shards, source, tom=Path("builtin"), workers=1, threads=1))


def train(data: Path, work: Path, ae_steps: int, gan_steps: int) -> None:
    render_parts(data, work, PARTS)
    shared: dict[str, Any] = {
        "shards": str(work / "shards/train"), "validation": str(work / "shards/held-out"),
        "size": SIZE, "workers": 0, "threads": 1, "device": "cpu",
    }  # fmt: skip
    for recipes in (ae_recipes.RECIPES, gan_recipes.RECIPES):
        recipes["demo"] = replace(recipes["demo"], ema_decay=EMA)
    print(train_ae(AeTrainOptions(**shared, run=work / "ae", steps=ae_steps)), flush=True)
    if not gan_steps:
        return
    print(train_gan(GanTrainOptions(**shared, run=work / "gan", ae=work / "ae", steps=gan_steps)), flush=True)


def measure(data: Path, work: Path) -> None:
    """Of the cutouts held out: figures of `sketchforge eval images`, of auto-encoder and GAN, or of the model that ships, as JSON."""
    weights = data / "weights"
    render_parts(data, work, ("held-out",))
    models = {name: work / name for name in ("ae", "gan") if (work / name / MODEL_FILE).is_file()}
    for run, model in (models or {"builtin": BUILTIN / FILE}).items():
        found = evaluate_images(
            EvalImagesOptions(
                model=model, shards=str(work / "shards/held-out"), samples=500,
                features=(
                    ("mobilenet_v2", weights / "mobilenet_v2/mobilenet_v2_tvkeys_fp16.safetensors"),
                    ("efficientnet-lite0", weights / "efficientnet_lite0/efficientnet_lite0_fp16.safetensors"),
                    ("builtin", None),
                ),
                lpips=(("squeeze", weights / "squeezenet/squeezenet1_1_features_tvkeys.safetensors"),),
                encoders=("builtin",), tom=Path("builtin"), cache=work / "features", threads=1, device="cpu",
            )
        )  # fmt: skip
        figures = image_json(found)["rows"]
        (work / f"{run}.json").write_text(json.dumps(figures, indent=1))
        for row in figures:
            print(run, row["name"], {title: row[name]["value"] for name, title in row["titles"].items()})


def write(run: Path, out: Path) -> None:
    stored = read_model(find_trained_run(run).model)
    refiner = None if stored.refiner is None else stored.refiner.half()
    path = out / FILE
    metadata = {name: value for name, value in stored.metadata.items() if name not in ("model", "models")}
    write_synthesizer(path, stored.autoencoder.half(), refiner, metadata)
    update_card(path)
    print(f"{path}: {path.stat().st_size:,} bytes")


def update_card(path: Path) -> None:
    """Write the digests of file and weights into the card beside the file."""
    card = path.with_suffix(".md")
    text = card.read_text(encoding="utf-8")
    for name, digest in (("file", sha256_of(path)), ("weights", load_model(path, "cpu").digest)):
        text = re.sub(rf"\| {name} \| `[0-9a-f]{{64}}` \|", f"| {name} | `{digest}` |", text)
    card.write_text(text, encoding="utf-8")


def draw_pictures(out: Path) -> None:
    for name, kind in (("synthesize", SynthesizeOptions), ("mix", MixOptions), ("transfer", TransferOptions)):
        with tempfile.TemporaryDirectory() as folder:
            run_job(kind(model=Path("builtin"), out=Path(folder) / "made", threads=1))
            with Image.open(Path(folder) / "made" / GRID_FILE) as grid:
                grid.convert("RGB").save(out / f"{name}-grid.jpg", quality=QUALITY)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
