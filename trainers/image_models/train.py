"""One run of an image model in its folder, auto-encoder or GAN: begin or resume, log, save, leave model and image.

run.json              format, version, options, recipe, digests of the shards and of those held out; once
                      finished: the last figures
model.safetensors     the averaged weights, self-contained
grid.png              sketches × styles, drawn out by the model
best.safetensors      with --eval-every: of the step with the lowest figure
previews/, log.jsonl, tensorboard/
state.pt              all that training needs to go on, also to more --steps than it has done
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.run_log import RunLog
from sketchforge.checkpoints.runs import RUN_FILE
from sketchforge.errors import SketchforgeError
from sketchforge.images.encode import write_png
from sketchforge.utils.files import write_json
from sketchforge.utils.progress import Progress
from trainers.image_models.batches import AccumulatedBatches, open_micro_batches
from trainers.image_models.interface import ImageTrainer
from trainers.image_models.plan import ImagePlan
from trainers.image_models.validation import BEST_FILE, BestModel, ImageValidation, Validation
from trainers.loop import train
from trainers.state import STATE_FILE, restore_state, save_state

MODEL_FILE, GRID_FILE = "model.safetensors", "grid.png"
NUM_PREVIEWS = 10  # over the whole run


def train_images(
    plan: ImagePlan[Any],
    trainer: ImageTrainer,
    progress: Progress,
    group: int | None = None,
    passes: int = 1,
) -> None:
    """Train or go on training until the run folder holds a model and an image of sketches × styles.

    group, passes: of the order of samples, see `SampleOrder`.
    The same call again continues from the last saved state and, on a CPU, ends with the same bytes as a run that was
    never interrupted. Raises SketchforgeError when a loss stops being finite or shards turn out to be damaged: then
    the last good state is kept.
    """
    run, ranks = plan.options.run, plan.ranks
    ranks.barrier(plan.device)  # nobody writes before all have read
    if ranks.is_main_process:
        if plan.options.overwrite:
            _remove_run(run, plan.found)
        write_json(run / RUN_FILE, {**plan.record, "steps_done": plan.steps_done})
    ranks.barrier(plan.device)
    start, extra = restore_state(run, trainer.stateful(), plan.device)
    if extra:
        trainer.load_extra(extra)
    try:
        if ranks.is_main_process:
            _lead(plan, trainer, start, progress, group, passes)
        else:
            _follow(plan, trainer, start, group, passes)
    except FloatingPointError as error:
        raise SketchforgeError(
            f"{run}: {error}. Begin another --run with another --seed, a larger --batch-size, or --precision float32"
        ) from None


def _follow(plan: ImagePlan[Any], trainer: ImageTrainer, start: int, group: int | None, passes: int) -> None:
    """What a rank other than the first does: steps, and nothing that leaves a trace."""
    batches = AccumulatedBatches(open_micro_batches(plan, start, group, passes), plan.options.accumulate)
    with closing(iter(batches)) as stream:
        train(trainer, stream, start, plan.recipe.steps)
    plan.ranks.shutdown()


def _lead(
    plan: ImagePlan[Any],
    trainer: ImageTrainer,
    start: int,
    progress: Progress,
    group: int | None,
    passes: int,
) -> None:
    """What the first rank does, or the only one: steps, and all that is written and said."""
    options, run, steps = plan.options, plan.options.run, plan.recipe.steps
    validation = Validation(
        plan.validation or plan.shards, plan.recipe.size, plan.validation is not None, options.skip_bad_shards
    )
    micro_batches = open_micro_batches(plan, start, group, passes)
    batches = AccumulatedBatches(micro_batches, options.accumulate)
    metadata = {name: plan.record[name] for name in ("options", "recipe", "shards")} | {"steps": steps}
    every = options.eval_every or max(steps // NUM_PREVIEWS, 1)

    def save(step: int) -> None:
        save_state(run, step, trainer.stateful(), trainer.extra())

    with closing(RunLog(run / "log.jsonl", start)) as log, closing(iter(batches)) as stream:
        best = None
        if options.eval_every:
            best = BestModel(run, f"{validation.prefix}_{options.best_by}", metadata)
        began = time.perf_counter()
        train(
            trainer,
            stream,
            start,
            steps,
            log=log.write,
            evaluate=ImageValidation(run, trainer, validation, best),
            evaluate_at={*range(every, steps, every), steps},
            save=save,
            progress=progress,
        )
    elapsed, waited = time.perf_counter() - began, micro_batches.waited
    if batches.skipped:
        progress.note(f"{batches.skipped} samples could not be read; others took their place")
    figures = validation.figures(trainer)
    write_png(run / GRID_FILE, validation.grid(trainer))
    waiting = f"{waited / elapsed:.0%} of the time was spent waiting for data" if elapsed else ""
    progress.note(f"{waiting}; {validation.summary(figures)}")
    finished: dict[str, Any] = {"steps_done": steps, "figures": figures}
    if best is not None and best.lowest is not None:
        value, step = best.lowest
        progress.note(f"best by {options.best_by}: step {step} ({value:.4g}), kept as {run / BEST_FILE}")
        finished["best"] = best.record()
    plan.ranks.shutdown()
    trainer.write_model(run / MODEL_FILE, metadata | figures)
    write_json(run / RUN_FILE, {**plan.record, **finished})


def _remove_run(run: Path, found: Mapping[str, Any] | None) -> None:
    """--overwrite: remove the files of an earlier run of ours, and nothing else."""
    if found is None:
        return
    for name in (RUN_FILE, STATE_FILE, MODEL_FILE, BEST_FILE, GRID_FILE, "log.jsonl"):
        (run / name).unlink(missing_ok=True)
    for name in ("previews", "tensorboard"):
        shutil.rmtree(run / name, ignore_errors=True)
