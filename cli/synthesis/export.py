"""`sketchforge export`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import FOLDER, PATH, TOM_RUN, defaults_of, option, overwrite_option
from cli.verbosity import print_next_step
from sketchforge.options import ExportOptions

DEFAULTS = defaults_of(ExportOptions)


@click.command(
    "export",
    cls=Command,
    takes=("--run", "--out"),
    short_help="Put a trained model into one file.",
    epilog="Example: sketchforge export --run runs/gan --tom builtin --out model.safetensors",
)
@option(
    "--run",
    group="Input",
    type=FOLDER,
    default=DEFAULTS["run"],
    show_default=True,
    metavar="DIR",
    help="Finished run of `gan-train`, `ae-train`, `style2paints-train`, `segin-train` or "
    "`diffsketching-train`.",
)
@option(
    "--out",
    group="Output",
    type=PATH,
    default=DEFAULTS["out"],
    show_default=True,
    metavar="FILE.safetensors",
    help="Output; its model card goes beside it, as .md.",
)
@option(
    "--tom",
    group="Input",
    type=TOM_RUN,
    metavar="RUN",
    help="Run of `tom-train`, or `builtin`: one of its snapshots comes along, and the model can draw "
    "sketches, too. [default: none]",
)
@option(
    "--snapshot", group="Input", metavar="NAME|NUMBER", help="Which snapshot of it. [default: the first, 0]"
)
@overwrite_option("Replace files that are there.")
def export_command(**values: Any) -> None:
    """Put a trained model into one file, with a model card, to be used elsewhere."""
    from sketchforge.synthesis.export import export

    file, card = export(ExportOptions(**values))
    click.echo(f"{file}: {file.stat().st_size / 1e6:,.1f} MB; model card: {card}")
    print_next_step("synthesize", "--model", file, "--out", "made/")
