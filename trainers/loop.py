"""The loop of every training: batches -> step -> log -> evaluate when due -> save when due.

A system passes its trainer, which learns from one batch at a time, and its batches in order. Where the run
has a folder, the system also passes the functions that write to it. Without them, only the trainer changes.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol, TypeVar

from sketchforge.errors import SketchforgeError
from sketchforge.utils.progress import Progress
from sketchforge.utils.signals import deferred_signals
from trainers.deadline import written_whole
from trainers.distributed import LostRankError
from trainers.safe_points import safe_points

# A power cut loses at most this much work. A state resumes exactly, so any moment will do.
SAVE_SECONDS = 120
# Before a step or an evaluation that takes longer than this all is saved, because a signal may cut it off; see
# `deadline`, whose time it must be well below.
LONG_SECONDS = 4

BatchT = TypeVar("BatchT")
BatchT_contra = TypeVar("BatchT_contra", contravariant=True)


class TrainingStep(Protocol[BatchT_contra]):
    """What the loop trains: zero, accumulate, learning rate, optimiser step, EMA."""

    @property
    def interruptible(self) -> bool:
        """Whether a signal may end a step or an evaluation in the middle; see `safe_points`."""

    @property
    def changing(self) -> bool:
        """Whether the state is half changed, in a step or after one that raised."""

    def step(self, number: int, batch: BatchT_contra) -> dict[str, float]:
        """Take step `number`, counted from 0, on its batch; return the unweighted losses.

        Raises FloatingPointError before any optimiser steps when a loss is not finite. Whatever is raised
        while `changing` is false leaves the state as it was before the step.
        """


class Progressed(NamedTuple):
    """How far a training is."""

    step: int = 0  # steps done
    evaluation_due: bool = False  # after `step`, before the next


def no_log(step: int, values: Mapping[str, float]) -> None: ...


def no_evaluation(step: int) -> Mapping[str, float]:
    return {}


def no_save(done: Progressed) -> None: ...


def no_meeting() -> None: ...


def train(
    trainer: TrainingStep[BatchT],
    batches: Iterator[BatchT],
    start: Progressed,
    steps: int,
    *,
    log: Callable[[int, Mapping[str, float]], None] = no_log,
    evaluate: Callable[[int], Mapping[str, float]] = no_evaluation,
    evaluate_at: Container[int] = (),
    save: Callable[[Progressed], None] = no_save,
    save_every: int | None = None,
    meet: Callable[[], None] = no_meeting,
    progress: Progress | None = None,
) -> None:
    """Train from `start` up to `steps`. `batches` begin at step `start.step`.

    evaluate(steps done) returns values for the log, at each number of steps done in `evaluate_at`. It may
    raise as long as it has changed nothing.
    save(how far) is called every `save_every` steps (None: every SAVE_SECONDS), before what takes LONG_SECONDS
    (as its like did last time, or the first evaluation might), at the end, and on Ctrl-C or any other error: no
    step is lost. Only where a step fails after it has begun to change the state, or the log fails, nothing is
    saved.
    meet() waits for the other ranks before every step, and raises LostRankError where one is gone.
    Raises SketchforgeError where a file cannot be written or a rank is lost, and FloatingPointError when a
    loss is not finite; either names the step, and the step whose state is kept.
    """
    progress = progress or Progress()
    done = saved = start
    saved_at = time.monotonic()
    step_seconds, evaluation_seconds = 0.0, math.inf  # what the last one took
    logging = False  # a line of the log may be missing
    with _show_progress(progress, start.step, steps):
        try:
            while done.evaluation_due or done.step < steps:
                if not done.evaluation_due:
                    batch = next(batches)  # Ctrl-C interrupts at once: this may wait long for data
                with deferred_signals(signal.SIGINT, signal.SIGTERM):
                    if done.evaluation_due:
                        began = time.monotonic()
                        with safe_points(trainer.interruptible):
                            values = evaluate(done.step)
                        evaluation_seconds = time.monotonic() - began
                        logging = True
                        log(done.step, values)
                        done, logging = Progressed(done.step), False
                    else:
                        meet()
                        began = time.monotonic()
                        with safe_points(trainer.interruptible):
                            losses = trainer.step(done.step, batch)
                        step_seconds = time.monotonic() - began
                        logging = True
                        step = done.step + 1
                        log(step, losses)
                        done, logging = Progressed(step, step in evaluate_at), False
                        progress.advance(**losses)
                    if done.evaluation_due:
                        due = evaluation_seconds > LONG_SECONDS
                    else:
                        overdue = time.monotonic() - saved_at > SAVE_SECONDS
                        due = done.step % save_every == 0 if save_every else overdue
                        due = due or done.step == steps
                    if done != saved and (due or step_seconds > LONG_SECONDS):
                        with written_whole():
                            save(done)
                        saved, saved_at = done, time.monotonic()
        except BaseException as error:
            unfinished = logging or trainer.changing
            if done != saved and not unfinished:
                # A full disk would refuse the state, too; what failed first is what is told.
                with (
                    deferred_signals(signal.SIGINT, signal.SIGTERM),
                    suppress(*((OSError, SketchforgeError) if isinstance(error, Exception) else ())),
                    written_whole(),
                ):
                    save(done)
                    saved = done
            kept = f"; the state of step {saved.step} is kept" if save is not no_save else ""
            if isinstance(error, FloatingPointError):
                raise FloatingPointError(f"{error} at step {done.step}{kept}") from None
            # Where a rank is lost, torchrun sends SIGTERM to the others: not what the user has to know.
            lost = error.__context__ if isinstance(error, KeyboardInterrupt) else error
            if isinstance(lost, LostRankError):
                raise LostRankError(f"{lost} at step {done.step}{kept}") from error
            if isinstance(error, OSError):
                raise SketchforgeError(f"{describe_os_error(error)} at step {done.step}{kept}") from error
            raise


def describe_os_error(error: OSError) -> str:
    """What and why, in a few words: "runs/ae/state.pt: No space left on device"."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{error.strerror or error}"


@contextmanager
def _show_progress(progress: Progress, start: int, steps: int) -> Iterator[None]:
    if start:
        progress.note(f"continuing after step {start}")
    progress.begin("step", steps, start)
    try:
        yield
    finally:
        progress.end()
