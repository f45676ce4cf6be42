"""What a training of an image model will do, settled before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder
from sketchforge.checkpoints.runs import check_continues, read_record, record_or_empty
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.models.encoder import Encoder
from sketchforge.options import ImageTrainOptions
from sketchforge.shards.shard_set import ShardSet, open_shards, shards_digest
from sketchforge.utils.device import choose_device, choose_precision, set_threads, usable_cores
from trainers.distributed import Ranks
from trainers.image_models.interface import PERCEPTUAL_TAPS, Recipe

RUN_VERSION = 1
NUM_SKETCHES = 2  # of an image that a step needs: one to draw out, another to compare it with (Eq. 10)


@dataclass(frozen=True)
class ImagePlan:
    """What a training will do, known before anything is written."""

    options: ImageTrainOptions
    recipe: Any
    shards: ShardSet
    validation: ShardSet | None
    encoder: Encoder | None
    device: torch.device
    precision: torch.dtype
    ranks: Ranks
    record: Mapping[str, Any]  # run.json as it stands at the beginning
    found: Mapping[str, Any] | None  # what `run` holds already

    @property
    def steps(self) -> int:
        return self.recipe.steps

    @property
    def batch_size(self) -> int:
        return self.recipe.batch_size

    @property
    def finished(self) -> bool:
        """Whether as many steps as asked for are done already."""
        return (
            bool(self.found)
            and not self.options.overwrite
            and self.found.get("steps_done", 0) >= self.recipe.steps
        )


def plan_images(
    options: ImageTrainOptions,
    recipe: Recipe,
    run_format: str,
    perceives: bool,
    recorded: Mapping[str, Any] | None = None,
    parts: Mapping[str, Any] | None = None,
) -> ImagePlan:
    """Look at shards, weights and the run folder and settle what is to be done. Writes nothing into the run.

    perceives: whether the perceptual objective is on. recorded, parts: further options and further entries of
    run.json that a run must keep to be continued.
    Raises UsageError where the request cannot be carried out: shards that are missing, unfinished, of mixed sizes or
    with too few sketches, a run folder of other things or other options; SketchforgeError for damaged ones.
    """
    found = (record_or_empty if options.overwrite else read_record)(options.run, run_format, RUN_VERSION)
    ranks = Ranks.from_environment()
    device = choose_device(ranks.device(options.device))
    threads = set_threads(options.threads or max(usable_cores() // ranks.local_count, 1))
    shards = open_shards(options.shards, cache=options.cache)
    shards.require(sketches=NUM_SKETCHES)
    validation = None
    if options.validation is not None:
        validation = open_shards(options.validation, cache=options.cache)
        validation.require(sketches=1)
    if options.eval_every and options.best_by == "perceptual" and not perceives:
        raise UsageError(
            "--best-by perceptual: this training has no perceptual objective; choose reconstruction or frechet"
        )
    encoder = None
    if perceives:
        encoder = load_encoder(options.encoder)
        if missing := sorted(set(PERCEPTUAL_TAPS) - set(encoder.tap_names())):
            raise SketchforgeError(f"--encoder {options.encoder}: has no {', '.join(missing)}")
    precision = choose_precision(options.precision, device)
    kept = recipe.record()
    del kept["steps"]  # a run that is done may be asked for more
    record = {
        "format": run_format,
        "version": RUN_VERSION,
        "options": {
            "recipe": options.recipe,
            "encoder": options.encoder if not Path(options.encoder).is_file() else Path(options.encoder).name,
            "accumulate": options.accumulate,
            "precision": str(precision).removeprefix("torch."),
            "seed": options.seed,
            "threads": threads,
            "device": device.type,
        }
        | dict(recorded or {}),
        "recipe": kept,
        "trained_with": None if encoder is None else encoder_digest(encoder),
        "shards": _recorded(shards),
        # Not compared when a run is continued: what is looked at may change, and older runs do not say it.
        "validation": None if validation is None else _recorded(validation),
        "ranks": ranks.count,
    } | dict(parts or {})
    if found is not None and not options.overwrite:
        check_continues(options.run, found, record, ("recipe", "trained_with", "shards", *(parts or {})))
    return ImagePlan(options, recipe, shards, validation, encoder, device, precision, ranks, record, found)


def check_batches(options: ImageTrainOptions, recipe: Recipe) -> None:
    """Raise UsageError for sizes and batches that cannot be."""
    ranks = Ranks.from_environment().count
    parts = options.accumulate * ranks
    shared = f" on {ranks} ranks" if ranks > 1 else ""
    if recipe.size not in (64, 128, 256, 512, 1024):
        raise UsageError(f"--size {recipe.size}: expected 64, 128, 256, 512 or 1024")
    if options.accumulate < 1 or recipe.batch_size % parts:
        raise UsageError(
            f"--accumulate {options.accumulate}{shared}: does not divide --batch-size {recipe.batch_size}"
        )
    if recipe.batch_size // parts < 2:
        raise UsageError(
            f"--batch-size {recipe.batch_size} in {parts} parts: expected two images a part or more, "
            "for one is told from another (Eqs. 7 and 10), and batches are normalised"
        )


def _recorded(shards: ShardSet) -> dict[str, Any]:
    """What tells these shards from others in run.json, wherever they lie."""
    return {"count": shards.num_samples, "digest": shards_digest(shards)}
