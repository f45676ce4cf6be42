"""Train the snapshots that sketchforge ships, and write them as they ship.

    python benchmarks/studies/free_tom_images.py --data DATA --out FREE
    python benchmarks/studies/ship_tom.py train --free FREE --run RUN  # again to go on
    python benchmarks/studies/ship_tom.py write --run RUN --out sketchforge/checkpoints/builtin/tom
    python benchmarks/studies/ship_tom.py picture --run sketchforge/checkpoints/builtin/tom --out docs/images/builtin-tom.jpg

`write` takes any finished run with the built-in encoder, whose layers it leaves out: the package has them already. It
keeps nothing but what drawing needs, in float16.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder  # noqa: E402
from sketchforge.checkpoints.runs import RUN_FILE  # noqa: E402
from sketchforge.checkpoints.tensor_files import tensors_digest  # noqa: E402
from sketchforge.checkpoints.tom import read_snapshot, read_tom_run, snapshot_path, write_snapshot  # noqa: E402
from sketchforge.images.builtin.photos import load_photos  # noqa: E402
from sketchforge.images.contact_sheet import contact_sheet  # noqa: E402
from sketchforge.images.line_art import binarize  # noqa: E402
from sketchforge.images.tensors import to_tensor  # noqa: E402
from sketchforge.options import RenderOptions, TomTrainOptions  # noqa: E402
from sketchforge.sketchers.tom import TomSketcher  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402
from trainers.tom.recipe import RECIPES  # noqa: E402
from trainers.tom.run import train_tom  # noqa: E402

STEPS = 600
# docs/tom-recipe.md, "Snapshots of free material", says why: a long average and windows of one kind keep styles tame.
RECIPE = replace(
    RECIPES["lean"],
    denoising=7,
    pattern_contrast=0.0,
    pasted_share=0.0,
    window_denoising=(),
    window_pasted_shares=(),
    ema_decay=0.9,
)
SHOWN = ("astronaut-s0-00", "officer-s0-00", "cat-s0-00", "coffee-s0-00", "dahlia-s0-00", "pagoda-s0-00")
CELL, QUALITY = 132, 88  # pixels; of the JPEG
GENERATOR_FACTS = ("generator", "taps", "tap_channels", "widths")  # written anew with the generator


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("--free", type=Path, required=True)
    writing, picture = commands.add_parser("write"), commands.add_parser("picture")
    for command in (writing, picture):
        command.add_argument("--out", type=Path, required=True)
    for command in (training, writing, picture):
        command.add_argument("--run", type=Path, required=True)
    asked = parser.parse_args()
    if asked.command == "train":
        options = TomTrainOptions(run=asked.run, images=asked.free / "photos", steps=STEPS, threads=1)
        print(train_tom(options, recipe=RECIPE))
    elif asked.command == "write":
        write(asked.run, asked.out)
    else:
        draw_picture(asked.run, asked.out)


def write(run: Path, out: Path) -> None:
    record = read_tom_run(run)
    assert record and record.get("snapshots"), f"{run}: not finished"
    shutil.rmtree(out, ignore_errors=True)
    assert record["encoder"] == encoder_digest(load_encoder("builtin")), (
        f"{run}: trained with another encoder"
    )
    for number, snapshot in enumerate(record["snapshots"]):
        generator, metadata = read_snapshot(snapshot_path(run, number))
        generator.half()
        path = snapshot_path(out, number)
        write_snapshot(
            path, generator, {name: value for name, value in metadata.items() if name not in GENERATOR_FACTS}
        )
        snapshot["digest"] = tensors_digest(read_snapshot(path)[0].state_dict())
    write_json(out / RUN_FILE, record)
    total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {len(record['snapshots'])} snapshots, {total:,} bytes")


def draw_picture(run: Path, out: Path) -> None:
    """Built-in photos in all styles, black and white as `render` makes them."""
    sketcher = TomSketcher.from_run(run, len(read_tom_run(run)["snapshots"]), torch.device("cpu"))
    photos, thresholds = dict(load_photos()), RenderOptions(Path("unused")).thresholds
    rows = []
    for key in SHOWN:
        greys = np.rint(sketcher.sketches(to_tensor(photos[key]))[0, :, 0].numpy() * 255).astype(np.uint8)
        rows.append([photos[key], *(binarize(grey, *thresholds) for grey in greys)])
    sheet = contact_sheet(rows, ["photo", *(f"style {number}" for number in range(1, len(rows[0])))], CELL)
    Image.fromarray(sheet).save(out, quality=QUALITY)


if __name__ == "__main__":
    main()
