"""For the tests of synthesis: models that have learnt nothing, run folders around them, drawings."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sketchforge.checkpoints.autoencoder import write_autoencoder
from sketchforge.checkpoints.synthesizer import write_synthesizer
from sketchforge.images.builtin.drawings import draw
from sketchforge.models.autoencoder import AutoEncoder
from sketchforge.models.gan import Refiner

SIZE = 64
ABOUT = {
    "options": {"recipe": "demo", "seed": 0, "device": "cpu", "precision": "float32"},
    "recipe": {"size": SIZE, "learning_rate": 0.001, "augment": ""},
    "shards": {"count": 7, "digest": "ab" * 32},
    "steps": 5,
    "seen_reconstruction": 0.25,
}


def new_autoencoder(size=SIZE, seed=0):
    torch.manual_seed(seed)
    model = AutoEncoder(size, 0.0625, padding="replicate").eval().requires_grad_(False)
    model.decoder.to_rgb.weight.mul_(20)  # or a model that has learnt nothing would make nothing but grey
    return model


def new_refiner(noise=True, seed=1):
    torch.manual_seed(seed)
    model = Refiner(SIZE, 0.02, new_autoencoder().style_dim, noise, "replicate").eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "noise_scale" in name:
            parameter.fill_(0.3)
    model.to_rgb.weight.mul_(10)
    return model


def gan_run(folder: Path, refiner=None, finished=True) -> Path:
    """A run of `gan-train`, as it leaves one."""
    folder.mkdir(parents=True)
    write_synthesizer(folder / "model.safetensors", new_autoencoder(), refiner or new_refiner(), ABOUT)
    return _with_record(folder, "sketchforge-gan-run", finished)


def ae_run(folder: Path, finished=True) -> Path:
    """A run of `ae-train`."""
    folder.mkdir(parents=True)
    write_autoencoder(folder / "model.safetensors", new_autoencoder(), ABOUT)
    return _with_record(folder, "sketchforge-ae-run", finished)


def _with_record(folder: Path, format_name: str, finished: bool) -> Path:
    record = {
        "format": format_name,
        "version": 2,
        "steps_done": 5 if finished else 3,
        "options": ABOUT["options"],
    }
    if finished:
        record["figures"] = {"seen_reconstruction": 0.25}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@functools.cache
def _draw_cat(size: int) -> np.ndarray:
    return draw("cat", "marker", size)


def drawing(folder: Path, name: str, size: int = 96, box=None, inverted: bool = False) -> Path:
    """A line drawing as a PNG file; box: (left, upper, right, lower) to cut out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    image = _draw_cat(size)
    path = folder / name
    Image.fromarray(255 - image if inverted else image).crop(box or (0, 0, size, size)).save(path)
    return path
