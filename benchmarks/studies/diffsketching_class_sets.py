"""Sets of images with classes, and who says of what class an image is: for diffsketching_classes.py.

animals: photos of five kinds; the judge is logistic regression of EfficientNet-Lite0's features of the training photos
shrunk to the model's size. tones: portraits, each light or dark, warm or cool, by the medians of mean lightness and
yellowness; the judge is arithmetic.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from recognition_classifier import logistic_answers
from recognition_features import Scale, describe

from sketchforge.data.augment import training_pair
from sketchforge.images.decode import read_image
from sketchforge.images.tensors import to_uint8
from sketchforge.options import RenderOptions
from sketchforge.render.render import render
from sketchforge.shards.open_shard import OpenShard
from sketchforge.shards.shard_set import ShardSet

ANIMALS, TONES = "animals", "tones"
IMAGES = {ANIMALS: "photos/pacs", TONES: "faces/stylegan2_256"}
JUDGE = "efficientnet"
Answers = Callable[[torch.Tensor], np.ndarray]  # images (N,3,S,S) in [-1, 1] -> the class of each (N,)


def mean_tones(images: np.ndarray) -> np.ndarray:
    """uint8 N×H×W×3 -> mean lightness and yellowness (L*, b*) of each, (N,2)."""
    lab = [cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for image in images]
    return np.array([each.mean((0, 1))[[0, 2]] for each in lab])


def name_tones(tones: np.ndarray, medians: np.ndarray) -> list[str]:
    """The class of each (N,2) of tones, beside the medians (2,)."""
    return [f"{'light' if light else 'dark'}-{'warm' if warm else 'cool'}" for light, warm in tones > medians]


def write_tones(images: Path, size: int, table: Path) -> np.ndarray:
    """The table of path and class that `render --labels` takes, of the images at `size`; returns the medians of all, (2,)."""
    paths = sorted(images.iterdir())
    shrunk = [cv2.resize(read_image(path), (size, size), interpolation=cv2.INTER_AREA) for path in paths]
    tones = mean_tones(np.stack(shrunk))
    medians = np.median(tones, axis=0)
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "class"])
        rows.writerows(zip((path.name for path in paths), name_tones(tones, medians), strict=True))
    return medians


def render_classes(classes: str, size: int, data: Path, work: Path) -> tuple[Path, np.ndarray | None]:
    """Render the images, where they are not, in parts train and val; returns the shards, and the medians of tones."""
    shards, labels, medians = work / f"{classes}-classes", "folder", None
    if classes == TONES:
        medians = write_tones(data / IMAGES[TONES], size, work / "tones.csv")
        labels = str(work / "tones.csv")
    render(
        RenderOptions(
            shards,
            str(data / IMAGES[classes]),
            split="train=.8,val=.2",
            labels=labels,
            tom=Path("builtin"),
            hands="none",
            workers=1,
            threads=1,
        )
    )
    return shards, medians


def judge_of(
    names: tuple[str, ...],
    photos: torch.Tensor,
    classes: np.ndarray,
    medians: np.ndarray | None,
    data: Path,
    work: Path,
) -> Answers:
    """What says of what class images are: the medians where there are some, else what is learnt of the training photos."""
    if medians is not None:
        return lambda made: np.array(
            [names.index(name) for name in name_tones(mean_tones(to_uint8(made)), medians)]
        )
    learnt = describe(JUDGE, to_uint8(photos), data, work)
    scale = Scale.of(learnt)
    return lambda made: logistic_answers(
        scale(learnt), classes, 1, scale(describe(JUDGE, to_uint8(made), data, work))
    ).argmax(1)


def read_classes(
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
