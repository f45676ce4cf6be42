"""Shards and models of a release, as small as they come, kept so that every later version can be asked to read them.

    python -m tests.helpers.release_fixtures 0.2.0

makes tests/fixtures/0.2.0/ by the product's own commands, once, at the release. tests/test_releases.py reads what is there.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sketchforge
from sketchforge.checkpoints.encoder import write_encoder
from sketchforge.images.tensors import to_tensor, to_uint8
from sketchforge.models.encoder import Encoder
from sketchforge.options import (
    AeTrainOptions,
    DiffSketchingTrainOptions,
    GanTrainOptions,
    RenderOptions,
    SeginTrainOptions,
    Style2PaintsTrainOptions,
    TomTrainOptions,
)
from sketchforge.render.render import render
from sketchforge.shards.open_shard import OpenShard
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.shard_set import open_shards
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.utils.files import write_json
from tests.helpers.photos import scene
from tests.helpers.previews import few_previews
from tests.helpers.tiny_diffusion import TINY as TINY_DIFFSKETCHING
from trainers.autoencoder import recipe as ae
from trainers.autoencoder.run import train_ae
from trainers.diffsketching import recipe as diffsketching
from trainers.diffsketching.run import train_diffsketching
from trainers.gan import recipe as gan
from trainers.gan.run import train_gan
from trainers.segin import recipe as segin
from trainers.segin.run import train_segin
from trainers.style2paints import recipe as style2paints
from trainers.style2paints.run import train_style2paints
from trainers.tom.run import train_tom

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SIZE = 64
CELLS = 8  # a side: of what an image is reduced to, to be compared
KEPT = ("run.json", "model.safetensors", "encoder.safetensors", "snapshots")  # of a run folder


def make_photos(folder: Path) -> Path:
    """Four images of two classes, with a subject each, captions of two."""
    for number in range(4):
        image = folder / ("cats" if number % 2 else "dogs") / f"{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        rows, columns = np.ogrid[:96, :96]
        inside = (rows - 48) ** 2 + (columns - 40 - 5 * number) ** 2 < 30**2
        pixels = np.dstack([scene(number, 96, 96), np.where(inside, 255, 0).astype(np.uint8)])
        Image.fromarray(pixels).save(image)
        if number < 2:
            image.with_suffix(".txt").write_text(f"an image, number {number}\n")
    return folder


def make_release(folder: Path) -> None:
    """Write all fixtures of the version that is installed."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    encoder = folder / "encoder.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_encoder(encoder, Encoder(((4, 4), (6, 6), (8, 8), (8,))), {"taught_by": "nobody"})
    with tempfile.TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as patch:
        work = Path(temporary)
        photos = make_photos(work / "photos")
        few_previews(patch)
        machine: dict[str, Any] = {"threads": 1, "device": "cpu"}
        tom = TomTrainOptions(
            photos, run=work / "tom", encoder=str(encoder), size=64, steps=2, snapshots=2, **machine
        )
        train_tom(tom)
        keep_run(tom.run, folder / "models/tom")
        shards = RenderOptions(
            folder / "shards", photos, method="canny", hands="builtin", strokes=True, size=SIZE, masks="alpha",
            labels="folder", split="train=.5,val=.5", samples_per_shard=2, workers=1, **machine,
        )  # fmt: skip
        render(shards)
        train_models(folder, work, patch)


def train_models(folder: Path, work: Path, patch: pytest.MonkeyPatch) -> None:
    """A model of each system, of next to no width and two steps; of their run folders what KEPT names."""
    shared: dict[str, Any] = {
        "shards": str(folder / "shards"), "encoder": str(folder / "encoder.safetensors"), "workers": 0,
        "threads": 1, "device": "cpu", "batch_size": 2, "steps": 40,
    }  # fmt: skip
    for module, changes in (
        (ae, {"width": 0.0625, "style_dim": 32, "subset": 2, "subset_passes": 1, "learning_rate": 0.01}),
        (gan, {"width": 0.01, "learning_rate": 0.005}),
        (style2paints, {"width": 0.01, "hint_size": 6}),
        (segin, {"width": 0.03}),
    ):
        patch.setitem(module.RECIPES, "demo", replace(module.RECIPES["demo"], size=SIZE, **changes))
    patch.setitem(diffsketching.RECIPES, "demo", TINY_DIFFSKETCHING)
    diffusion = {"run": work / "diffsketching", "tom": folder / "models/tom"}
    trainings = (
        (train_ae, AeTrainOptions(run=work / "autoencoder", **shared)),
        (train_gan, GanTrainOptions(run=work / "gan", ae=work / "autoencoder", **shared)),
        (train_style2paints, Style2PaintsTrainOptions(run=work / "style2paints", hint="builtin", **shared)),
        (train_segin, SeginTrainOptions(run=work / "segin", **shared)),
        (train_diffsketching, DiffSketchingTrainOptions(**shared | diffusion)),
    )
    for train, options in trainings:
        train(options)
        keep_run(options.run, folder / "models" / options.run.name)


def keep_run(run: Path, folder: Path) -> None:
    """Copy what KEPT names, where the run has it."""
    folder.mkdir(parents=True)
    for name in KEPT:
        if (run / name).is_dir():
            shutil.copytree(run / name, folder / name)
        elif (run / name).is_file():
            shutil.copyfile(run / name, folder / name)


def describe_shards(folder: Path) -> dict[str, Any]:
    """What is asked of readers: of the set its names, of each sample all parts, reduced."""
    shards = open_shards(str(folder))
    described: dict[str, Any] = {
        "styles": list(shards.styles),
        "classes": list(shards.classes),
        "splits": [name for name in shards.splits],
        "samples": {},
    }
    keys = iter(shards.keys)
    keys_of = [list(itertools.islice(keys, count)) for count in shards.shard_sizes]
    for number in range(len(shards.shard_sizes)):
        with closing(OpenShard(shards, number)) as stored:
            for place, key in enumerate(keys_of[number]):
                sample = stored.read(place, range(len(shards.styles)))
                size = sample.image.shape[:2]
                strokes = stored.read_strokes(place, size, hands=True)
                described["samples"][key] = {
                    "image": reduce(sample.image),
                    "ink": [round(float(np.mean(sketch < 128)), 4) for sketch in sample.sketches],
                    "mask": round(float(np.mean(stored.read_mask(place, size) > 127)), 4),
                    "class": stored.read_class(place),
                    "lines": [len(hand.lines) for hand in strokes.hands],
                }
    for raw in raw_samples(shards, shards.keys):
        described["samples"][raw.key]["caption"] = raw.caption
    return described


def describe_model(run: Path, shards: Path) -> list[float]:
    """What a model makes of the first pair, reduced; noise, where it takes any, is of seed 0."""
    model = sketchforge.load(run, "cpu")
    pair = sketchforge.pairs(shards)[0]
    image = ((pair["image"].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    sketch = ((pair["sketch"][0] + 1) * 127.5).round().byte().numpy()
    return reduce(model.synthesize(sketch, image))


def describe_drawing(run: Path, count: int) -> list[list[float]]:
    """What snapshots of TOM draw of an image, reduced."""
    sketcher = TomSketcher.from_run(run, count, torch.device("cpu"))
    image = to_tensor(scene(0, SIZE, SIZE))
    return [reduce(to_uint8(sketch)[0]) for sketch in sketcher.sketches(image).transpose(0, 1)]


def reduce(image: np.ndarray) -> list[float]:
    """uint8 H×W×C -> means over CELLS × CELLS of its parts, channel by channel in each."""
    height, width, channels = image.shape
    cells = image.reshape(CELLS, height // CELLS, CELLS, width // CELLS, channels).mean(axis=(1, 3))
    return [round(float(value), 1) for value in cells.ravel()]


def describe_release(folder: Path) -> dict[str, Any]:
    """Everything that tests compare, as this version reads it."""
    models = sorted(run for run in (folder / "models").iterdir() if run.name != "tom")
    return {
        "shards": describe_shards(folder / "shards"),
        "drawings": describe_drawing(folder / "models/tom", 2),
        "models": {run.name: describe_model(run, folder / "shards") for run in models},
    }


def main(arguments: list[str]) -> None:
    (version,) = arguments
    folder = FIXTURES / version
    make_release(folder)
    write_json(folder / "expected.json", describe_release(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
