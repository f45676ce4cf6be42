"""`sketchforge tom-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.options import (
    FOLDER,
    defaults_of,
    device_option,
    images_option,
    seed_option,
    threads_option,
)
from cli.progress import Bar
from cli.train.options import announce, one_voice, resume_hint
from sketchforge.options import TomTrainOptions

DEFAULTS = defaults_of(TomTrainOptions)


@click.command(
    "tom-train", epilog="Example: sketchforge tom-train --images photos/ --drawings drawings/ --run runs/mine"
)
@images_option("Photos: a folder, tars or a list, as for `render`. [default: the built-in photos]")
@click.option(
    "--drawings",
    type=FOLDER,
    metavar="DIR",
    help="Folder of line drawings, dark on light; twenty will do. [default: the built-in drawings]",
)
@click.option(
    "--run", type=FOLDER, default=DEFAULTS["run"], show_default=True, metavar="DIR", help="Where all goes."
)
@click.option(
    "--encoder",
    default=DEFAULTS["encoder"],
    show_default=True,
    metavar="builtin|vgg16|vgg19|random|PATH",
    help="Frozen encoder: ours, torchvision's, an untrained one, or a weights file.",
)
@click.option(
    "--generator",
    type=click.Choice(["lean", "paper"]),
    default=DEFAULTS["generator"],
    show_default=True,
    help="lean: small, fed several layers; paper: the authors', fed one (a hundred times the work).",
)
@click.option(
    "--adversarial",
    type=click.Choice(["hinge", "log"]),
    default=DEFAULTS["adversarial"],
    show_default=True,
    help="hinge: as the authors trained; log: as the paper prints (Eqs. 5-6).",
)
@click.option(
    "--size",
    type=click.IntRange(min=32, max=1024),
    default=DEFAULTS["size"],
    show_default=True,
    metavar="PIXELS",
    help="Side of the square training crops, a multiple of 8.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=DEFAULTS["steps"],
    show_default=True,
    metavar="N",
    help="Training steps.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=DEFAULTS["batch_size"],
    show_default=True,
    metavar="N",
    help="Photos and drawings per step.",
)
@click.option(
    "--snapshots",
    type=click.IntRange(min=1, max=100),
    default=DEFAULTS["snapshots"],
    show_default=True,
    metavar="N",
    help="How many generators to keep, each a style.",
)
@seed_option(DEFAULTS["seed"])
@threads_option(DEFAULTS["threads"])
@device_option(DEFAULTS["device"])
@click.option("--overwrite", is_flag=True, help="Discard what the run folder holds and begin anew.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, write nothing.")
def tom_train_command(dry_run: bool, **values: Any) -> None:
    """Train TOM: learn to draw photos in the style of a few drawings, and keep N generators, each a style.

    The same command again continues a run that was interrupted. The run folder ends with the snapshots, the reasons
    for choosing them (selection.json), a log and a contact sheet; `sketchforge render` draws with it.
    """
    from trainers.tom.plan import plan_tom
    from trainers.tom.run import train_tom

    options = TomTrainOptions(**values)
    if dry_run:
        click.echo(_describe(plan_tom(options)))
        return
    bar = Bar(delay=0)
    with one_voice(lambda: resume_hint(options.run, options.overwrite, bar)):
        sheet = train_tom(options, bar, announce=lambda plan: _announce(plan, options))
    click.echo(f"{options.snapshots} snapshots in {options.run}, contact sheet: {sheet}")


def _announce(plan: Any, options: TomTrainOptions) -> None:
    lines = lambda: [_describe(plan), *_describe_defaults(options)]  # noqa: E731
    announce(plan, lines, f"{options.run}: finished already")


def _describe(plan: Any) -> str:
    options = plan.options
    photos, drawings = plan.record["photos"], plan.record["drawings"]
    device = plan.record["options"]["device"]
    threads = f" with {plan.record['options']['threads']} threads" if device == "cpu" else ""
    return (
        f"{photos['count']} photos ({options.images or 'built-in'}), {drawings['count']} drawings "
        f"({options.drawings or 'built-in'}); encoder {options.encoder}, {options.steps} steps of {options.batch_size} "
        f"crops at {options.size} px on {device}{threads} -> {options.snapshots} snapshots in {options.run}"
    )


def _describe_defaults(options: TomTrainOptions) -> list[str]:
    missing = [name for name in ("images", "drawings") if getattr(options, name) is None]
    return [f"no --{' and no --'.join(missing)} given: using the built-in ones"] if missing else []
