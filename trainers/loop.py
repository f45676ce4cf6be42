"""The loop of every training: batches -> step -> log -> evaluate when due -> save when due.

A system brings its trainer, which learns from one batch at a time, and its batches, in order. Where the run has a
folder, it brings what is written there; without, nothing is left but what the trainer has learned.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

from sketchforge.utils.progress import Progress
from sketchforge.utils.signals import deferred_signals

# At most this much work is lost to a power cut; states resume exactly, so when does not matter.
SAVE_SECONDS = 120

BatchT = TypeVar("BatchT")
BatchT_contra = TypeVar("BatchT_contra", contravariant=True)


class TrainingStep(Protocol[BatchT_contra]):
    """What the loop trains: zero, accumulate, learning rate, optimiser step, EMA."""

    def step(self, number: int, batch: BatchT_contra) -> dict[str, float]:
        """Step `number`, counted from 0, of the batch that is its turn; returns the unweighted losses.

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
    """Train from step `start`, so many being done, until `steps` are. `batches` begin at `start`, too.

    evaluate(steps done) returns figures for the log. save(steps done) is called every `save_every` steps (None: every
    SAVE_SECONDS), at the end, and on Ctrl-C or whatever else goes wrong between two steps: no step is lost. When
    a step itself fails nothing is saved, for the state may be half changed. FloatingPointError says at which step a
    loss was not finite, and which state is kept.
    """
    progress = progress or Progress()
    step = saved = start
    saved_at = time.monotonic()
    whole = True  # no step is half done
    with _told(progress, start, steps):
        try:
            while step < steps:
                batch = next(batches)  # the one place where Ctrl-C is let in; it may wait long for data
                with deferred_signals(signal.SIGINT, signal.SIGTERM):
                    whole = False
                    losses = trainer.step(step, batch)
                    step += 1
                    log(step, losses)
                    progress.advance(**losses)
                    if step in evaluate_at:
                        log(step, evaluate(step))
                    whole = True
                    overdue = time.monotonic() - saved_at > SAVE_SECONDS
                    if step == steps or (step % save_every == 0 if save_every else overdue):
                        save(step)
                        saved, saved_at = step, time.monotonic()
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} at step {step}; the state of step {saved} is kept") from None
        finally:
            if whole and saved < step:
                with deferred_signals(signal.SIGINT, signal.SIGTERM):
                    save(step)


@contextmanager
def _told(progress: Progress, start: int, steps: int) -> Iterator[None]:
    if start:
        progress.note(f"continuing after step {start}")
    progress.begin("step", steps, start)
    try:
        yield
    finally:
        progress.end()
