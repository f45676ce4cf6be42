"""What a training of TOM will do, settled before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder, truncate_encoder
from sketchforge.checkpoints.runs import check_continues, read_record_or_empty
from sketchforge.checkpoints.tom import RUN_FORMAT, RUN_VERSION, read_tom_run
from sketchforge.errors import UsageError
from sketchforge.models.encoder import Encoder
from sketchforge.options import TomTrainOptions
from sketchforge.utils.device import choose_device, set_threads
from trainers.tom.inputs import drawing_readers, photo_readers
from trainers.tom.recipe import RECIPES, TomRecipe
from trainers.tom.step import check_encoder

DEEPEST_STRIDE = 8
# What decides the snapshots' bytes; the rest of the options says where and how fast.
RECORDED = ("encoder", "generator", "adversarial", "size", "steps", "batch_size", "snapshots", "seed")


@dataclass(frozen=True)
class TomPlan:
    """What a training will do, known before anything is written."""

    options: TomTrainOptions
    recipe: TomRecipe
    photos: Sequence[Callable[[], np.ndarray]]
    drawings: Sequence[Callable[[], np.ndarray]]
    encoder: Encoder
    record: Mapping[str, Any]  # run.json as it stands at the beginning
    found: Mapping[str, Any] | None  # what `run` holds already

    @property
    def finished(self) -> bool:
        return bool(self.found and self.found.get("snapshots")) and not self.options.overwrite


def plan_tom(options: TomTrainOptions, recipe: TomRecipe | None = None) -> TomPlan:
    """Look at inputs, weights and the run folder and settle what is to be done. Writes nothing.

    Raises UsageError where the request cannot be carried out: no images, a folder that holds something else or was
    begun with other options; SketchforgeError for weights that cannot be had.
    """
    if options.steps < options.snapshots:
        raise UsageError(
            f"--steps {options.steps}: at least as many as --snapshots {options.snapshots} are needed"
        )
    if options.size < 32 or options.size % DEEPEST_STRIDE:
        raise UsageError(f"--size {options.size}: expected a multiple of {DEEPEST_STRIDE}, at least 32")
    if options.overwrite:
        found = read_record_or_empty(options.run, RUN_FORMAT, RUN_VERSION)
    else:
        found = read_tom_run(options.run)
    photos, photo_names = photo_readers(options.images)
    drawings, drawing_names = drawing_readers(options.drawings)
    threads = set_threads(options.threads)
    encoder = load_encoder(options.encoder)
    recipe = recipe or RECIPES[options.generator]
    check_encoder(encoder, recipe, options.encoder)
    recorded = {name: getattr(options, name) for name in RECORDED}
    recorded["encoder"] = (
        options.encoder if not Path(options.encoder).is_file() else Path(options.encoder).name
    )
    record = {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "options": recorded | {"threads": threads, "device": choose_device(options.device).type},
        "recipe": recipe.record(),
        "trained_with": encoder_digest(encoder),
        "encoder": encoder_digest(truncate_encoder(encoder, list(recipe.generator_taps))),
        "photos": photo_names,
        "drawings": drawing_names,
    }
    if found is not None and not options.overwrite:
        check_continues(options.run, found, record, ("recipe", "trained_with", "photos", "drawings"))
    return TomPlan(options, recipe, photos, drawings, encoder, record, found)
