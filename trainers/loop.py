"""The loop of every training: batches -> step -> log -> evaluate when due -> save when due.

A system passes its trainer, which learns from one batch at a time, and its batches in order. Where the run
has a folder, the system also passes the functions that write to it. Without them, only the trainer changes.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

from sketchforge.utils.progress import Progress
from sketchforge.utils.signals import deferred_signals

# A power cut loses at most this much work. A state resumes exactly, so any moment will do.
SAVE_SECONDS = 120

BatchT = TypeVar("BatchT")
BatchT_contra = TypeVar("BatchT_contra", contravariant=True)


class TrainingStep(Protocol[BatchT_contra]):
    """What the loop trains: zero, accumulate, learning rate, optimiser step, EMA."""

    def step(self, number: int, batch: BatchT_contra) -> dict[str, float]:
        """Take step `number`, counted from 0, on its batch; return the unweighted losses.

        Raises FloatingPointError before any optimiser steps when a loss is not finite.
        """


def no_log(step: int, values: Mapping[str, float]) -> None: ...


def no_evaluation(step: int) -> Mapping[str, float]:
    return {}


def no_save(step: int) -> None: ...


def train(
    trainer: TrainingStep[BatchT],
    batches: Iterator[BatchT],
    start: int,
    steps: int,
    *,
    log: Callable[[int, Mapping[str, float]], None] = no_log,
    evaluate: Callable[[int], Mapping[str, float]] = no_evaluation,
    evaluate_at: Container[int] = (),
    save: Callable[[int], None] = no_save,
    save_every: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Train from step `start` (the number of steps done) up to `steps`. `batches` begin at step `start`.

    evaluate(steps done) returns values for the log, at each number of steps done in `evaluate_at`.
    save(steps done) is called every `save_every` steps (None: every SAVE_SECONDS), at the end, and on Ctrl-C
    or any other error between two steps: no step is lost. When a step itself fails, nothing is saved, for the
    state may be half changed.
    Raises FloatingPointError when a loss is not finite; it names the step, and the step whose state is kept.
    """
    progress = progress or Progress()
    step = saved_step = start
    saved_at = time.monotonic()
    between_steps = True  # no step is half done
    with _show_progress(progress, start, steps):
        try:
            while step < steps:
                batch = next(batches)  # the only place that Ctrl-C interrupts; it may wait long for data
                with deferred_signals(signal.SIGINT, signal.SIGTERM):
                    between_steps = False
                    losses = trainer.step(step, batch)
                    step += 1
                    log(step, losses)
                    progress.advance(**losses)
                    if step in evaluate_at:
                        log(step, evaluate(step))
                    between_steps = True
                    overdue = time.monotonic() - saved_at > SAVE_SECONDS
                    if step == steps or (step % save_every == 0 if save_every else overdue):
                        save(step)
                        saved_step, saved_at = step, time.monotonic()
        except FloatingPointError as error:
            raise FloatingPointError(
                f"{error} at step {step}; the state of step {saved_step} is kept"
            ) from None
        finally:
            if between_steps and saved_step < step:
                with deferred_signals(signal.SIGINT, signal.SIGTERM):
                    save(step)


@contextmanager
def _show_progress(progress: Progress, start: int, steps: int) -> Iterator[None]:
    if start:
        progress.note(f"continuing after step {start}")
    progress.begin("step", steps, start)
    try:
        yield
    finally:
        progress.end()
