"""One run of TOM in its folder: begin or resume, save, choose the snapshots, leave a self-contained result."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder, truncated, write_encoder
from sketchforge.checkpoints.run_log import RunLog
from sketchforge.checkpoints.runs import RUN_FILE, check_continues, record_or_empty
from sketchforge.checkpoints.tensor_files import digest_of
from sketchforge.checkpoints.tom import (
    ENCODER_FILE,
    RUN_FORMAT,
    RUN_VERSION,
    read_run,
    read_snapshot,
    snapshot_path,
    write_snapshot,
)
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.contact_sheet import contact_sheet
from sketchforge.images.encode import write_png
from sketchforge.images.tensors import from_unit, to_uint8
from sketchforge.options import TomTrainOptions
from sketchforge.utils.device import set_threads
from sketchforge.utils.files import write_json
from sketchforge.utils.signals import held
from trainers.crops import Prefetch
from trainers.loop import STATE_FILE, TrainProgress, restore_state, save_state
from trainers.tom.inputs import drawing_readers, photo_readers
from trainers.tom.recipe import RECIPES, TomRecipe
from trainers.tom.selection import pairwise_difference, select, settled
from trainers.tom.step import NUM_EVALUATIONS, NUM_VALIDATION_IMAGES, Tom, check_encoder

SAVE_EVERY = 20  # steps; a killed run repeats at most these
LATEST_SETTLING = 0.5  # of the steps: from here on every evaluation is a candidate, settled or not
# What decides the snapshots' bytes; the rest of the options says where and how fast.
RECORDED = ("encoder", "generator", "adversarial", "size", "steps", "batch_size", "snapshots", "seed")


@dataclass(frozen=True)
class TomPlan:
    """What a training will do, known before anything is written."""

    options: TomTrainOptions
    recipe: TomRecipe
    photos: Sequence[Callable[[], np.ndarray]]
    drawings: Sequence[Callable[[], np.ndarray]]
    record: Mapping[str, Any]  # run.json as it stands at the beginning
    found: Mapping[str, Any] | None  # what `run` holds already
    encoder: Any

    @property
    def steps(self) -> int:
        return self.options.steps

    @property
    def batch_size(self) -> int:
        return self.options.batch_size

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
    deepest_stride = 8
    if options.size < 32 or options.size % deepest_stride:
        raise UsageError(f"--size {options.size}: expected a multiple of {deepest_stride}, at least 32")
    found = (
        read_run(options.run)
        if not options.overwrite
        else record_or_empty(options.run, RUN_FORMAT, RUN_VERSION)
    )
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
        "options": recorded | {"threads": threads, "device": _device_type(options)},
        "recipe": recipe.record(),
        "trained_with": encoder_digest(encoder),
        "encoder": encoder_digest(truncated(encoder, list(recipe.generator_taps))),
        "photos": photo_names,
        "drawings": drawing_names,
    }
    if found is not None and not options.overwrite:
        check_continues(options.run, found, record, ("recipe", "trained_with", "photos", "drawings"))
    return TomPlan(options, recipe, photos, drawings, record, found, encoder)


def train_tom(
    options: TomTrainOptions,
    progress: TrainProgress | None = None,
    recipe: TomRecipe | None = None,
    procedure: type[Tom] = Tom,
) -> Path:
    """Train or go on training, and return the contact sheet's path.

    recipe, procedure: for studies that vary them; None: what `options.generator` stands for.

    The same call again continues from the last saved state and, on a CPU, ends with the same bytes as a run that was
    never interrupted. Raises as `plan_tom` does, and SketchforgeError when a loss stops being finite: then the last
    good state is kept.
    """
    progress = progress or TrainProgress()
    plan = plan_tom(options, recipe)
    run = options.run
    sheet = run / "contact-sheet.png"
    if plan.finished:
        _clear_scratch(run)
        return sheet
    if options.overwrite:
        _remove_run(run, plan.found)
    tom = procedure(options, plan.recipe, plan.encoder, plan.photos, plan.drawings)
    needed = truncated(plan.encoder, list(plan.recipe.generator_taps))
    write_encoder(
        run / ENCODER_FILE, needed, {"name": plan.record["options"]["encoder"], "purpose": "TOM run"}
    )
    write_json(run / RUN_FILE, plan.record)
    step, candidates = restore_state(run, vars(tom.networks), tom.device)
    candidates = candidates or {"evaluations": [], "settled_at": None}
    log = RunLog(run / "log.jsonl", step)
    progress.begin(plan, step)
    try:
        _train(plan, tom, candidates, step, log, progress)
    finally:
        progress.end()
        log.close()
    for what, sampler in (("photos", tom.photos), ("drawings", tom.drawings)):
        if sampler.unreadable:
            progress.note(
                f"{len(sampler.unreadable)} of {len(sampler.readers)} {what} could not be read; others took "
                "their place"
            )
    _finish(plan, tom, candidates, sheet, progress)
    return sheet


def _train(
    plan: TomPlan, tom: Tom, candidates: dict[str, Any], step: int, log: RunLog, progress: TrainProgress
) -> None:
    options = plan.options
    every = max(options.steps // NUM_EVALUATIONS, 1)
    # So late that the evaluations left are at least as many as the snapshots asked for.
    latest = min(
        int(options.steps * LATEST_SETTLING), options.steps // every * every - options.snapshots * every
    )
    if latest <= 0 and candidates["settled_at"] is None:
        candidates["settled_at"] = 0
    batches = tom.batches()
    try:
        while step < options.steps:
            # Between two steps is the one place where an interruption can neither be lost nor leave a thread waiting.
            with held(signal.SIGINT, signal.SIGTERM):
                step = _one_step(plan, tom, candidates, step, batches, latest, log, progress)
    finally:
        batches.close()


def _one_step(
    plan: TomPlan,
    tom: Tom,
    candidates: dict[str, Any],
    step: int,
    batches: Prefetch,
    latest: int,
    log: RunLog,
    progress: TrainProgress,
) -> int:
    """Train one step, evaluate and save where it is time; returns the number of steps done."""
    options, run = plan.options, plan.options.run
    every = max(options.steps // NUM_EVALUATIONS, 1)
    here, following = (_window(candidates, at, every) for at in (step, step + 1))
    batch = batches.get((step, here), (step + 1, following))
    try:
        losses = tom.step(batch)
    except FloatingPointError as error:
        raise SketchforgeError(
            f"{run}: {error} at step {step}; the state of step {step - step % SAVE_EVERY} is kept. Begin another "
            "--run with another --seed, a larger --batch-size, or other drawings"
        ) from None
    step += 1
    log.write(step, losses)
    progress.step(step, losses)
    if step % every == 0:
        _evaluate(run, tom, candidates, step, here, latest, log)
    if step % SAVE_EVERY == 0 or step == options.steps:
        save_state(run, step, vars(tom.networks), candidates)
    return step


def _window(candidates: Mapping[str, Any], step: int, every: int) -> int | None:
    """The style window that a step lies in; None before the training has settled."""
    settled_at = candidates["settled_at"]
    return None if settled_at is None else (step - settled_at) // every


def _evaluate(
    run: Path, tom: Tom, candidates: dict[str, Any], step: int, window: int | None, latest: int, log: RunLog
) -> None:
    """Score the generator at the end of a style window, and keep it as a candidate once training has settled."""
    found = tom.evaluate(window)
    scores = {"step": step, "window": window, "content": found.content, "realism": found.realism}
    log.write(step, {"validation_content": found.content, "validation_realism": found.realism})
    candidates["evaluations"].append(scores)
    if candidates["settled_at"] is None:
        content = [past["content"] for past in candidates["evaluations"]]
        if step >= latest or (settled(content) and step >= latest // 2):
            candidates["settled_at"] = step
    elif step > candidates["settled_at"]:
        write_snapshot(_candidate_path(run, step), tom.networks.average, scores)
    photos = to_uint8(tom.validation_photos)
    rows = [[photo, _grey(sketch)] for photo, sketch in zip(photos[:4], found.sketches)]
    write_png(run / "previews" / f"{step:06d}.png", contact_sheet(rows, ["photo", f"step {step}"]))


def _finish(
    plan: TomPlan, tom: Tom, candidates: dict[str, Any], sheet: Path, progress: TrainProgress
) -> None:
    """Choose, write the snapshots and what explains the choice, and last the record that makes the run usable."""
    options, run = plan.options, plan.options.run
    evaluations = [e for e in candidates["evaluations"] if e["window"] is not None]
    generators = [read_snapshot(_candidate_path(run, e["step"]))[0] for e in evaluations]
    drawn = []
    for generator in generators:
        tom.networks.average = generator.to(tom.device)
        drawn.append(tom.evaluate().sketches)
    drawn = np.stack(drawn)
    difference = pairwise_difference(drawn)
    selection = select(
        [e["content"] for e in evaluations],
        [e["realism"] for e in evaluations],
        difference,
        options.snapshots,
    )
    if selection.relaxed:
        progress.note(
            f"fewer than {options.snapshots} of {len(evaluations)} candidates passed; tolerances were widened "
            f"{selection.relaxed} times"
        )
    snapshots = []
    for number, index in enumerate(selection.chosen):
        step = evaluations[index]["step"]
        about = evaluations[index] | {name: plan.record[name] for name in ("options", "recipe", "encoder")}
        write_snapshot(snapshot_path(run, number), generators[index], about)
        snapshots.append(
            {
                "style": f"tom-{step}",
                **evaluations[index],
                "digest": digest_of(generators[index].state_dict()),
            }
        )
    chosen = selection.chosen
    write_json(
        run / "selection.json",
        {
            "format": "sketchforge-tom-selection",
            "version": 1,
            "settled_at": candidates["settled_at"],
            "evaluations": candidates["evaluations"],
            "passing": [evaluations[i]["step"] for i in selection.passing],
            "relaxed": selection.relaxed,
            "chosen": [evaluations[i]["step"] for i in chosen],
            "difference": np.round(difference[np.ix_(chosen, chosen)].astype(float), 6).tolist(),
        },
    )
    photos = to_uint8(tom.validation_photos)
    rows = [[photos[i], *(_grey(drawn[index][i]) for index in chosen)] for i in range(NUM_VALIDATION_IMAGES)]
    write_png(sheet, contact_sheet(rows, ["photo", *(snapshot["style"] for snapshot in snapshots)]))
    write_json(run / RUN_FILE, dict(plan.record) | {"snapshots": snapshots})
    _clear_scratch(run)


def _candidate_path(run: Path, step: int) -> Path:
    return run / "candidates" / f"{step:06d}.safetensors"


def _clear_scratch(run: Path) -> None:
    """Remove what only an unfinished run needs."""
    (run / STATE_FILE).unlink(missing_ok=True)
    shutil.rmtree(run / "candidates", ignore_errors=True)


def _remove_run(run: Path, found: Mapping[str, Any] | None) -> None:
    """--overwrite: remove the files of an earlier run of ours, and nothing else."""
    if found is None:
        return
    (run / RUN_FILE).unlink(missing_ok=True)
    _clear_scratch(run)
    for name in (ENCODER_FILE, "selection.json", "contact-sheet.png", "log.jsonl"):
        (run / name).unlink(missing_ok=True)
    for name in ("snapshots", "previews", "tensorboard"):
        shutil.rmtree(run / name, ignore_errors=True)


def _device_type(options: TomTrainOptions) -> str:
    from sketchforge.utils.device import choose_device

    return choose_device(options.device).type


def _grey(sketch: np.ndarray) -> np.ndarray:
    """float (H,W) in [0, 1] -> uint8."""
    return from_unit(torch.from_numpy(sketch)).numpy()
