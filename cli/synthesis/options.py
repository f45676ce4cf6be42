"""What `synthesize`, `mix` and `transfer` share: options, the bar, and the summary that is printed at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.options import (
    MODEL,
    PATH,
    defaults_of,
    device_option,
    on_interrupt,
    option,
    overwrite_option,
    stack_options,
    threads_option,
)
from cli.progress import Bar
from cli.source_types import SourceText
from sketchforge.options import SynthesisOptions
from sketchforge.utils.text import count_noun

DEFAULTS = defaults_of(SynthesisOptions)


def images_input_option(name: str, help: str) -> Callable[[Any], Any]:
    # Text, not paths: patterns, lists and tars will do, too (sketchforge/images/sources/find.py).
    return option(name, group="Input", type=SourceText(), multiple=True, metavar="SRC…", help=help)


def synthesis_options(styles: str) -> Callable[[Any], Any]:
    """Add --style and the options that all three commands share.

    styles: help text of --style.
    """
    return stack_options(
        images_input_option("--style", styles),
        option(
            "--model",
            group="Input",
            type=MODEL,
            metavar="builtin|FILE|DIR",
            help="The model that comes with the package (128 pixels), a file of `export`, or a run of `gan-train`, "
            "`ae-train`, `style2paints-train`, `segin-train` or `diffsketching-train`. [default: runs/gan, else runs/ae, else builtin]",
        ),
        option(
            "--out",
            group="Output",
            type=PATH,
            default=DEFAULTS["out"],
            show_default=True,
            metavar="DIR|FILE.png",
            help="Output folder; or a file, where there is one image to make.",
        ),
        option(
            "--noise/--no-noise",
            group="Look",
            default=DEFAULTS["noise"],
            show_default=True,
            help="Give the refiner noise: other detail for every --seed.",
        ),
        option(
            "--seed",
            group="Look",
            type=click.IntRange(min=0),
            default=DEFAULTS["seed"],
            show_default=True,
            metavar="N",
            help="Of the noise.",
        ),
        option(
            "--class",
            "class_name",
            group="Look",
            metavar="NAME",
            help="DiffSketching: class to guide to, of those that the model learnt: finer than the sketch's kind, or against it.",
        ),
        option(
            "--class-scale",
            group="Look",
            type=click.FloatRange(min=0),
            metavar="X",
            help="DiffSketching: how strongly --class guides. [default: the model's]",
        ),
        option(
            "--sampling-steps",
            group="Look",
            type=click.IntRange(1, 1000),
            metavar="N",
            help="DiffSketching: steps of sampling; fewer are quicker. [default: the model's]",
        ),
        option(
            "--strength",
            group="Look",
            type=click.FloatRange(0, 1, min_open=True),
            metavar="0..1",
            help="DiffSketching: how far the style image is noised before it is denoised: small values edit it, at 1 nothing is left of "
            "it. [default: the model's]",
        ),
        option(
            "--sketch-scale",
            group="Look",
            type=click.FloatRange(min=0),
            metavar="X",
            help="DiffSketching: how strongly the sketch guides, where it is no input of the network; 0: not at all. "
            "[default: the model's]",
        ),
        option(
            "--batch-size",
            group="Machine",
            type=click.IntRange(min=1),
            metavar="N",
            help="Images made at once. [default: 1 on a CPU, 16 on a GPU]",
        ),
        overwrite_option("Replace what an earlier run of ours left in the output folder."),
        threads_option(DEFAULTS["threads"]),
        device_option(DEFAULTS["device"]),
    )


def run_and_report(options: SynthesisOptions) -> None:
    """Run the synthesis that the options describe, with a progress bar, and print a summary."""
    from sketchforge.synthesis.job import run_job

    bar = Bar()
    with on_interrupt(lambda: _resume_hint(options, bar)):
        summary = run_job(options, bar)
    outcome = count_noun(summary.num_made, "image")
    if summary.num_made == 0:
        outcome = f"complete already, {count_noun(summary.num_kept, 'image')}"
    elif summary.num_kept:
        outcome += f", {summary.num_kept} kept"
    beside = f"; side by side: {summary.grid}" if summary.grid else ""
    click.echo(f"{options.out}: {outcome}{beside}")
    if summary.left_out:
        click.echo(f"{summary.grid} shows {summary.left_out}")


def _resume_hint(options: SynthesisOptions, bar: Bar) -> str:
    """Say of an interrupted run what is kept and how to go on."""
    if bar.unit != "image":
        return "no image was made yet"
    hint = " without --overwrite" if options.overwrite else ""
    return (
        f"{bar.done} of {count_noun(bar.total, 'image')} were made and are kept in {options.out}; run the "
        "same "
        f"command again{hint} for the rest"
    )
