"""One run of `encoder-train`: train in a run folder, calibrate, write one file, remove the folder."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sketchforge.checkpoints.encoder import (
    calibrate_on_photos,
    encoder_digest,
    read_encoder,
    write_encoder,
)
from sketchforge.checkpoints.runs import RUN_FILE
from sketchforge.checkpoints.tensor_files import read_metadata
from sketchforge.errors import SketchforgeError
from sketchforge.images.sources import describe_passed_over
from sketchforge.models.encoder import Encoder
from sketchforge.options import EncoderTrainOptions
from sketchforge.utils.progress import Progress
from sketchforge.utils.text import count_noun
from trainers.agreement import check_agreement
from trainers.distributed import Ranks
from trainers.encoder.distill import train_encoder
from trainers.encoder.plan import (
    SETTINGS,
    EncoderPlan,
    check_options,
    folder_labels,
    plan_encoder,
    run_folder_of,
)
from trainers.run_folder import LOG_FILE, RunFolder, hold_run
from trainers.state import STATE_FILE


@dataclass(frozen=True)
class EncoderSummary:
    """The file that `distil` wrote. errors: mean squared error over variance per tap, on images held out."""

    errors: dict[str, float]
    digest: str
    num_bytes: int
    num_images: int
    unreadable: dict[str, int]  # images left out, by reason


def distil(options: EncoderTrainOptions, progress: Progress) -> EncoderSummary | None:
    """Distil the teacher into the compact encoder, calibrate it on built-in photos and write it in float16.

    The file's metadata record its origin without any path of this machine. Faults of the options, the folders
    or the teacher raise UsageError or SketchforgeError before training begins. Unreadable images are skipped
    and counted. Until the file is written the run folder holds the state, from which a second call resumes;
    on a CPU it then writes the same bytes as an uninterrupted run. Of several ranks, rank 0 writes all files and
    returns the summary, the others None.
    """
    check_options(options)
    run, ranks = run_folder_of(options), Ranks.from_environment()
    with hold_run(run):
        plan = plan_encoder(options)
        check_agreement(ranks, run, plan.record, plan.steps_done, plan.finished)
        if not ranks.is_main_process:
            if not plan.finished:
                _train_network(plan, run, Progress())
            return None
        if plan.finished:
            progress.note(f"{options.out}: finished already")
            errors = read_metadata(options.out)["errors"]
        else:
            errors = _train(plan, run, progress)
        _remove_run(run)
    with suppress(OSError):  # other files are in it
        run.rmdir()
    return EncoderSummary(
        errors,
        encoder_digest(read_encoder(options.out)),
        options.out.stat().st_size,
        len(plan.readers),
        dict(Counter(reader.failure for reader in plan.readers if reader.failure)),
    )


def _train(plan: EncoderPlan, run: Path, progress: Progress) -> dict[str, float]:
    """Train, write the encoder and return its errors, on rank 0."""
    options, settings = plan.options, plan.record["options"]
    num_drawings = len(_load_drawings())
    for line in plan.notes:
        progress.note(line)
    progress.note(
        f"{count_noun(len(plan.readers), 'image')} in {count_noun(len(plan.folders), 'folder')}, {num_drawings} "
        f"built-in drawings, teacher {settings['teacher']}, {count_noun(options.steps, 'step')} on {plan.device} "
        f"with {count_noun(settings['threads'], 'thread')}"
    )
    if line := describe_passed_over(plan.passed_over):
        progress.note(line)
    if options.overwrite and plan.found is not None:
        _remove_run(run)
    trained = _train_network(plan, run, progress)
    assert trained is not None  # on rank 0
    encoder, errors = trained
    encoder = calibrate_on_photos(encoder.cpu())
    metadata: dict[str, Any] = {name: settings[name] for name in (*SETTINGS, "device", "threads")} | {
        "teacher": {"name": settings["teacher"], "sha256": plan.record["teacher"]},
        "images": [
            {
                "folder": label,
                "found": len(readers),
                "unreadable": sum(reader.failure is not None for reader in readers),
            }
            for label, readers in zip(folder_labels(options.images), plan.folders, strict=True)
        ],
        "drawings": num_drawings,
        "errors": errors,
    }
    write_encoder(options.out, encoder, metadata, torch.float16)
    return errors


def _train_network(
    plan: EncoderPlan, run: Path, progress: Progress
) -> tuple[Encoder, dict[str, float]] | None:
    """Train on this rank; see `train_encoder`."""
    options, folder = plan.options, RunFolder(run, plan.record, plan.steps_done)
    try:
        return train_encoder(
            plan.teacher,
            plan.readers,
            [partial(np.asarray, drawing) for drawing in _load_drawings()],
            steps=options.steps,
            batch_size=options.batch_size,
            size=options.size,
            seed=options.seed,
            device=plan.device,
            progress=progress,
            folder=folder,
            ranks=plan.ranks,
        )
    except FloatingPointError as error:
        raise SketchforgeError(
            f"{run}: {error}. Begin another --run with another --seed or fewer --steps"
        ) from None


def _load_drawings() -> list[np.ndarray]:
    """The built-in drawings, uint8 H×W×3."""
    from sketchforge.images.builtin.drawings import load_drawings

    return [np.repeat(drawing[:, :, None], 3, axis=2) for _, drawing in load_drawings(256)]


def _remove_run(run: Path) -> None:
    """Remove the files of a training, run.json last: what is left by an interruption is still a run of ours."""
    for name in (STATE_FILE, LOG_FILE):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "tensorboard", ignore_errors=True)
    (run / RUN_FILE).unlink(missing_ok=True)
