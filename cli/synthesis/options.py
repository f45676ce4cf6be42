"""What `synthesize`, `mix` and `transfer` share: options, the bar, and the summary that is printed at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.options import FOLDER, PATH, defaults_of, device_option, on_interrupt, threads_option
from cli.progress import Bar
from sketchforge.options import SynthesisOptions

DEFAULTS = defaults_of(SynthesisOptions)


def images_input_option(name: str, help: str) -> Callable[[Any], Any]:
    # Text, not paths: patterns, lists and tars will do, too (sketchforge/images/sources/find.py).
    return click.option(name, multiple=True, metavar="SRC…", help=help)


def synthesis_options(styles: str) -> Callable[[Any], Any]:
    """Add --style and the options that all three commands share.

    styles: help text of --style.
    """
    options = (
        images_input_option("--style", styles),
        click.option("--model", type=PATH, metavar="FILE|DIR",
                     help="A file of `export`, or a run of `gan-train` or `ae-train`. "
                          "[default: runs/gan, else runs/ae]"),
        click.option("--out", type=FOLDER, required=True, metavar="DIR", help="Output folder."),
        click.option("--noise/--no-noise", default=DEFAULTS["noise"], show_default=True,
                     help="Give the refiner noise: other detail for every --seed."),
        click.option("--seed", type=click.IntRange(min=0), default=DEFAULTS["seed"], show_default=True,
                     metavar="N", help="Of the noise."),
        click.option("--batch-size", type=click.IntRange(min=1), metavar="N",
                     help="Images made at once. [default: 1 on a CPU, 16 on a GPU]"),
        click.option("--overwrite", is_flag=True,
                     help="Replace what an earlier run of ours left in the output folder."),
        threads_option(DEFAULTS["threads"]),
        device_option(DEFAULTS["device"]),
    )  # fmt: skip

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def run_and_report(options: SynthesisOptions) -> None:
    """Run the synthesis that the options describe, with a progress bar, and print a summary."""
    from sketchforge.synthesis.job import run_job

    bar = Bar()
    with on_interrupt(lambda: _resume_hint(options, bar)):
        summary = run_job(options, bar)
    outcome = f"{summary.num_made} images" if summary.num_made != 1 else "1 image"
    if summary.num_made == 0:
        outcome = f"complete already, {summary.num_kept} images"
    elif summary.num_kept:
        outcome += f", {summary.num_kept} kept"
    click.echo(f"{options.out}: {outcome}; side by side: {summary.grid}")
    if summary.left_out:
        click.echo(f"{summary.grid} shows {summary.left_out}")


def _resume_hint(options: SynthesisOptions, bar: Bar) -> str:
    """Say of an interrupted run what is kept and how to go on."""
    if bar.unit != "image":
        return "no image was made yet"
    hint = " without --overwrite" if options.overwrite else ""
    return (
        f"{bar.done} of {bar.total} images were made and are kept in {options.out}; run the same "
        f"command again{hint} for the rest"
    )
