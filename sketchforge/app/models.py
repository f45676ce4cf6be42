"""The models that a page may choose from: the one that was named, the one that ships, and finished runs in runs/."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.app.turns import CallThread, Turns
from sketchforge.checkpoints.runs import (
    BUILTIN,
    MODEL_FILE,
    builtin_model,
    find_model,
    find_trained_run,
    model_name,
)
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import decode_image
from sketchforge.synthesis.fitting import FittedSketch, prepare_style, stitch
from sketchforge.synthesis.synthesizer import Synthesizer, load_model

RUNS = Path("runs")
KEPT_DRAWINGS = 4  # fitted ones: a drawing comes once for each style
TRAIN_COMMANDS = (
    "sketchforge render --images photos/ --split train=.9,val=.1 --shards my-shards/",
    "sketchforge ae-train --shards my-shards/ --size 128 --steps 10000 --run runs/ae",
    "sketchforge gan-train --shards my-shards/ --size 128 --steps 5000 --ae runs/ae --run runs/gan",
    "sketchforge app --model runs/gan",
)


class OfferedModel:
    """A model by its name; loaded when it is first used, and then kept."""

    def __init__(self, name: str, path: Path, device: str) -> None:
        self.name = name  # builtin, or its run folder or file
        self.turns = Turns()
        self.thread = CallThread(f"model {name}")  # in which all of it is computed
        self._path = path
        self._device = device
        self._fit = lru_cache(KEPT_DRAWINGS)(self._fit_drawing)

    @cached_property
    def model(self) -> Synthesizer:
        """Raises the errors of `load_model`, and UsageError for a model that takes no drawings."""
        model = load_model(self._path, self._device)
        if model.takes_grey:
            raise UsageError(
                f"{self.name} colourises photos and takes no drawings; "
                f"use `sketchforge transfer --model {self.name} --content photo.jpg`"
            )
        return model

    def paint(self, drawing: bytes, styles: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
        """(the image, uint8 H×W×3; notes) of a drawing, an image file, in one style, or in two or four as `mix`.

        Raises the errors of `model`, ImageError for a drawing that cannot be read, ValueError for other numbers of styles.
        """
        fitted = self._fit(drawing)
        size = self.model.size
        style = prepare_style(styles[0], size) if len(styles) == 1 else stitch(styles, size)
        (image,) = self.model.generate([fitted], [style], [0])
        return image, fitted.notes

    def _fit_drawing(self, drawing: bytes) -> FittedSketch:
        return self.model.fit_input(decode_image(drawing).pixels)

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """What made an image; loads the model."""
        return {"name": self.name, "sha256": self.model.digest, "size": self.model.size}


def offer_models(given: Path | None, device: str) -> Mapping[str, OfferedModel]:
    """Models by name; the first is the one to begin with: that given, else runs/gan, runs/ae, the one that ships.

    Raises UsageError where `given` is not there.
    """
    paths = [find_model(given), builtin_model()]
    for folder in sorted(RUNS.iterdir()) if RUNS.is_dir() else []:
        try:
            paths.append(find_trained_run(folder).model)
        except (SketchforgeError, OSError):  # not a finished run of a model that makes images
            continue
    offered: dict[str, OfferedModel] = {}
    for path in paths:
        name = model_name(path)
        if name != BUILTIN and path.name == MODEL_FILE:
            name = str(path.parent)
        offered.setdefault(name, OfferedModel(name, path, device))
    return offered


def digest_of(data: bytes) -> str:
    """A short name for bytes."""
    return hashlib.sha256(data).hexdigest()[:16]
