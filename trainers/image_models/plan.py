"""What a training of an image model will do, settled before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder
from sketchforge.checkpoints.runs import check_continues, read_record, read_record_or_empty
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.models.encoder import Encoder
from sketchforge.options import ImageTrainOptions
from sketchforge.shards.shard_set import ShardSet, open_shards, shards_digest
from sketchforge.utils.device import choose_device, choose_precision, set_threads, usable_cores
from trainers.distributed import Ranks
from trainers.image_models.interface import PERCEPTUAL_TAPS, Recipe

RUN_VERSION = 2
NUM_SKETCHES = 2  # of an image that a step needs: one to draw out, another to compare it with (Eq. 10)

RecipeT = TypeVar("RecipeT", bound=Recipe)


@dataclass(frozen=True)
class ImagePlan(Generic[RecipeT]):
    """What a training will do, known before anything is written."""

    options: ImageTrainOptions
    recipe: RecipeT
    shards: ShardSet
    validation: ShardSet | None
    encoder: Encoder | None
    device: torch.device
    precision: torch.dtype
    ranks: Ranks
    record: Mapping[str, Any]  # run.json as it stands at the beginning
    found: Mapping[str, Any] | None  # what `run` holds already

    @property
    def finished(self) -> bool:
        """Whether as many steps as asked for are done already."""
        return self.steps_done >= self.recipe.steps

    @property
    def steps_done(self) -> int:
        """As the run folder says, which is to be kept."""
        return 0 if self.options.overwrite or not self.found else self.found.get("steps_done", 0)


def plan_images(
    options: ImageTrainOptions,
    recipe: RecipeT,
    run_format: str,
    perceives: bool,
    entries: Mapping[str, Any] | None = None,
) -> ImagePlan[RecipeT]:
    """Look at shards, weights and the run folder and settle what is to be done. Writes nothing into the run.

    perceives: whether the perceptual objective is on. entries: further ones of run.json, which a run must keep to be
    continued.
    Raises UsageError where the request cannot be carried out: shards that are missing, unfinished, of mixed sizes or
    with too few sketches, a run folder of other things or other options; SketchforgeError for damaged ones.
    """
    found = (read_record_or_empty if options.overwrite else read_record)(options.run, run_format, RUN_VERSION)
    ranks = Ranks.from_environment()
    device = choose_device(ranks.device(options.device))
    threads = set_threads(options.threads or max(usable_cores() // ranks.local_world_size, 1))
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
        },
        "recipe": kept,
        "trained_with": None if encoder is None else encoder_digest(encoder),
        "shards": _recorded(shards),
        # Not compared when a run is continued: what is looked at may change, and older runs do not say it.
        "validation": None if validation is None else _recorded(validation),
        "world_size": ranks.world_size,
    } | dict(entries or {})
    if found is not None and not options.overwrite:
        check_continues(options.run, found, record, ("recipe", "trained_with", "shards", *(entries or {})))
    return ImagePlan(options, recipe, shards, validation, encoder, device, precision, ranks, record, found)


def check_batches(options: ImageTrainOptions, recipe: Recipe) -> None:
    """Raise UsageError for sizes and batches that cannot be."""
    world_size = Ranks.from_environment().world_size
    micro_batches = options.accumulate * world_size
    shared = f" on {world_size} ranks" if world_size > 1 else ""
    if recipe.size not in (64, 128, 256, 512, 1024):
        raise UsageError(f"--size {recipe.size}: expected 64, 128, 256, 512 or 1024")
    if options.accumulate < 1 or recipe.batch_size % micro_batches:
        raise UsageError(
            f"--accumulate {options.accumulate}{shared}: does not divide --batch-size {recipe.batch_size}"
        )
    if recipe.batch_size // micro_batches < 2:
        raise UsageError(
            f"--batch-size {recipe.batch_size} in {micro_batches} micro-batches: expected two images in each or more, "
            "for one is told from another (Eqs. 7 and 10), and batches are normalised"
        )


def _recorded(shards: ShardSet) -> dict[str, Any]:
    """What tells these shards from others in run.json, wherever they lie."""
    return {"count": shards.num_samples, "digest": shards_digest(shards)}
