"""One run of an image model in its folder, auto-encoder or GAN: begin or resume, log, save, leave model and picture.

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
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.run_log import RunLog
from sketchforge.checkpoints.runs import RUN_FILE
from sketchforge.data.augment import pair_pixels, stored_pair
from sketchforge.data.augment_gpu import PairBatches
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.loader import batches
from sketchforge.data.order import SampleOrder
from sketchforge.data.prefetch import DevicePrefetch, moved
from sketchforge.errors import SketchforgeError
from sketchforge.images.encode import write_png
from sketchforge.utils.device import usable_cores
from sketchforge.utils.files import write_json
from trainers.image_models.interface import PERCEPTUAL_TAPS, Procedure
from trainers.image_models.plan import NUM_SKETCHES, ImagePlan
from trainers.image_models.validation import BEST_FILE, BestModel, Validation
from trainers.loop import STATE_FILE, TrainProgress, restore_state, run_steps, save_state

MODEL_FILE, GRID_FILE = "model.safetensors", "grid.png"
NUM_PREVIEWS = 10  # over the whole run


def train_images(
    plan: ImagePlan,
    new_procedure: Callable[[], Procedure],
    write_model: Callable[[Path, Procedure, Mapping[str, Any]], None],
    progress: TrainProgress,
    group: int | None = None,
    passes: int = 1,
) -> Path:
    """Train or go on training, and return the path of the picture of sketches × styles.

    group, passes: of the order of samples, see `SampleOrder`.
    The same call again continues from the last saved state and, on a CPU, ends with the same bytes as a run that was
    never interrupted. Raises SketchforgeError when a loss stops being finite or shards turn out to be damaged: then
    the last good state is kept.
    """
    run, ranks = plan.options.run, plan.ranks
    if plan.finished:
        return run / GRID_FILE
    ranks.join(plan.device)  # nobody writes before all have read
    if plan.options.overwrite and ranks.number == 0:
        _remove_run(run, plan.found)
    procedure = new_procedure()
    done = 0 if plan.options.overwrite else (plan.found or {}).get("steps_done", 0)
    if ranks.number == 0:
        write_json(run / RUN_FILE, dict(plan.record) | {"steps_done": done})
    ranks.join(plan.device)
    step, extra = restore_state(run, vars(procedure.networks), plan.device)
    if extra:
        procedure.resume(extra)
    order = _order(plan, group, passes)
    if ranks.number:
        _follow(plan, procedure, step, order)
        ranks.leave()
        return run / GRID_FILE
    about = {name: plan.record[name] for name in ("options", "recipe", "shards")}

    def write(path: Path, found: Mapping[str, float]) -> None:
        write_model(path, procedure, about | {"steps": plan.steps} | found)

    figures, best = _train(plan, procedure, step, progress, order, write)
    ranks.leave()
    write(run / MODEL_FILE, figures)
    kept = {"best": best.record()} if best else {}
    write_json(run / RUN_FILE, dict(plan.record) | {"steps_done": plan.steps, "figures": figures} | kept)
    return run / GRID_FILE


def _train(
    plan: ImagePlan,
    procedure: Procedure,
    start: int,
    progress: TrainProgress,
    order: SampleOrder,
    write: Callable[[Path, Mapping[str, float]], None],
) -> tuple[dict[str, float], BestModel | None]:
    """Train from step `start` to the end; returns the last figures, and the best model where one is kept."""
    options, recipe, run = plan.options, plan.recipe, plan.options.run
    validation = Validation(
        plan.validation or plan.shards, recipe.size, plan.validation is not None, options.skip_bad_shards
    )
    prefetch = _prefetch(plan, start, order)
    stream = _grouped(prefetch, options.accumulate)
    log = RunLog(run / "log.jsonl", start)
    every = options.eval_every or max(recipe.steps // NUM_PREVIEWS, 1)
    best = None
    if options.eval_every:
        best = BestModel(run, f"{validation.prefix}_{options.best_by}", write)
    skipped = 0

    def train(step: int, parts: list[dict[str, Any]]) -> None:
        nonlocal skipped
        try:
            losses = procedure.step(step, parts)
        except FloatingPointError as error:
            raise SketchforgeError(
                f"{run}: {error} at step {step}; the last saved state is kept. Begin another --run with another "
                "--seed, a larger --batch-size, or --precision float32"
            ) from None
        skipped += sum(int(part["skipped"].sum()) for part in parts)
        done = step + 1
        log.write(done, losses)
        progress.step(done, losses)
        if done % every == 0 or done == recipe.steps:
            figures = validation.figures(procedure, PERCEPTUAL_TAPS)
            if best is not None:
                figures |= validation.frechet(procedure)
                best.offer(done, figures)
            log.write(done, figures)
            write_png(run / "previews" / f"{done:06d}.png", validation.grid(procedure))

    def save(step: int) -> None:
        save_state(run, step, vars(procedure.networks), procedure.extra())

    progress.begin(plan, start)
    began = time.perf_counter()
    try:
        run_steps(start, recipe.steps, stream, train, save)
    finally:
        progress.end()
        log.close()
        stream.close()
    elapsed, waited = time.perf_counter() - began, prefetch.waited
    if skipped:
        progress.note(f"{skipped} samples could not be read; others took their place")
    figures = validation.figures(procedure, PERCEPTUAL_TAPS)
    write_png(run / GRID_FILE, validation.grid(procedure))
    waiting = f"{waited / elapsed:.0%} of the time was spent waiting for data" if elapsed else ""
    progress.note(f"{waiting}; {validation.summary(figures)}")
    if best is not None:
        value, step = best.lowest
        progress.note(f"best by {options.best_by}: step {step} ({value:.4g}), kept as {run / BEST_FILE}")
    return figures, best


def _follow(plan: ImagePlan, procedure: Procedure, start: int, order: SampleOrder) -> None:
    """What a rank other than the first does: steps, and nothing that leaves a trace."""
    stream = _grouped(_prefetch(plan, start, order), plan.options.accumulate)
    try:
        run_steps(start, plan.recipe.steps, stream, procedure.step, save=lambda step: None)
    finally:
        stream.close()


def _order(plan: ImagePlan, group: int | None, passes: int) -> SampleOrder:
    return SampleOrder(plan.shards.shard_sizes, plan.options.seed, group=group, passes=passes)


def _prefetch(plan: ImagePlan, start: int, order: SampleOrder) -> DevicePrefetch:
    """Batches from the step `start` on, each in as many parts as --accumulate says."""
    options, recipe = plan.options, plan.recipe
    on_gpu = plan.device.type == "cuda"
    # What a GPU does in passing would keep three of four processes that read busy.
    make = stored_pair if on_gpu else partial(pair_pixels, size=recipe.size, seed=options.seed)
    dataset = ShardDataset(plan.shards, order, make, NUM_SKETCHES, options.skip_bad_shards)
    workers = options.workers
    if workers is None:
        workers = (
            1 if plan.device.type == "cpu" else min(8, max(usable_cores() // plan.ranks.local_count - 1, 1))
        )
    loader = batches(
        dataset,
        recipe.batch_size // (options.accumulate * plan.ranks.count),
        start * options.accumulate,
        (recipe.steps - start) * options.accumulate,
        plan.ranks.number,
        plan.ranks.count,
        workers=workers,
        pin_memory=on_gpu,
    )
    return DevicePrefetch(loader, plan.device, PairBatches(recipe.size, options.seed) if on_gpu else moved)


def _grouped(parts: Any, count: int) -> Iterator[list[dict[str, Any]]]:
    waiting = []
    for part in parts:
        waiting.append(part)
        if len(waiting) == count:
            yield waiting
            waiting = []


def _remove_run(run: Path, found: Mapping[str, Any] | None) -> None:
    """--overwrite: remove the files of an earlier run of ours, and nothing else."""
    if found is None:
        return
    for name in (RUN_FILE, STATE_FILE, MODEL_FILE, BEST_FILE, GRID_FILE, "log.jsonl"):
        (run / name).unlink(missing_ok=True)
    for name in ("previews", "tensorboard"):
        shutil.rmtree(run / name, ignore_errors=True)
