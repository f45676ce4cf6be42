"""One run of TOM in its folder: begin or resume, train, choose snapshots, write a self-contained result."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sketchforge.checkpoints.encoder import truncate_encoder, write_encoder
from sketchforge.checkpoints.run_log import RunLog
from sketchforge.checkpoints.runs import RUN_FILE
from sketchforge.checkpoints.tensor_files import tensors_digest
from sketchforge.checkpoints.tom import ENCODER_FILE, snapshot_path, write_snapshot
from sketchforge.errors import SketchforgeError
from sketchforge.images.contact_sheet import contact_sheet
from sketchforge.images.encode import write_captioned_png
from sketchforge.images.tensors import to_uint8
from sketchforge.options import TomTrainOptions
from sketchforge.utils.files import write_json
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun
from trainers.agreement import check_agreement, check_start, lost_ranks_explained
from trainers.distributed import Ranks
from trainers.loop import Progressed, train
from trainers.run_folder import LOG_FILE, RunFolder, hold_run
from trainers.state import STATE_FILE, broadcast_modules
from trainers.tom.candidates import AS_RENDERED, Candidates, rendered_levels
from trainers.tom.plan import TomPlan, plan_tom
from trainers.tom.recipe import TomRecipe
from trainers.tom.selection import select
from trainers.tom.step import NUM_VALIDATION_IMAGES, TomTrainer

SHEET_FILE = "contact-sheet.png"
SAVE_EVERY = 20  # steps; a killed run repeats at most so many


def train_tom(
    options: TomTrainOptions,
    progress: Progress | None = None,
    recipe: TomRecipe | None = None,
    trainer_class: type[TomTrainer] = TomTrainer,
    announce: Callable[[TomPlan], None] | None = None,
) -> Path:
    """Train or resume training, and return the contact sheet's path.

    recipe, trainer_class: for studies that vary them. recipe None: the recipe of `options.generator`.
    announce: called with the plan before training.

    A second call resumes from the last saved state. On a CPU it then writes the same bytes as an
    uninterrupted run.
    Raises as `plan_tom` does, and SketchforgeError when a loss is not finite, where the last good state is
    kept, or another training is at work in the run folder.
    """
    ranks = Ranks.from_environment()
    if not ranks.is_main_process:
        progress = None
    with hold_run(options.run):
        plan = plan_tom(options, recipe, progress)
        check_agreement(ranks, options.run, plan.record, plan.steps_done, plan.finished)
        if announce:
            announce(plan)
        if not plan.finished:
            _train(plan, progress or Progress(), trainer_class)
        elif ranks.is_main_process:
            _clear_scratch(options.run)
    return options.run / SHEET_FILE


def _train(plan: TomPlan, progress: Progress, trainer_class: type[TomTrainer]) -> None:
    options, run, steps, ranks = plan.options, plan.options.run, plan.options.steps, plan.ranks
    folder = RunFolder(run, plan.record, plan.steps_done)
    try:
        with lost_ranks_explained(run):
            ranks.barrier(plan.device)  # no rank writes before all have read
            trainer = trainer_class(options, plan.recipe, plan.encoder, plan.photos, plan.drawings, ranks)
            candidates = Candidates(trainer, run, steps, options.snapshots)
            if ranks.is_main_process:
                _begin(plan, folder)
            ranks.barrier(plan.device)
            start = folder.restore(trainer.stateful(), trainer.device, steps, candidates.load_extra)
            check_start(ranks, run, start)
            broadcast_modules(ranks, trainer.stateful())
            _take_steps(plan, trainer, candidates, folder, start, progress)
            for sampler in (trainer.photos, trainer.drawings):
                sampler.unreadable = ranks.union(sampler.unreadable, len(sampler.readers))
            ranks.shutdown()
    except FloatingPointError as error:
        raise SketchforgeError(
            f"{run}: {error}. Begin another --run with another --seed, a larger --batch-size, or other drawings"
        ) from None
    if ranks.is_main_process:
        _finish(plan, trainer, candidates, progress)


def _begin(plan: TomPlan, folder: RunFolder) -> None:
    """Write what a run begins with, after removing what --overwrite discards."""
    if plan.options.overwrite:
        _remove_run(plan.options.run, plan.found)
    folder.begin()
    generator_encoder = truncate_encoder(plan.encoder, list(plan.recipe.generator_taps))
    write_encoder(
        plan.options.run / ENCODER_FILE,
        generator_encoder,
        {"name": plan.record["options"]["encoder"], "purpose": "TOM run"},
    )


def _take_steps(
    plan: TomPlan,
    trainer: TomTrainer,
    candidates: Candidates,
    folder: RunFolder,
    start: Progressed,
    progress: Progress,
) -> None:
    """Take all steps from `start` on; rank 0 logs and saves them."""
    steps, ranks = plan.options.steps, plan.ranks

    def save(done: Progressed) -> None:
        folder.save(done, trainer.stateful(), candidates.extra())

    with closing(trainer.batches(start.step, steps, candidates.window)) as batches:
        take_steps = partial(
            train,
            trainer,
            batches,
            start,
            steps,
            evaluate=candidates.evaluate,
            evaluate_at=candidates.evaluate_at,
            meet=ranks.meet,
            progress=progress,
        )
        if not ranks.is_main_process:
            take_steps()
            return
        with closing(RunLog(folder.path / LOG_FILE, start.step, start.evaluation_due)) as log:
            take_steps(log=log.write, save=save, save_every=SAVE_EVERY)


def _finish(plan: TomPlan, trainer: TomTrainer, candidates: Candidates, progress: Progress) -> None:
    """Choose and write the snapshots, then the reasons of the choice, and last the finished run's record."""
    for kind, sampler in (("photos", trainer.photos), ("drawings", trainer.drawings)):
        if sampler.unreadable:
            progress.note(
                f"{len(sampler.unreadable)} of {len(sampler.readers)} {kind} could not be read"
                f"{' or are blank' if kind == 'drawings' else ''}; others took their place"
            )
    options, run = plan.options, plan.options.run
    evaluations = [scores for scores in candidates.evaluations if scores["window"] is not None]
    generators = [candidates.read(scores) for scores in evaluations]
    sketches = np.stack(
        [trainer.evaluate(generator=generator.to(trainer.device)).sketches for generator in generators]
    )
    selection = select(
        [scores["content"] for scores in evaluations],
        [scores["realism"] for scores in evaluations],
        sketches,
        options.snapshots,
    )
    if selection.relaxed:
        progress.note(
            f"fewer than {options.snapshots} of {count_noun(len(evaluations), 'candidate')} passed; "
            "tolerances were widened "
            f"{count_noun(selection.relaxed, 'time')}"
        )
    snapshots = []
    for number, index in enumerate(selection.chosen):
        scores, generator = evaluations[index], generators[index]
        metadata = scores | {name: plan.record[name] for name in ("options", "recipe", "encoder")}
        write_snapshot(snapshot_path(run, number), generator, metadata)
        snapshots.append(
            {"style": f"tom-{scores['step']}", **scores, "digest": tensors_digest(generator.state_dict())}
        )
    chosen = selection.chosen
    write_json(
        run / "selection.json",
        {
            "format": "sketchforge-tom-selection",
            "version": 3,
            "plateau_at": candidates.plateau_at,
            "evaluations": candidates.evaluations,
            "passing": [evaluations[i]["step"] for i in selection.passing],
            "relaxed": selection.relaxed,
            "chosen": [evaluations[i]["step"] for i in chosen],
            "difference": np.round(selection.difference, 6).tolist(),
        },
    )
    photos = to_uint8(trainer.validation_photos)
    rows = [
        [photos[i], *(rendered_levels(sketches[index][i]) for index in chosen)]
        for i in range(NUM_VALIDATION_IMAGES)
    ]
    caption = (
        f"tom-train: {count_noun(len(chosen), 'snapshot')}, named by their steps, on validation photos; "
        f"{photos.shape[1]} pixels; {AS_RENDERED}"
    )
    sheet = contact_sheet(rows, ["photo", *(snapshot["style"] for snapshot in snapshots)])
    write_captioned_png(run / SHEET_FILE, sheet, caption)
    write_json(run / RUN_FILE, {**plan.record, "snapshots": snapshots})
    _clear_scratch(run)


def _clear_scratch(run: Path) -> None:
    """Remove the files that only an unfinished run needs."""
    (run / STATE_FILE).unlink(missing_ok=True)
    shutil.rmtree(run / "candidates", ignore_errors=True)


def _remove_run(run: Path, earlier_record: Mapping[str, Any] | None) -> None:
    """Carry out --overwrite: remove the files that an earlier run wrote, and no others.

    Its run.json is replaced last, so that whatever is left when this is interrupted is still a run of ours.
    """
    if earlier_record is None:
        return
    _clear_scratch(run)
    for name in (ENCODER_FILE, "selection.json", SHEET_FILE, LOG_FILE):
        (run / name).unlink(missing_ok=True)
    for name in ("snapshots", "previews", "tensorboard"):
        shutil.rmtree(run / name, ignore_errors=True)
