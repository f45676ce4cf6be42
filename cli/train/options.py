"""Options that the trainings of image models share, and the lines that they print about a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from cli.options import FOLDER, device_option, on_interrupt, seed_option, threads_option
from cli.progress import Bar
from sketchforge.errors import SketchforgeError

LOCATION = "DIR|URL"
FINISHED = "finished already; more --steps go on"


def data_options(defaults: dict[str, Any]) -> Callable[[Any], Any]:
    """Add the options for shards, run folder, recipe and amount of training."""
    return _stack_options(
        click.option("--shards", default=defaults["shards"], show_default=True, metavar=LOCATION,
                     help="Shards made by `render`: a folder, its URL, or a text with {} for the file name, as in "
                          "'pipe:aws s3 cp s3://bucket/out/{} -'."),
        click.option("--validation", metavar=LOCATION,
                     help="Shards of other images, for previews and the reconstruction curve. "
                          "[default: the same images]"),
        click.option("--run", type=FOLDER, default=defaults["run"], show_default=True, metavar="DIR",
                     help="Where all goes."),
        click.option("--recipe", type=click.Choice(["demo", "paper"]), default=defaults["recipe"], show_default=True,
                     help="demo: 64 pixels, minutes on two cores; paper: as published, days on a GPU."),
        click.option("--size", type=int, metavar="PIXELS", help="64, 128, 256, 512 or 1024. [default: the recipe's]"),
        click.option("--steps", type=click.IntRange(min=1), metavar="N",
                     help="Training steps; a run that is done goes on when asked for more. [default: the recipe's]"),
        click.option("--batch-size", type=click.IntRange(min=2), metavar="N",
                     help="Images per step. [default: the recipe's]"),
        click.option("--accumulate", type=click.IntRange(min=1), default=defaults["accumulate"], show_default=True,
                     metavar="N", help="Accumulate gradients over so many micro-batches a step, to save memory."),
    )  # fmt: skip


def machine_options(defaults: dict[str, Any]) -> Callable[[Any], Any]:
    """Add the options for encoder, precision, processes, evaluation, cache and device."""
    return _stack_options(
        click.option("--encoder", default=defaults["encoder"], show_default=True, metavar="builtin|vgg16|vgg19|PATH",
                     help="Frozen encoder of the perceptual loss."),
        click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default=defaults["precision"],
                     show_default=True, help="auto: bfloat16 on CUDA, else float32."),
        click.option("--compile", is_flag=True, help="torch.compile: slow to begin, faster after."),
        click.option("--workers", type=click.IntRange(min=0), metavar="N",
                     help="Processes that prepare data. [default: 1 on a CPU, up to 8 for a GPU]"),
        click.option("--eval-every", type=click.IntRange(min=1), metavar="N",
                     help="Every N steps, measure the Fréchet distance of mismatched images, too (in the built-in "
                          "encoder's features), and keep the best model so far as best.safetensors."),
        click.option("--best-by", type=click.Choice(["reconstruction", "perceptual", "frechet"]),
                     default=defaults["best_by"], show_default=True, help="The figure that says which is best."),
        click.option("--cache", type=FOLDER, metavar="DIR",
                     help="Keep shards of a URL here. [default: for this run only]"),
        click.option("--skip-bad-shards", is_flag=True, help="Pass over what cannot be read, and count it."),
        seed_option(defaults["seed"]),
        threads_option(defaults["threads"]),
        device_option(defaults["device"]),
        click.option("--overwrite", is_flag=True, help="Discard what the run folder holds and begin anew."),
        click.option("--dry-run", is_flag=True, help="Say what would be done, write nothing."),
    )  # fmt: skip


def describe_run(plan: Any, parameters: int) -> list[str]:
    """Return the lines that say what a training will do. plan: of trainers/image_models/train.py."""
    options, recipe = plan.options, plan.recipe
    device = plan.record["options"]["device"]
    threads = f" with {plan.record['options']['threads']} threads" if device == "cpu" else ""
    held_out = f", {plan.validation.num_samples} held out" if plan.validation else ""
    lines = [
        f"{plan.shards.num_samples} images with {len(plan.shards.styles)} sketches each ({options.shards}){held_out}; "
        f"{parameters / 1e6:.1f} million parameters, {recipe.steps} steps of {recipe.batch_size} at {recipe.size} px on "
        f"{device}{threads}, {plan.record['options']['precision']} -> {options.run}"
    ]
    if plan.shards.side < recipe.size:
        lines.append(f"the shards have {plan.shards.side} px and are enlarged to {recipe.size}")
    return lines


def announce(plan: Any, lines: Callable[[], list[str]], finished: str) -> None:
    """Print what is about to be trained, or `finished` if it is; only the main process prints."""
    from trainers.distributed import is_main_process

    if is_main_process():
        for line in [finished] if plan.finished else lines():
            click.echo(line)


@contextmanager
def one_voice(explain: Callable[[], str]) -> Iterator[None]:
    """Of all ranks of a training, let one say what went wrong, or on an interrupt what `explain` returns."""
    try:
        with on_interrupt(explain, speaks=_is_main_process):
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
        raise type(error)(f"rank {ranks.rank}: {error}") from None


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"  # asked before torch is imported, too


def _tell_ranks(word: str) -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1":
        from trainers.distributed import Ranks

        with suppress(SketchforgeError):  # they cannot be reached
            Ranks.from_environment().say(word)


def resume_hint(run: Path, overwrite: bool, bar: Bar) -> str:
    """Say of an interrupted run what is kept and how to go on."""
    from sketchforge.checkpoints.runs import read_steps_done

    if not read_steps_done(run) or (overwrite and not bar.total):
        return "no step was trained yet"
    hint = " without --overwrite" if overwrite else ""
    return f"{run} keeps every step that was done; run the same command again{hint} to continue"


def print_summary(options: Any) -> None:
    """Print where a finished run has left its model; only the main process prints."""
    from trainers.distributed import is_main_process
    from trainers.image_models.train import GRID_FILE, MODEL_FILE

    if not is_main_process():
        return
    click.echo(f"model: {options.run / MODEL_FILE}, sketches × styles: {options.run / GRID_FILE}")


def _stack_options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Combine several option decorators, which `--help` lists in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
