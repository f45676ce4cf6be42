"""`sketchforge tom-train`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.command import Command
from cli.options import (
    FOLDER,
    computing_options,
    defaults_of,
    images_option,
    option,
    run_options,
)
from cli.progress import Bar
from cli.source_types import Pixels, SourceText
from cli.train.options import precision_option
from cli.train.run import announce, one_voice, print_plan
from cli.verbosity import print_next_step
from sketchforge.options import RenderOptions, TomTrainOptions
from sketchforge.utils.text import count_noun

DEFAULTS = defaults_of(TomTrainOptions)
RENDERED = RenderOptions.checkpoints  # snapshots that `render` draws with unless told otherwise


@click.command(
    "tom-train",
    cls=Command,
    takes=("--images", "--drawings"),
    short_help="Learn to draw photos in the style of a few drawings.",
    epilog="Example: sketchforge tom-train --images photos/ --drawings drawings/ --run runs/mine",
)
@images_option("Photos: a folder, tars or a list, as for `render`. [default: the built-in photos]")
@option(
    "--drawings",
    group="Input",
    type=FOLDER,
    metavar="DIR",
    help="Folder of line drawings; twenty will do. Light on dark is turned round. [default: the built-in drawings]",
)
@option(
    "--encoder",
    group="Training",
    type=SourceText("builtin", "vgg16", "vgg19", "random"),
    default=DEFAULTS["encoder"],
    show_default=True,
    metavar="builtin|vgg16|vgg19|random|PATH",
    help="Frozen encoder: ours, torchvision's, an untrained one, or a weights file.",
)
@option(
    "--generator",
    group="Training",
    type=click.Choice(["lean", "paper"]),
    default=DEFAULTS["generator"],
    show_default=True,
    help="lean: small, fed several layers; paper: the authors', fed one (a hundred times the work).",
)
@option(
    "--adversarial",
    group="Training",
    type=click.Choice(["hinge", "log"]),
    default=DEFAULTS["adversarial"],
    show_default=True,
    help="hinge: as the authors trained; log: as the paper prints (Eqs. 5-6).",
)
@option(
    "--size",
    group="Training",
    type=Pixels(min=32, max=1024),
    default=DEFAULTS["size"],
    show_default=True,
    metavar="PIXELS",
    help="Side of the square training crops, a multiple of 8.",
)
@option(
    "--steps",
    group="Training",
    type=click.IntRange(min=1),
    default=DEFAULTS["steps"],
    show_default=True,
    metavar="N",
    help="Training steps.",
)
@option(
    "--batch-size",
    group="Training",
    type=click.IntRange(min=1),
    default=DEFAULTS["batch_size"],
    show_default=True,
    metavar="N",
    help="Photos and drawings per step.",
)
@option(
    "--snapshots",
    group="Training",
    type=click.IntRange(min=1, max=100),
    default=DEFAULTS["snapshots"],
    show_default=True,
    metavar="N",
    help="How many generators to keep, each a style.",
)
@run_options(DEFAULTS["run"])
@precision_option(DEFAULTS["precision"])
@computing_options(DEFAULTS)
def tom_train_command(dry_run: bool, **values: Any) -> None:
    """Train TOM: learn to draw photos in the style of a few drawings, and keep N generators, each a style.

    The same command again continues a run that was interrupted. The run folder ends with the snapshots, the reasons
    for choosing them (selection.json), a log and a contact sheet; `sketchforge render` draws with it.
    """
    from trainers.distributed import is_main_process
    from trainers.tom.plan import plan_tom
    from trainers.tom.run import train_tom

    options = TomTrainOptions(**values)
    if dry_run:
        plan = plan_tom(options, progress=Bar())
        print_plan([_describe(plan), *_describe_passed_over(plan), *plan.notes])
        return
    bar = Bar(delay=0)
    with one_voice(options.run, options.overwrite, bar):
        sheet = train_tom(options, bar, announce=lambda plan: _announce(plan, options))
    if not is_main_process():
        return
    click.echo(f"{count_noun(options.snapshots, 'snapshot')} in {options.run}, contact sheet: {sheet}")
    if "step" in bar.units:
        images = [] if options.images is None else ["--images", options.images]
        few = ["--checkpoints", str(options.snapshots)] if options.snapshots < RENDERED else []
        shards = "out/" if not Path("out").exists() else f"out-{options.run.name}/"
        print_next_step("render", *images, "--tom", options.run, *few, "--shards", shards)


def _announce(plan: Any, options: TomTrainOptions) -> None:
    def lines() -> list[str]:
        return [
            _describe(plan),
            *_describe_passed_over(plan),
            *_describe_defaults(options),
            *plan.notes,
        ]

    announce(plan, lines, f"{options.run}: finished already")


def _describe(plan: Any) -> str:
    options = plan.options
    photos, drawings = plan.record["photos"], plan.record["drawings"]
    device = plan.record["options"]["device"]
    threads = f" with {count_noun(plan.record['options']['threads'], 'thread')}" if device == "cpu" else ""
    return (
        f"{count_noun(photos['count'], 'photo')} ({options.images or 'built-in'}), "
        f"{count_noun(drawings['count'], 'drawing')} "
        f"({options.drawings or 'built-in'}); encoder {options.encoder}, "
        f"{count_noun(options.steps, 'step')} of {options.batch_size} "
        f"crops at {options.size} pixels on {device}{threads} -> {count_noun(options.snapshots, 'snapshot')} "
        f"in {options.run}"
    )


def _describe_passed_over(plan: Any) -> list[str]:
    from sketchforge.images.sources import describe_passed_over

    return [line] if (line := describe_passed_over(plan.passed_over)) else []


def _describe_defaults(options: TomTrainOptions) -> list[str]:
    missing = [name for name in ("images", "drawings") if getattr(options, name) is None]
    return [f"no --{' and no --'.join(missing)} given: using the built-in ones"] if missing else []
