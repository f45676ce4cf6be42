"""How the commands of trainings run them: one voice for all ranks, and the lines that they print about a run."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from cli.options import on_interrupt
from cli.progress import Bar
from cli.verbosity import print_error, print_next_step, print_note
from sketchforge.errors import SketchforgeError
from sketchforge.utils.text import count_noun

FINISHED = "finished already; more --steps go on"
CUT_OFF_SECONDS = 1.5  # for what is said and ended before a process is cut off


def run_training(
    options: Any,
    dry_run: bool,
    plan_training: Callable[[Any], Any],
    train: Callable[[Any, Bar, Callable[[Any], None]], Any],
    describe: Callable[[Any], list[str]],
    next_step: Sequence[str | Path] | None = None,
) -> None:
    """Plan a training of an image model and describe it, or train it and say what it left.

    plan_training, train: of trainers/SYSTEM/run.py. describe: the lines about a plan. next_step: the words of a command
    that uses the model; by default `synthesize`.
    """
    if dry_run:
        print_plan(describe(plan_training(options)))
        return
    bar = Bar(delay=0)
    with one_voice(options.run, options.overwrite, bar):
        finished = f"{options.run}: {FINISHED}"
        train(options, bar, lambda plan: announce(plan, lambda: describe(plan), finished))
    print_summary(options, bar, next_step or ("synthesize", "--model", options.run, "--out", "made/"))


def describe_run(plan: Any, parameters: int, larger: str = "up to twice") -> list[str]:
    """Return the lines that say what a training will do. plan: of trainers/image_models/train.py.

    larger: how many times as long a step takes at 128 pixels as at 64.
    """
    options, recipe = plan.options, plan.recipe
    device = plan.record["options"]["device"]
    threads = f" with {count_noun(plan.record['options']['threads'], 'thread')}" if device == "cpu" else ""
    held_out = f", {plan.validation.num_samples} held out" if plan.validation else ""
    lines = [
        *plan.notes,
        f"{count_noun(plan.shards.num_samples, 'image')} with "
        f"{count_noun(len(plan.shards.styles), 'sketch')} each ({options.shards}){held_out}; "
        f"{parameters / 1e6:.1f} million parameters, {count_noun(recipe.steps, 'step')} of "
        f"{recipe.batch_size} at {recipe.size} pixels on "
        f"{device}{threads}, {plan.record['options']['precision']} -> {options.run}",
    ]
    if options.recipe == "demo" and recipe.size == 64:
        lines.append(f"64 pixels: a demonstration; --size 128 takes {larger} as long a step")
    if plan.shards.side < recipe.size:
        lines.append(f"the shards have {plan.shards.side} pixels and are enlarged to {recipe.size}")
    return lines


def announce(plan: Any, lines: Callable[[], list[str]], finished: str) -> None:
    """Print what is about to be trained, or `finished` if it is; only the main process prints."""
    from trainers.distributed import is_main_process

    if is_main_process():
        for line in [finished] if plan.finished else lines():
            print_note(line)


def print_plan(lines: Sequence[str]) -> None:
    """Print what a dry run tells: from the main process only."""
    if _is_main_process():
        click.echo("\n".join(lines))


@contextmanager
def one_voice(run: Path, overwrite: bool, bar: Bar) -> Iterator[None]:
    """Of all ranks of a training, let one say what went wrong, or on an interrupt what is kept and how to go on.

    bar: of the training. A signal that the main thread does not handle in time ends the process all the same.
    """
    import multiprocessing

    from trainers.deadline import ended_in_time

    unsaid = threading.Lock()  # taken by the thread that speaks

    def speaks() -> bool:
        return _is_main_process() and unsaid.acquire(blocking=False)

    def cut_off() -> None:
        _tell_ranks("stopped")
        with suppress(OSError):  # nobody reads what is said, or a worker is gone already
            if speaks():
                print_error(f"\ninterrupted: {resume_hint(run, overwrite, bar, cut_off=True)}")
            for worker in multiprocessing.active_children():
                worker.kill()
            # What multiprocessing itself removes where a process may end in its own time.
            if folder := getattr(multiprocessing.current_process(), "_config", {}).get("tempdir"):
                shutil.rmtree(folder, ignore_errors=True)

    def end(number: int) -> None:
        # In a thread of its own: a disk, a pipe or another rank may not answer.
        thread = threading.Thread(target=cut_off, daemon=True)
        thread.start()
        thread.join(CUT_OFF_SECONDS)
        os._exit(128 + number)

    try:
        with ended_in_time(end), on_interrupt(lambda: resume_hint(run, overwrite, bar), speaks):
            yield
    except KeyboardInterrupt:
        _tell_ranks("stopped")
        raise
    except SketchforgeError as error:
        _tell_ranks("failed", str(error))
        if _is_main_process():
            raise
        from trainers.distributed import Ranks

        ranks = Ranks.from_environment()
        ranks.disconnect()  # so that rank 0, which may wait for this one, notices
        if ranks.roll_call.lower_rank_ends():
            raise click.exceptions.Exit(error.exit_code) from None
        raise type(error)(f"rank {ranks.rank}: {error}") from error.__cause__


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"  # asked before torch is imported, too


def _tell_ranks(word: str, text: str = "") -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1":
        from trainers.distributed import Ranks

        with suppress(SketchforgeError):  # they cannot be reached
            Ranks.from_environment().say(word, text)


def resume_hint(run: Path, overwrite: bool, bar: Bar, cut_off: bool = False) -> str:
    """Say of an interrupted run what is kept and how to go on. cut_off: steps may have been done since."""
    from sketchforge.checkpoints.runs import read_steps_done

    steps = read_steps_done(run)
    if not steps or (overwrite and "step" not in bar.units):
        return "no step is kept" if cut_off else "no step was trained yet"
    hint = " without --overwrite" if overwrite else ""
    kept = f"the first {count_noun(steps, 'step')}" if cut_off else "every step that was done"
    return f"{run} keeps {kept}; run the same command again{hint} to continue"


def print_summary(options: Any, bar: Bar, next_step: Sequence[str | Path]) -> None:
    """Print where a finished run has left its model, and a command that uses it: from the main process only.

    bar: of the training; where it counted no step, nothing was done, and no next step is named.
    """
    from trainers.distributed import is_main_process
    from trainers.image_models.train import GRID_FILE, MODEL_FILE

    if not is_main_process():
        return
    click.echo(f"model: {options.run / MODEL_FILE}, sketches × styles: {options.run / GRID_FILE}")
    if "step" in bar.units:
        print_next_step(*next_step)
