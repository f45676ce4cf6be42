"""One run of the auto-encoder in its folder: begin or resume, log, save, leave the model and a picture of it.

    run.json              format, version, options, recipe, the shards' digest; once finished: the last figures
    model.safetensors     the averaged weights, self-contained
    grid.png              sketches × styles, drawn out by the model
    previews/, log.jsonl, tensorboard/
    state.pt              all that training needs to go on, also to more --steps than it has done
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sketchforge.autoencoder_file import write_autoencoder
from sketchforge.device import choose_device, set_threads, usable_cores
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.files import write_json
from sketchforge.models.encoder import Encoder
from sketchforge.options import AeTrainOptions
from sketchforge.pairs import pair_pixels
from sketchforge.report.sheet import write_png
from sketchforge.run_folder import RUN_FILE, check_continues, read_record, record_or_empty
from sketchforge.runlog import RunLog
from sketchforge.shards.loader import DevicePrefetch, batches
from sketchforge.shards.order import SampleOrder
from sketchforge.shards.shard_set import ShardSet, open_shards
from sketchforge.shards.stream import ShardDataset
from sketchforge.weights import encoder_digest, load_encoder
from trainers.ae import PERCEPTUAL_TAPS, AutoEncoding
from trainers.ae_previews import Validation
from trainers.ae_recipe import AeRecipe, recipe_of
from trainers.loop import STATE_FILE, TrainProgress, restore_state, run_steps, save_state

RUN_FORMAT, RUN_VERSION = "sketchforge-ae-run", 1
MODEL_FILE, GRID_FILE = "model.safetensors", "grid.png"
NUM_PREVIEWS = 10  # over the whole run
NUM_SKETCHES = 2  # of an image that a step needs: one to draw out, another to compare it with (Eq. 10)


@dataclass(frozen=True)
class AePlan:
    """What a training will do, known before anything is written."""

    options: AeTrainOptions
    recipe: AeRecipe
    shards: ShardSet
    validation: ShardSet | None
    encoder: Encoder | None
    device: torch.device
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
        return bool(self.found) and not self.options.fresh and self.found.get("steps_done", 0) >= self.recipe.steps


def plan_ae(options: AeTrainOptions) -> AePlan:
    """Look at shards, weights and the run folder and settle what is to be done. Writes nothing into the run.

    Raises UsageError where the request cannot be carried out: shards that are missing, unfinished, of mixed sizes or
    with too few sketches, a run folder of other things or other options; SketchforgeError for damaged ones.
    """
    recipe = recipe_of(options)
    run = options.run
    found = (record_or_empty if options.fresh else read_record)(run, RUN_FORMAT, RUN_VERSION)
    device = choose_device(options.device)
    threads = set_threads(options.threads)
    cache = options.cache
    shards = open_shards(options.shards, cache=cache)
    shards.require(sketches=NUM_SKETCHES)
    validation = None
    if options.validation is not None:
        validation = open_shards(options.validation, cache=cache)
        validation.require(sketches=1)
    triplets = [name for name in ("style_triplet", "content_triplet") if getattr(recipe, name)]
    if shards.num_samples < 2 and triplets:
        raise UsageError(
            f"{options.shards}: 1 image; {' and '.join(triplets)} tell images apart and need two or more: render "
            "more, or switch them off with --loss NAME=0"
        )
    encoder = None
    if recipe.perceptual:
        encoder = load_encoder(options.encoder)
        if missing := sorted(set(PERCEPTUAL_TAPS) - set(encoder.tap_names())):
            raise SketchforgeError(f"--encoder {options.encoder}: has no {', '.join(missing)}")
    name = options.encoder if not Path(options.encoder).is_file() else Path(options.encoder).name
    recorded = {
        "recipe": options.recipe,
        "encoder": name,
        "accumulate": options.accumulate,
        "precision": str(_precision(options, device)).removeprefix("torch."),
        "seed": options.seed,
        "threads": threads,
        "device": device.type,
    }
    kept = recipe.record()
    del kept["steps"]  # a run that is done may be asked for more
    record = {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "options": recorded,
        "recipe": kept,
        "trained_with": None if encoder is None else encoder_digest(encoder),
        "shards": {"count": shards.num_samples, "digest": _digest(shards)},
    }
    if found is not None and not options.fresh:
        check_continues(run, found, record, ("recipe", "trained_with", "shards"))
    return AePlan(options, recipe, shards, validation, encoder, device, record, found)


def train_ae(options: AeTrainOptions, progress: TrainProgress | None = None) -> Path:
    """Train or go on training, and return the path of the picture of sketches × styles.

    The same call again continues from the last saved state and, on a CPU, ends with the same bytes as a run that was
    never interrupted. Raises as `plan_ae` does, and SketchforgeError when a loss stops being finite or shards turn
    out to be damaged: then the last good state is kept.
    """
    progress = progress or TrainProgress()
    plan = plan_ae(options)
    run, recipe = options.run, plan.recipe
    if plan.finished:
        return run / GRID_FILE
    if options.fresh:
        _remove_run(run, plan.found)
    procedure = AutoEncoding(
        recipe, plan.encoder, plan.shards.num_samples, options.seed, plan.device,
        _precision(options, plan.device), options.compile,
    )  # fmt: skip
    done = 0 if options.fresh else (plan.found or {}).get("steps_done", 0)
    write_json(run / RUN_FILE, dict(plan.record) | {"steps_done": done})
    step, extra = restore_state(run, vars(procedure.networks), plan.device)
    procedure.group = extra.get("group", 0)
    _train(plan, procedure, step, progress)
    return run / GRID_FILE


def _train(plan: AePlan, procedure: AutoEncoding, start: int, progress: TrainProgress) -> None:
    options, recipe, run = plan.options, plan.recipe, plan.options.run
    validation = Validation(
        plan.validation or plan.shards, recipe.size, plan.validation is not None, options.skip_bad_shards
    )
    prefetch = DevicePrefetch(_loader(plan, start), plan.device)
    stream = _grouped(prefetch, options.accumulate)
    log = RunLog(run / "log.jsonl", start)
    every = max(recipe.steps // NUM_PREVIEWS, 1)
    skipped = 0

    def train(step: int, parts: list[dict[str, Any]]) -> None:
        nonlocal skipped
        try:
            losses = procedure.step(step, parts)
        except FloatingPointError as error:
            raise SketchforgeError(
                f"{run}: {error} at step {step}; the last saved state is kept. Begin anew with --fresh and another "
                "--seed, a larger --batch-size, or --precision float32"
            ) from None
        skipped += sum(int(part["skipped"].sum()) for part in parts)
        done = step + 1
        log.write(done, losses)
        progress.step(done, losses)
        if done % every == 0 or done == recipe.steps:
            figures = validation.figures(procedure)
            log.write(done, figures)
            write_png(run / "previews" / f"{done:06d}.png", validation.grid(procedure))

    def save(step: int) -> None:
        save_state(run, step, vars(procedure.networks), {"group": procedure.group})

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
    figures = validation.figures(procedure)
    about = {name: plan.record[name] for name in ("options", "recipe", "shards")} | {"steps": recipe.steps} | figures
    write_autoencoder(run / MODEL_FILE, procedure.networks.average, about)
    write_png(run / GRID_FILE, validation.grid(procedure))
    write_json(run / RUN_FILE, dict(plan.record) | {"steps_done": recipe.steps, "figures": figures})
    waiting = f"{waited / elapsed:.0%} of the time was spent waiting for data" if elapsed else ""
    progress.note(f"{waiting}; {validation.summary(figures)}")


def _loader(plan: AePlan, start: int) -> Any:
    """Batches from the step `start` on, each in as many parts as --accumulate says."""
    options, recipe, shards = plan.options, plan.recipe, plan.shards
    # Subsets matter only to Eq. 8; without it images come in passes over all of them.
    group = recipe.num_classes if recipe.style_class else None
    order = SampleOrder(shards.shard_sizes, options.seed, group=group, passes=recipe.passes if group else 1)
    make = partial(pair_pixels, size=recipe.size, seed=options.seed)
    dataset = ShardDataset(shards, order, make, NUM_SKETCHES, options.skip_bad_shards)
    workers = options.workers
    if workers is None:
        workers = 1 if plan.device.type == "cpu" else min(8, max(usable_cores() - 1, 1))
    return batches(
        dataset,
        recipe.batch_size // options.accumulate,
        start * options.accumulate,
        (recipe.steps - start) * options.accumulate,
        workers=workers,
        pin_memory=plan.device.type == "cuda",
    )


def _grouped(parts: Any, count: int) -> Iterator[list[dict[str, Any]]]:
    waiting = []
    for part in parts:
        waiting.append(part)
        if len(waiting) == count:
            yield waiting
            waiting = []


def _digest(shards: ShardSet) -> str:
    """What is in the shards, from the manifest's own digests: the same wherever they lie."""
    return hashlib.sha256("".join(entry["sha256"] for entry in shards.manifest["shards"]).encode()).hexdigest()


def _precision(options: AeTrainOptions, device: torch.device) -> torch.dtype:
    if options.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[options.precision]


def _remove_run(run: Path, found: Mapping[str, Any] | None) -> None:
    """--fresh: remove the files of an earlier run of ours, and nothing else."""
    if found is None:
        return
    for name in (RUN_FILE, STATE_FILE, MODEL_FILE, GRID_FILE, "log.jsonl"):
        (run / name).unlink(missing_ok=True)
    for name in ("previews", "tensorboard"):
        shutil.rmtree(run / name, ignore_errors=True)
