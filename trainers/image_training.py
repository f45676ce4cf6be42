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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from sketchforge.checkpoints.encoder import encoder_digest, load_encoder
from sketchforge.checkpoints.run_log import RunLog
from sketchforge.checkpoints.runs import RUN_FILE, check_continues, read_record, record_or_empty
from sketchforge.data.augment import pair_pixels, stored_pair
from sketchforge.data.augment_gpu import PairBatches
from sketchforge.data.dataset import ShardDataset
from sketchforge.data.loader import batches
from sketchforge.data.order import SampleOrder
from sketchforge.data.prefetch import DevicePrefetch, moved
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.encode import write_png
from sketchforge.models.encoder import Encoder
from sketchforge.options import ImageTrainOptions
from sketchforge.shards.shard_set import ShardSet, open_shards, shards_digest
from sketchforge.utils.device import choose_device, choose_precision, set_threads, usable_cores
from sketchforge.utils.files import write_json
from trainers.best_model import BEST_FILE, BestModel
from trainers.loop import STATE_FILE, TrainProgress, restore_state, run_steps, save_state
from trainers.previews import Validation
from trainers.ranks import Ranks

RUN_VERSION = 1
MODEL_FILE, GRID_FILE = "model.safetensors", "grid.png"
NUM_PREVIEWS = 10  # over the whole run
NUM_SKETCHES = 2  # of an image that a step needs: one to draw out, another to compare it with (Eq. 10)
PERCEPTUAL_TAPS = (
    "relu1_2",
    "relu2_2",
    "relu3_2",
)  # of the frozen encoder: colour and texture more than objects


class Recipe(Protocol):
    """What every recipe has."""

    size: int
    steps: int
    batch_size: int

    def record(self) -> dict[str, Any]: ...


class Procedure(Protocol):
    """What is trained: a step, and pictures of where it stands."""

    networks: Any  # a dataclass of what a saved state holds
    encoder: Encoder | None

    def step(self, number: int, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """FloatingPointError before anything is changed when a loss is not finite."""

    def synthesize(self, sketches: Tensor, images: Tensor) -> Tensor: ...

    def extra(self) -> dict[str, Any]:
        """Plain values that belong to the state."""

    def resume(self, extra: Mapping[str, Any]) -> None: ...


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


def _recorded(shards: ShardSet) -> dict[str, Any]:
    """What tells these shards from others in run.json, wherever they lie."""
    return {"count": shards.num_samples, "digest": shards_digest(shards)}


def _remove_run(run: Path, found: Mapping[str, Any] | None) -> None:
    """--overwrite: remove the files of an earlier run of ours, and nothing else."""
    if found is None:
        return
    for name in (RUN_FILE, STATE_FILE, MODEL_FILE, BEST_FILE, GRID_FILE, "log.jsonl"):
        (run / name).unlink(missing_ok=True)
    for name in ("previews", "tensorboard"):
        shutil.rmtree(run / name, ignore_errors=True)
