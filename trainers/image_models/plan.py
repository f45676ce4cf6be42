"""The plan of an image model's training, made before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder
from sketchforge.checkpoints.runs import (
    MODEL_FILE,
    check_continues,
    find_difference,
    identity_of,
    read_record,
    read_record_or_empty,
)
from sketchforge.checkpoints.tensor_files import read_metadata
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.models.encoder import Encoder
from sketchforge.options import ImageTrainOptions
from sketchforge.shards.shard_set import ShardSet, open_shards, shards_digest
from sketchforge.shards.splits import ALL, TRAIN
from sketchforge.utils.device import choose_precision
from trainers.changed_ranks import choose_accumulate, keep_ranks_of, note_change, number_of_ranks
from trainers.distributed import Ranks
from trainers.image_models.interface import PERCEPTUAL_TAPS, Recipe
from trainers.run_folder import check_state_is_there
from trainers.state import check_steps

RUN_VERSION = 3
MODEL_ENTRIES = ("options", "recipe", "shards")  # of run.json, in the metadata of the model
VALIDATION = "val"  # the split that trainings validate on
NUM_SKETCHES = 2  # per image in a step: one to decode, another to compare it with (Eq. 10)

RecipeT = TypeVar("RecipeT", bound=Recipe)


@dataclass(frozen=True)
class ImagePlan(Generic[RecipeT]):
    """The checked inputs of a training, known before anything is written."""

    options: ImageTrainOptions
    recipe: RecipeT
    shards: ShardSet
    validation: ShardSet | None
    encoder: Encoder | None
    device: torch.device
    precision: torch.dtype
    ranks: Ranks
    record: Mapping[str, Any]  # run.json at the start of training
    found: Mapping[str, Any] | None  # the run.json of an earlier training in `run`
    notes: Sequence[str] = ()  # for the user

    @property
    def images(self) -> ImagePlan[RecipeT]:
        """Itself: plans of trainings with further inputs hold one."""
        return self

    @property
    def finished(self) -> bool:
        """Whether the run folder's training has done all steps and left its model."""
        has_ended = self.found is not None and bool(self.found.get("figures")) and not self.options.overwrite
        return (
            has_ended and self.steps_done == self.recipe.steps and (self.options.run / MODEL_FILE).is_file()
        )

    @property
    def steps_done(self) -> int:
        """The steps done according to run.json; 0 where --overwrite discards them."""
        return 0 if self.options.overwrite or not self.found else self.found.get("steps_done", 0)


def plan_images(
    options: ImageTrainOptions,
    recipe: RecipeT,
    run_format: str,
    perceives: bool,
    entries: Mapping[str, Any] | Callable[[ShardSet], Mapping[str, Any]] | None = None,
) -> ImagePlan[RecipeT]:
    """Check shards, weights and the run folder, and plan the training. Writes nothing into the run.

    perceives: whether the perceptual loss is on.
    entries: further entries of run.json, or what makes them of the shards; a run can only be continued with the same
    ones.
    Raises UsageError for an impossible request: shards that are missing, unfinished, of mixed sizes or with
    too few sketches; a run folder with other content, other options or more steps done. Raises
    SketchforgeError for damaged or lost files.
    """
    earlier_record = (read_record_or_empty if options.overwrite else read_record)(
        options.run, run_format, RUN_VERSION
    )
    ranks = Ranks.from_environment()
    device = ranks.claim_device(options.device)
    threads = ranks.claim_threads(options.threads)
    begun = None if options.overwrite else earlier_record
    accumulate = options.accumulate
    if begun:
        accumulate = choose_accumulate(begun, accumulate, ranks, str(options.run))
    whole = open_shards(options.shards, cache=options.cache)
    shards = whole.take_split(options.split, TRAIN).require(sketches=NUM_SKETCHES)
    if not 0 <= options.redraw <= 1:
        raise UsageError(f"--redraw {options.redraw}: expected a share from 0 to 1")
    if options.redraw:
        shards.require_strokes()
    validation = _choose_validation(options, whole, shards)
    if options.eval_every and options.best_by == "perceptual" and not perceives:
        raise UsageError(
            "--best-by perceptual: this training has no perceptual loss; choose reconstruction or frechet"
        )
    encoder = None
    if perceives:
        encoder = load_encoder(options.encoder)
        if missing := sorted(set(PERCEPTUAL_TAPS) - set(encoder.tap_names())):
            raise UsageError(f"--encoder {options.encoder}: has no {', '.join(missing)}")
    precision = choose_precision(options.precision, device)
    recipe_entry = recipe.record()
    del recipe_entry["steps"]  # a finished run may be continued with more steps
    record = {
        "format": run_format,
        "version": RUN_VERSION,
        "options": {
            "recipe": options.recipe,
            "encoder": options.encoder if not Path(options.encoder).is_file() else Path(options.encoder).name,
            "accumulate": options.accumulate,
            "precision": str(precision).removeprefix("torch."),
            "seed": options.seed,
            "redraw": options.redraw,
            "threads": threads,
            "device": device.type,
        },
        "recipe": recipe_entry,
        "trained_with": None if encoder is None else encoder_digest(encoder),
        "shards": _identify_shards(shards),
        # Not compared: it follows from the shards. It tells whose terms may apply to the model.
        "drawn_by": {"method": shards.method, "digests": shards.manifest["digests"]},
        # Not compared when a run is continued: the held-out images may change, and older runs lack this
        # entry.
        "validation": None if validation is None else _identify_shards(validation),
        "world_size": ranks.world_size,
    } | dict((entries(shards) if callable(entries) else entries) or {})
    notes: list[str] = []
    if begun is not None:
        if accumulate * ranks.world_size == _count_parts(begun):
            record = keep_ranks_of(begun, record)
            notes = note_change(begun, ranks, accumulate)
        check_continues(options.run, begun, record)
        check_steps(options.run, begun.get("steps_done", 0), recipe.steps)
        check_model(options.run / MODEL_FILE, record)
    plan = ImagePlan(
        options=replace(options, accumulate=accumulate),
        recipe=recipe,
        shards=shards,
        validation=validation,
        encoder=encoder,
        device=device,
        precision=precision,
        ranks=ranks,
        record=record,
        found=earlier_record,
        notes=notes,
    )
    if not options.overwrite and not plan.finished:
        check_state_is_there(options.run, earlier_record)
    return plan


def _count_parts(record: Mapping[str, Any]) -> int | None:
    """The micro-batches of a batch on all ranks together; None where a record does not say."""
    accumulate = record.get("options", {}).get("accumulate")
    return accumulate * number_of_ranks(record) if isinstance(accumulate, int) else None


def check_model(path: Path, record: Mapping[str, Any]) -> None:
    """Raise SketchforgeError where the model in a run folder is not of the run that `record` describes."""
    if not path.is_file():
        return
    metadata = read_metadata(path)
    difference = find_difference(
        *(identity_of({name: of.get(name) for name in MODEL_ENTRIES}) for of in (metadata, record))
    )
    if difference:
        raise SketchforgeError(
            f"{path}: is the model of another run, trained with {difference[0]}, where run.json has "
            f"{difference[1]}; put it elsewhere, and the same command writes this run's model"
        )


def check_batches(options: ImageTrainOptions, recipe: Recipe) -> None:
    """Raise UsageError for an impossible size, batch size or number of micro-batches."""
    world_size = Ranks.from_environment().world_size
    num_micro_batches = options.accumulate * world_size
    on_ranks = f" on {world_size} ranks" if world_size > 1 else ""
    if recipe.size not in (64, 128, 256, 512, 1024):
        raise UsageError(f"--size {recipe.size}: expected 64, 128, 256, 512 or 1024")
    if options.accumulate < 1 or recipe.batch_size % num_micro_batches:
        raise UsageError(
            f"--accumulate {options.accumulate}{on_ranks}: does not divide --batch-size {recipe.batch_size}"
        )
    if recipe.batch_size // num_micro_batches < 2:
        raise UsageError(
            f"--batch-size {recipe.batch_size} in {num_micro_batches} micro-batches: expected two images in each or more, "
            "for one is told from another (Eqs. 7 and 10), and batches are normalised"
        )


def _choose_validation(options: ImageTrainOptions, whole: ShardSet, shards: ShardSet) -> ShardSet | None:
    """The shards to validate on: those of --validation, else the split val, where `shards` are another split.

    Of a folder with splits it is val, else another that is not trained on. Raises UsageError for the very images that
    are trained on.
    """
    named = None
    if options.validation is not None:
        named = open_shards(options.validation, cache=options.cache).require(sketches=1)
    elif shards.split in (None, VALIDATION) or VALIDATION not in whole.splits:
        return None
    source = named or whole
    chosen = source.take_split(VALIDATION, ALL) if VALIDATION in source.splits else source.take_held_out()
    if shards_digest(chosen) == shards_digest(shards):
        raise UsageError(
            f"--validation {options.validation}: the very images that are trained on; name others, or leave it out"
        )
    return chosen


def _identify_shards(shards: ShardSet) -> dict[str, Any]:
    """The entry of run.json that identifies these shards, independent of their folder."""
    return {"count": shards.num_samples, "digest": shards_digest(shards)}
