"""Validation of an image model in training: figures on fixed images, and a grid of sketches × styles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sketchforge.checkpoints.run_log import read_log
from sketchforge.data.augment import training_pair
from sketchforge.data.order import SampleOrder
from sketchforge.images.contact_sheet import contact_sheet, describe_enlargement
from sketchforge.images.encode import write_captioned_png
from sketchforge.images.tensors import to_grey, to_uint8
from sketchforge.losses.autoencoder import perceptual, reconstruction
from sketchforge.metrics.frechet import fit_gaussian, frechet_distance
from sketchforge.metrics.images.feature_networks import open_features
from sketchforge.metrics.images.features import features_of
from sketchforge.metrics.images.generate import mismatched_pairs
from sketchforge.metrics.images.lattice import lattice_power, locked_share
from sketchforge.metrics.images.layout_leak import layout_changes, leak_ratio, style_cosines
from sketchforge.shards.open_shard import OpenShard
from sketchforge.shards.shard_set import DamagedError, ShardSet
from sketchforge.utils.signals import raise_deferred
from trainers.image_models.interface import PERCEPTUAL_TAPS, ImageTrainer

NUM_IMAGES = 64  # that the figures are measured on
NUM_SHOWN = 6  # of them in the grid
NUM_LAYOUTS = 16  # pairs whose style images are mirrored and exchanged
NUM_MISMATCHED = 128  # pairs of sketch and style for the Fréchet distance
BATCH = 16
SUMMARIZED = ("reconstruction", "perceptual", "leak", "lattice", "frechet")


def read_pairs(
    shards: ShardSet, size: int, count: int | None = None, skip_bad: bool = False
) -> tuple[Tensor, Tensor]:
    """Read `count` images spread evenly over a set (None: all), unaugmented, each with one sketch.

    The sketches take the set's styles in turn. Returns images (V,3,size,size) and sketches (V,1,size,size),
    float32 in [-1, 1]. Raises SketchforgeError where one image is damaged, or with `skip_bad` only where all
    are.
    """
    order = SampleOrder(shards.shard_sizes, 0)
    num_samples = shards.num_samples
    indices = np.unique(
        np.linspace(0, num_samples - 1, min(count or num_samples, num_samples)).round().astype(int)
    )
    open_shards: dict[int, OpenShard] = {}
    images: list[Tensor] = []
    sketches: list[Tensor] = []
    try:
        for number, index in enumerate(indices):
            shard, row = order.place_of(int(index))
            try:
                if shard not in open_shards:
                    open_shards[shard] = OpenShard(shards, shard)
                sample = open_shards[shard].read(row, [number % len(shards.styles)])
            except DamagedError:
                if not skip_bad or (number == len(indices) - 1 and not images):
                    raise
                continue
            pair = training_pair(sample.image, sample.sketches, size, 0, number, None)
            images.append(pair["image"])
            sketches.append(pair["sketch"])
    finally:
        for open_shard in open_shards.values():
            open_shard.close()
    return torch.stack(images), torch.stack(sketches)


class Validation:
    """Figures and a grid of the same pairs throughout a training.

    shards: the held-out images where `held_out` is true, else the training set. size: of the images, in
    pixels.
    skip_bad: as in `read_pairs`. grey: whether the images' greys take the places of their sketches.
    """

    def __init__(
        self, shards: ShardSet, size: int, held_out: bool, skip_bad: bool = False, grey: bool = False
    ) -> None:
        self.prefix, self._input = "held_out" if held_out else "seen", "grey" if grey else "sketch"
        # (V,3,S,S) and (V,1,S,S) in [-1, 1]
        self.images, self.sketches = read_pairs(shards, size, NUM_IMAGES, skip_bad)
        if grey:
            self.sketches = to_grey(self.images)

    @torch.no_grad()
    def figures(self, trainer: ImageTrainer) -> dict[str, float]:
        """Mean errors of matched pairs: reconstruction (MSE on [-1, 1]); with an encoder, perceptual, too.

        Beside them, on the first NUM_LAYOUTS pairs, the errors with the style image mirrored and turned, the layout leak
        and the cosines of f_style, and the share of the lattice in even areas.
        """
        sums: dict[str, float] = {}
        pixels = []
        for start in range(0, len(self.images), BATCH):
            raise_deferred()
            images = self.images[start : start + BATCH]
            outputs = trainer.synthesize(self.sketches[start : start + BATCH], images)
            pixels.append(to_uint8(outputs))
            images = images.to(outputs.device)
            errors = {"reconstruction": reconstruction(outputs, images)}
            if trainer.encoder is not None:
                errors["perceptual"] = perceptual(trainer.encoder, outputs, images, PERCEPTUAL_TAPS)
            for name, error in errors.items():
                key = f"{self.prefix}_{name}"
                sums[key] = sums.get(key, 0.0) + float(error) * len(images) / len(self.images)
        power = lattice_power(np.concatenate(pixels), to_uint8(self.images))
        lattice = locked_share(*(power[name].sum() for name in ("locked", "fine", "reference")))
        return sums | self._measure_layout(trainer) | {f"{self.prefix}_lattice": float(lattice)}

    def _measure_layout(self, trainer: ImageTrainer) -> dict[str, float]:
        count = min(NUM_LAYOUTS, len(self.images))
        sums: dict[str, float] = defaultdict(float)
        for start in range(0, count, BATCH):
            raise_deferred()
            rows = torch.arange(start, min(start + BATCH, count))
            changes = layout_changes(
                trainer.synthesize,
                self.sketches[rows],
                self.images[rows],
                self.images[(rows + 1) % len(self.images)],
            )
            cosines = style_cosines(
                trainer.encode_style, self.images[rows], self.images[(rows + 1) % len(self.images)]
            )
            for name, values in (changes | {f"style_{name}": x for name, x in cosines.items()}).items():
                sums[name] += float(values.sum())
        means = {
            "reconstruction_mirrored": sums["error_mirrored"] / count,
            "reconstruction_turned": sums["error_turned"] / count,
            "leak": leak_ratio(sums["change_mirrored"], sums["change_other"]),
        } | {name: sums[name] / count for name in ("style_mirrored", "style_turned", "style_other")}
        return {f"{self.prefix}_{name}": value for name, value in means.items()}

    @torch.no_grad()
    def frechet(self, trainer: ImageTrainer) -> dict[str, float]:
        """The Fréchet distance between the images and their sketches synthesised in other images' styles.

        It uses the built-in encoder's features. On so few images it can rank the steps of one training only.
        """
        network = open_features("builtin", None, torch.device("cpu"))
        num_images = len(self.images)
        pairs = mismatched_pairs(num_images, min(NUM_MISMATCHED, num_images * (num_images - 1)), 1, seed=0)
        outputs = []
        for start in range(0, len(pairs), BATCH):
            raise_deferred()
            batch = pairs[start : start + BATCH]
            sketches = torch.stack([self.sketches[pair.content] for pair in batch])
            styles = torch.stack([self.images[pair.style] for pair in batch])
            outputs += list(to_uint8(trainer.synthesize(sketches, styles)))
        real = fit_gaussian(features_of(list(to_uint8(self.images)), network))
        return {f"{self.prefix}_frechet": frechet_distance(fit_gaussian(features_of(outputs, network)), real)}

    @torch.no_grad()
    def grid(self, trainer: ImageTrainer) -> np.ndarray:
        """uint8 H×W×3 grid: style images in the first row, the same images' sketches in the first column.

        So the diagonal shows matched pairs.
        """
        images, sketches = self.images[:: self._stride], self.sketches[:: self._stride]
        images, sketches = images[:NUM_SHOWN], sketches[:NUM_SHOWN]
        styles = [np.ascontiguousarray(image) for image in to_uint8(images)]
        rows: list[list[np.ndarray | None]] = [[None, *styles]]
        for sketch in sketches:
            raise_deferred()
            outputs = trainer.synthesize(sketch.expand(len(images), -1, -1, -1), images)
            rows.append([to_uint8(sketch[None])[0, ..., 0], *to_uint8(outputs)])
        return contact_sheet(rows, [f"{self._input} \\ style", *[""] * len(images)], cell=self._cell)

    @property
    def _cell(self) -> int:
        return max(128, self.images.shape[-1]) // 2 * 2

    def describe_grid(self, model: str, step: int, steps: int) -> str:
        """The caption of a grid: the model, how far it is trained, its size, and whose images these are.

        model: what trains it, as "ae-train, demo recipe".
        """
        size = describe_enlargement(self.images.shape[-1], self._cell)
        return f"{model}: step {step:,} of {steps:,}; {size}; {self._kind}"

    @property
    def _kind(self) -> str:
        return "images held out" if self.prefix == "held_out" else "training images"

    @property
    def _stride(self) -> int:
        return max(1, len(self.images) // NUM_SHOWN)

    def summary(self, figures: Mapping[str, float]) -> str:
        """The figures of SUMMARIZED in one line; the log has them all."""
        named = {name.removeprefix(f"{self.prefix}_"): value for name, value in figures.items()}
        values = ", ".join(f"{name} {named[name]:.4f}" for name in SUMMARIZED if name in named)
        return f"on {len(self.images)} {self._kind}: {values}"


BEST_FILE = "best.safetensors"  # the model of the step at which a figure was lowest


@dataclass
class BestModel:
    """Writes BEST_FILE into a run folder.

    figure: its name in the log. The lowest value so far is read from the log, so that a resumed run goes on
    comparing.
    metadata: of the model, beside its step and figures.
    """

    run: Path
    figure: str
    metadata: Mapping[str, Any]
    lowest: tuple[float, int] | None = field(init=False)  # value, step

    def __post_init__(self) -> None:
        records = [record for record in read_log(self.run / "log.jsonl") if self.figure in record]
        self.lowest = min(((record[self.figure], record["step"]) for record in records), default=None)

    def offer(self, trainer: ImageTrainer, step: int, figures: Mapping[str, float]) -> None:
        """Write the model of this step where its figure is lower than all earlier ones."""
        value = figures[self.figure]
        if self.lowest is None or value < self.lowest[0]:
            trainer.write_model(self.run / BEST_FILE, {**self.metadata, "step": step, **figures})
            self.lowest = (value, step)

    def record(self) -> dict[str, float | str | int]:
        """The entry of run.json."""
        assert self.lowest is not None
        return {"file": BEST_FILE, "step": self.lowest[1], self.figure: self.lowest[0]}


@dataclass
class ImageValidation:
    """The evaluation that the loop calls: figures for the log, the best model, a preview."""

    run: Path
    trainer: ImageTrainer
    validation: Validation
    best: BestModel | None
    describe: Callable[[int], str]  # the caption of the grid of a step
    looked: tuple[int, dict[str, float], np.ndarray] | None = None  # the last step looked at

    def look(self, step: int) -> tuple[dict[str, float], np.ndarray]:
        """(figures, grid) of the trainer as it is after `step`: made once for the last preview and the end."""
        if self.looked is None or self.looked[0] != step:
            self.looked = step, self.validation.figures(self.trainer), self.validation.grid(self.trainer)
        return dict(self.looked[1]), self.looked[2]

    def __call__(self, step: int) -> dict[str, float]:
        figures, grid = self.look(step)
        if self.best is not None:
            figures |= self.validation.frechet(self.trainer)
        raise_deferred()  # for the last time: from here on files change
        if self.best is not None:
            self.best.offer(self.trainer, step, figures)
        write_captioned_png(self.run / "previews" / f"{step:06d}.png", grid, self.describe(step))
        return figures
