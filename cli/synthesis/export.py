"""`sketchforge export`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import MODEL, PATH, TOM_RUN, defaults_of, option, overwrite_option
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
    type=MODEL,
    metavar="RUN",
    help="Finished run of `gan-train`, `ae-train`, `style2paints-train`, `segin-train` or `diffsketching-train`; for .onnx "
    "also an exported file, or `builtin`. [default: runs/gan]",
)
@option(
    "--out",
    group="Output",
    type=PATH,
    default=DEFAULTS["out"],
    show_default=True,
    metavar="FILE",
    help="Output, .safetensors for sketchforge or .onnx for programs without torch; a card goes beside it, as .md.",
)
@option(
    "--tom",
    group="Input",
    type=TOM_RUN,
    metavar="RUN",
    help="Run of `tom-train`, or `builtin`: one of its snapshots comes along, and the model can draw "
    "sketches, too. For .onnx: its sketches in grey, and no model of images. [default: none]",
)
@option(
    "--snapshot",
    group="Input",
    metavar="NAME|NUMBER",
    help="Which snapshot of it. [default: the first, 0; for .onnx all]",
)
@overwrite_option("Replace files that are there.")
def export_command(**values: Any) -> None:
    """Put a trained model into one file, with a model card, to be used elsewhere.

    A file that ends in .onnx is compared with torch before it is written.
    """
    from sketchforge.synthesis.export import export
    from sketchforge.synthesis.onnx import ENDING

    options = ExportOptions(**values)
    if options.out.suffix == ENDING:
        from sketchforge.synthesis.onnx.export import export_onnx

        made = export_onnx(options)
        click.echo(
            f"{made.path}: {made.path.stat().st_size / 1e6:,.1f} MB; differs from torch by at most "
            f"{made.difference:.1e}; card: {made.card}"
        )
        return
    file, card = export(options)
    click.echo(f"{file}: {file.stat().st_size / 1e6:,.1f} MB; model card: {card}")
    print_next_step("synthesize", "--model", file, "--out", "made/")
