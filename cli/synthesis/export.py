"""`sketchforge export`"""

from __future__ import annotations

from typing import Any

import click

from cli.options import FOLDER, PATH, defaults_of, overwrite_option
from sketchforge.options import ExportOptions

DEFAULTS = defaults_of(ExportOptions)


@click.command(
    "export", epilog="Example: sketchforge export --run runs/gan --tom builtin --out model.safetensors"
)
@click.option(
    "--run",
    type=FOLDER,
    default=DEFAULTS["run"],
    show_default=True,
    metavar="DIR",
    help="Finished run of `gan-train`, or of `ae-train`.",
)
@click.option(
    "--out",
    type=PATH,
    default=DEFAULTS["out"],
    show_default=True,
    metavar="FILE.safetensors",
    help="Output; its model card goes beside it, as .md.",
)
@click.option(
    "--tom",
    type=FOLDER,
    metavar="RUN",
    help="Run of `tom-train`, or `builtin`: one of its snapshots comes along, and the model can draw "
    "sketches, too. [default: none]",
)
@click.option("--snapshot", metavar="NAME|NUMBER", help="Which snapshot of it. [default: the first, 0]")
@overwrite_option("Replace files that are there.")
def export_command(**values: Any) -> None:
    """Put a trained model into one file, with a model card, to be used elsewhere."""
    from sketchforge.synthesis.export import export

    file, card = export(ExportOptions(**values))
    click.echo(f"{file}: {file.stat().st_size / 1e6:,.1f} MB; model card: {card}")
