"""One run of an image model in a folder: begin or resume, log, save, write model, grid.

run.json              format, version, options, recipe, digests of the shards and of the held-out shards;
                      once finished: the last figures
model.safetensors     the EMA weights, self-contained
grid.png              images that the model makes of sketches × styles
best.safetensors      with --eval-every: the model of the step with the lowest figure
previews/, log.jsonl, tensorboard/
state.pt              the state that training resumes from, also towards more --steps
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.run_log import RunLog
from sketchforge.checkpoints.runs import MODEL_FILE, RUN_FILE, TRAINED_BY
from sketchforge.data.prefetch import DevicePrefetch
from sketchforge.errors import SketchforgeError
from sketchforge.images.encode import write_captioned_png
from sketchforge.utils.files import write_json
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun
from trainers.agreement import check_start, lost_ranks_explained
from trainers.image_models.batches import AccumulatedBatches, Subset, open_micro_batches
from trainers.image_models.interface import ImageTrainer
from trainers.image_models.plan import ImagePlan
from trainers.image_models.validation import BEST_FILE, BestModel, ImageValidation, Validation
from trainers.loop import Progressed, train
from trainers.run_folder import LOG_FILE, RunFolder
from trainers.state import STATE_FILE, broadcast_modules

GRID_FILE = "grid.png"
NUM_PREVIEWS = 10  # over the whole run


def train_images(
    plan: ImagePlan[Any],
    trainer: ImageTrainer,
    progress: Progress,
    subset: Subset | None = None,
    masks: bool = False,
    grey: bool = False,
    classes: bool = False,
    previews: int | None = None,
) -> None:
    """Train or resume training until the run folder holds a model and a grid of sketches × styles.

    subset: whose images are half of every batch; None: there is none. masks: whether it learns from the shards' masks.
    grey: whether its input is the image's grey in place of a sketch. classes: whether it learns from the shards'
    classes. previews: evaluations over the whole run, where NUM_PREVIEWS would take too long.
    A second call resumes from the last saved state. On a CPU it then writes the same bytes as an
    uninterrupted run.
    Raises SketchforgeError when a loss is not finite or a shard is damaged; the last good state is kept.
    """
    run, ranks = plan.options.run, plan.ranks
    folder = RunFolder(run, plan.record, plan.steps_done)
    try:
        with lost_ranks_explained(run):
            ranks.barrier(plan.device)  # no rank writes before all have read
            if ranks.is_main_process:
                if plan.options.overwrite:
                    _remove_run(run, plan.found)
                folder.begin()
            ranks.barrier(plan.device)
            start = folder.restore(trainer.stateful(), plan.device, plan.recipe.steps, trainer.load_extra)
            check_start(ranks, run, start)
            broadcast_modules(ranks, trainer.stateful())
            micro_batches = open_micro_batches(plan, start.step, subset, masks, classes)
            if ranks.is_main_process:
                _train_main_process(plan, trainer, folder, start, progress, micro_batches, grey, previews)
            else:
                _train_other_rank(plan, trainer, start, micro_batches)
    except FloatingPointError as error:
        raise SketchforgeError(
            f"{run}: {error}. Begin another --run with another --seed, a larger --batch-size, or --precision float32"
        ) from None


def _train_other_rank(
    plan: ImagePlan[Any], trainer: ImageTrainer, start: Progressed, micro_batches: DevicePrefetch
) -> None:
    """Train on a rank other than 0: take steps, write and print nothing."""
    batches = AccumulatedBatches(micro_batches, plan.options.accumulate)
    start = start._replace(evaluation_due=False)  # rank 0 evaluates
    with closing(iter(batches)) as stream:
        train(trainer, stream, start, plan.recipe.steps, meet=plan.ranks.meet)
    plan.ranks.all_reduce_sum(batches.skipped)
    plan.ranks.shutdown()


def _train_main_process(
    plan: ImagePlan[Any],
    trainer: ImageTrainer,
    folder: RunFolder,
    start: Progressed,
    progress: Progress,
    micro_batches: DevicePrefetch,
    grey: bool,
    previews: int | None,
) -> None:
    """Train on rank 0 or in the only process: take steps, write all files and print."""
    options, run, steps, ranks = plan.options, plan.options.run, plan.recipe.steps, plan.ranks
    validation = Validation(
        plan.validation or plan.shards,
        plan.recipe.size,
        plan.validation is not None,
        options.skip_bad_shards,
        grey,
    )
    batches = AccumulatedBatches(micro_batches, options.accumulate)
    metadata = {name: plan.record[name] for name in ("options", "recipe", "shards")} | {"steps": steps}
    num_previews = NUM_PREVIEWS if previews is None else min(previews, NUM_PREVIEWS)
    eval_every = options.eval_every or max(steps // num_previews, 1)

    def describe_grid(step: int) -> str:
        command = TRAINED_BY[plan.record["format"]]
        return validation.describe_grid(f"{command}, {options.recipe} recipe", step, steps)

    def save(done: Progressed) -> None:
        folder.save(done, trainer.stateful(), trainer.extra())

    with (
        closing(RunLog(run / LOG_FILE, start.step, start.evaluation_due)) as log,
        closing(iter(batches)) as stream,
    ):
        best_model = None
        if options.eval_every:
            best_model = BestModel(run, f"{validation.prefix}_{options.best_by}", metadata)
        evaluate = ImageValidation(run, trainer, validation, best_model, describe_grid)
        started_at = time.perf_counter()
        train(
            trainer,
            stream,
            start,
            steps,
            log=log.write,
            evaluate=evaluate,
            evaluate_at={*range(eval_every, steps, eval_every), steps},
            save=save,
            meet=ranks.meet,
            progress=progress,
        )
    elapsed, waited_seconds = time.perf_counter() - started_at, micro_batches.waited
    if skipped := ranks.all_reduce_sum(batches.skipped):
        progress.note(f"{count_noun(skipped, 'sample')} could not be read; others took their place")
    figures, grid = evaluate.look(steps)
    write_captioned_png(run / GRID_FILE, grid, describe_grid(steps))
    waiting_note = f"{waited_seconds / elapsed:.0%} of the time was spent waiting for data" if elapsed else ""
    progress.note(f"{waiting_note}; {validation.summary(figures)}")
    results: dict[str, Any] = {"steps_done": steps, "figures": figures}
    if best_model is not None and best_model.lowest is not None:
        value, step = best_model.lowest
        progress.note(f"best by {options.best_by}: step {step} ({value:.4g}), kept as {run / BEST_FILE}")
        results["best"] = best_model.record()
    ranks.shutdown()
    trainer.write_model(run / MODEL_FILE, metadata | figures)
    write_json(run / RUN_FILE, {**plan.record, **results})


def _remove_run(run: Path, earlier_record: Mapping[str, Any] | None) -> None:
    """Carry out --overwrite: remove the files that an earlier run wrote, and no others.

    Its run.json is replaced last, so that whatever is left when this is interrupted is still a run of ours.
    """
    if earlier_record is None:
        return
    for name in (STATE_FILE, MODEL_FILE, BEST_FILE, GRID_FILE, LOG_FILE):
        (run / name).unlink(missing_ok=True)
    for name in ("previews", "tensorboard"):
        shutil.rmtree(run / name, ignore_errors=True)
