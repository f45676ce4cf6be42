"""The plan of TOM's training, made before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder, truncate_encoder
from sketchforge.checkpoints.runs import check_continues, read_record_or_empty
from sketchforge.checkpoints.tom import RUN_FORMAT, RUN_VERSION, read_tom_run
from sketchforge.errors import UsageError
from sketchforge.models.encoder import Encoder
from sketchforge.options import TomTrainOptions
from sketchforge.utils.device import choose_precision
from sketchforge.utils.progress import Progress
from trainers.changed_ranks import check_shares, keep_ranks_of, note_change
from trainers.distributed import Ranks
from trainers.run_folder import check_state_is_there
from trainers.tom.input_check import InputSurvey, check_inputs, survey_inputs
from trainers.tom.inputs import DrawingReader, drawing_readers, photo_readers
from trainers.tom.recipe import RECIPES, TomRecipe
from trainers.tom.step import check_encoder

DEEPEST_STRIDE = 8
# The options that determine the snapshots' bytes; the others are paths and speed.
RECORDED = ("encoder", "generator", "adversarial", "size", "steps", "batch_size", "snapshots", "seed")


@dataclass(frozen=True)
class TomPlan:
    """The checked inputs of a training, known before anything is written."""

    options: TomTrainOptions
    recipe: TomRecipe
    photos: Sequence[Callable[[], np.ndarray]]
    drawings: Sequence[Callable[[], np.ndarray]]
    encoder: Encoder
    record: Mapping[str, Any]  # run.json at the start of training
    found: Mapping[str, Any] | None  # the run.json of an earlier training in `run`
    device: torch.device
    ranks: Ranks
    passed_over: Mapping[str, int]  # what was found beside the images and is not read: kind -> count
    notes: Sequence[str] = ()  # about the photos and drawings

    @property
    def finished(self) -> bool:
        return bool(self.found and self.found.get("snapshots")) and not self.options.overwrite

    @property
    def steps_done(self) -> int:
        """The steps done according to run.json; 0 where --overwrite discards them."""
        return 0 if self.options.overwrite or not self.found else self.found.get("steps_done", 0)


def plan_tom(
    options: TomTrainOptions, recipe: TomRecipe | None = None, progress: Progress | None = None
) -> TomPlan:
    """Check inputs, weights and the run folder, and plan the training. Writes nothing.

    recipe: None: the recipe of `options.generator`. progress: of measuring the photos and drawings.
    Raises UsageError for an impossible request: no images, photos in place of drawings, a run folder with other
    content or other options.
    Raises SketchforgeError for weights that cannot be loaded.
    """
    if options.steps < options.snapshots:
        raise UsageError(
            f"--steps {options.steps}: at least as many as --snapshots {options.snapshots} are needed"
        )
    if options.size < 32 or options.size % DEEPEST_STRIDE:
        raise UsageError(f"--size {options.size}: expected a multiple of {DEEPEST_STRIDE}, at least 32")
    ranks = Ranks.from_environment()
    check_shares(options.batch_size, ranks)
    if options.overwrite:
        earlier_record = read_record_or_empty(options.run, RUN_FORMAT, RUN_VERSION)
    else:
        earlier_record = read_tom_run(options.run)
    passed_over: Counter[str] = Counter()
    photos, photo_source = photo_readers(options.images, passed_over)
    drawings, drawing_source = drawing_readers(options.drawings, passed_over)
    device = ranks.claim_device(options.device)
    threads = ranks.claim_threads(options.threads)
    encoder = load_encoder(options.encoder)
    recipe = recipe or RECIPES[options.generator]
    check_encoder(encoder, recipe, options.encoder)
    photo_survey, drawing_survey = _survey(options, photos, drawings, progress or Progress())
    notes = check_inputs(options, photo_survey, drawing_survey)
    if drawing_survey:
        # Those beyond the survey's sample are left out by their reader.
        drawings = [reader for index, reader in enumerate(drawings) if index not in drawing_survey.blank]
        drawing_source |= {
            "measured": drawing_survey.measured,
            "inverted": drawing_survey.inverted,
            "blank": len(drawing_survey.blank),
        }
    recorded_options = {name: getattr(options, name) for name in RECORDED}
    recorded_options["encoder"] = (
        options.encoder if not Path(options.encoder).is_file() else Path(options.encoder).name
    )
    recorded_options |= {
        "threads": threads,
        "device": device.type,
        "precision": str(choose_precision(options.precision, device)).removeprefix("torch."),
    }
    record = {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "options": recorded_options,
        "recipe": recipe.record(),
        "trained_with": encoder_digest(encoder),
        "encoder": encoder_digest(truncate_encoder(encoder, list(recipe.generator_taps))),
        "photos": photo_source,
        "drawings": drawing_source,
        "world_size": ranks.world_size,
    }
    if earlier_record and not options.overwrite:
        if recipe.generator != "paper":  # whose BatchNorm normalises the parts of a batch
            record = keep_ranks_of(earlier_record, record)
            notes = [*note_change(earlier_record, ranks), *notes]
        check_continues(options.run, earlier_record, record)
    plan = TomPlan(
        options=options,
        recipe=recipe,
        photos=photos,
        drawings=drawings,
        encoder=encoder,
        record=record,
        found=earlier_record,
        device=device,
        ranks=ranks,
        passed_over=passed_over,
        notes=notes,
    )
    if not options.overwrite and not plan.finished:
        check_state_is_there(options.run, earlier_record)
    return plan


def _survey(
    options: TomTrainOptions,
    photos: Sequence[Callable[[], np.ndarray]],
    drawings: Sequence[Callable[[], np.ndarray]],
    progress: Progress,
) -> tuple[InputSurvey | None, InputSurvey | None]:
    """Measure photos and drawings; None for the built-in ones."""
    drawn = [reader.read for reader in drawings if isinstance(reader, DrawingReader)]
    return (
        survey_inputs(photos, options, "photos", progress) if options.images is not None else None,
        survey_inputs(drawn, options, "drawings", progress) if drawn else None,
    )
