"""Options that the trainings of image models share, and the lines that they print about a run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from cli.options import (
    ENCODER,
    FOLDER,
    computing_options,
    on_interrupt,
    option,
    run_options,
    stack_options,
)
from cli.progress import Bar
from cli.source_types import Pixels, SourceText
from cli.verbosity import print_next_step, print_note
from sketchforge.errors import SketchforgeError
from sketchforge.utils.text import count_noun

LOCATION = "DIR|URL"
FINISHED = "finished already; more --steps go on"
CUT_OFF_SECONDS = 1.5  # for what is said and ended before a process is cut off


RECIPES = {
    "demo": "demo: 64 pixels, minutes on two cores",
    "large": "large: the same at 1024, days on a GPU",
    "paper": "paper: as published",
}


def data_options(
    defaults: dict[str, Any], recipes: tuple[str, ...] = ("demo", "large", "paper")
) -> Callable[[Any], Any]:
    """Add the options for shards, run folder, recipe (of `recipes`) and amount of training."""
    return stack_options(
        option(
            "--shards",
            group="Input",
            default=defaults["shards"],
            show_default=True,
            type=SourceText(),
            metavar=LOCATION,
            help="Shards made by `render`: a folder, its URL, or a text with {} for the file name, as in "
            "'pipe:aws s3 cp s3://bucket/out/{} -'.",
        ),
        option(
            "--split",
            group="Input",
            metavar="NAME",
            help="Which split of the shards to train on (render --split), or `all`. "
            "[default: train where there is one, else all]",
        ),
        option(
            "--validation",
            group="Input",
            type=SourceText(),
            metavar=LOCATION,
            help="Shards of other images, for previews and the reconstruction curve. "
            "[default: the shards' split val where they have one, else the same images]",
        ),
        option(
            "--redraw",
            group="Training",
            type=click.FloatRange(0, 1),
            default=defaults["redraw"],
            show_default=True,
            metavar="0..1",
            help="Share of the sketches that are drawn anew every time, from strokes that `render --strokes` kept: "
            "others left out, another width, another deformation.",
        ),
        option(
            "--recipe",
            group="Training",
            type=click.Choice(recipes),
            default=defaults["recipe"],
            show_default=True,
            help=f"{'; '.join(RECIPES[name] for name in recipes)}.",
        ),
        option(
            "--size",
            group="Training",
            type=Pixels(min=1),
            metavar="PIXELS",
            help="64, 128, 256, 512 or 1024. [default: the recipe's]",
        ),
        option(
            "--steps",
            group="Training",
            type=click.IntRange(min=1),
            metavar="N",
            help="Training steps; a run that is done goes on when asked for more. [default: the recipe's]",
        ),
        option(
            "--batch-size",
            group="Training",
            type=click.IntRange(min=2),
            metavar="N",
            help="Images per step. [default: the recipe's]",
        ),
        option(
            "--accumulate",
            group="Training",
            type=click.IntRange(min=1),
            default=defaults["accumulate"],
            show_default=True,
            metavar="N",
            help="Accumulate gradients over so many micro-batches a step, to save memory.",
        ),
    )


def machine_options(defaults: dict[str, Any], perceives: bool = True) -> Callable[[Any], Any]:
    """Add the options for precision, processes, evaluation, cache and device; with a perceptual loss for its encoder."""
    encoder_options = [
        option(
            "--encoder",
            group="Training",
            type=ENCODER,
            default=defaults["encoder"],
            show_default=True,
            metavar="builtin|vgg16|vgg19|PATH",
            help="Frozen encoder of the perceptual loss.",
        )
    ]
    figures = ["reconstruction", *(["perceptual"] if perceives else []), "frechet"]
    return stack_options(
        *(encoder_options if perceives else ()),
        precision_option(defaults["precision"]),
        option(
            "--compile", group="Machine", is_flag=True, help="torch.compile: slow to begin, faster after."
        ),
        option(
            "--workers",
            group="Machine",
            type=click.IntRange(min=0),
            metavar="N",
            help="Processes that prepare data. [default: 1 on a CPU, up to 8 for a GPU]",
        ),
        option(
            "--eval-every",
            group="Evaluation",
            type=click.IntRange(min=1),
            metavar="N",
            help="Every N steps, measure the Fréchet distance of mismatched images, too (in the built-in "
            "encoder's features), and keep the best model so far as best.safetensors.",
        ),
        option(
            "--best-by",
            group="Evaluation",
            type=click.Choice(figures),
            default=defaults["best_by"],
            show_default=True,
            help="The figure that says which is best.",
        ),
        option(
            "--cache",
            group="Input",
            type=FOLDER,
            metavar="DIR",
            help="Keep shards of a URL here. [default: for this run only]",
        ),
        option(
            "--skip-bad-shards",
            group="Input",
            is_flag=True,
            help="Pass over what cannot be read, and count it.",
        ),
        run_options(defaults["run"]),
        computing_options(defaults),
    )


def precision_option(default: str) -> Callable[[Any], Any]:
    return option(
        "--precision",
        group="Machine",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default=default,
        show_default=True,
        help="auto: bfloat16 on CUDA, else float32.",
    )


def describe_run(plan: Any, parameters: int) -> list[str]:
    """Return the lines that say what a training will do. plan: of trainers/image_models/train.py."""
    options, recipe = plan.options, plan.recipe
    device = plan.record["options"]["device"]
    threads = f" with {count_noun(plan.record['options']['threads'], 'thread')}" if device == "cpu" else ""
    held_out = f", {plan.validation.num_samples} held out" if plan.validation else ""
    lines = [
        f"{count_noun(plan.shards.num_samples, 'image')} with "
        f"{count_noun(len(plan.shards.styles), 'sketch')} each ({options.shards}){held_out}; "
        f"{parameters / 1e6:.1f} million parameters, {count_noun(recipe.steps, 'step')} of "
        f"{recipe.batch_size} at {recipe.size} pixels on "
        f"{device}{threads}, {plan.record['options']['precision']} -> {options.run}"
    ]
    if options.recipe == "demo" and recipe.size == 64:
        lines.append("64 pixels: a demonstration; --size 128 takes about four times as long a step")
    if plan.shards.side < recipe.size:
        lines.append(f"the shards have {plan.shards.side} pixels and are enlarged to {recipe.size}")
    return lines


def announce(plan: Any, lines: Callable[[], list[str]], finished: str) -> None:
    """Print what is about to be trained, or `finished` if it is; only the main process prints."""
    from trainers.distributed import is_main_process

    if is_main_process():
        for line in [finished] if plan.finished else lines():
            print_note(line)


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
                click.echo(f"\ninterrupted: {resume_hint(run, overwrite, bar, cut_off=True)}", err=True)
            for worker in multiprocessing.active_children():
                worker.kill()

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
        _tell_ranks("failed")
        if _is_main_process():
            raise
        from trainers.distributed import Ranks

        ranks = Ranks.from_environment()
        if ranks.roll_call.lower_rank_ends():
            raise click.exceptions.Exit(error.exit_code) from None
        raise type(error)(f"rank {ranks.rank}: {error}") from error.__cause__


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"  # asked before torch is imported, too


def _tell_ranks(word: str) -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1":
        from trainers.distributed import Ranks

        with suppress(SketchforgeError):  # they cannot be reached
            Ranks.from_environment().say(word)


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
