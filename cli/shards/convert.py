"""`sketchforge convert`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.options import PATH, SHARDS, on_interrupt, option, overwrite_option
from cli.progress import Bar
from cli.verbosity import print_next_step
from sketchforge.options import ConvertOptions
from sketchforge.utils.text import count_noun


def _split_names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


@click.command(
    "convert",
    cls=Command,
    short_help="Write strokes as SVG and other formats.",
    epilog="Example: sketchforge convert out/ --to svg --out drawings/",
)
@click.argument("shards", type=SHARDS, metavar="DIR|URL")
@option(
    "--to",
    group="Output",
    type=click.Choice(["svg", "ndjson", "stroke3"]),
    required=True,
    help="svg: a folder, HAND/KEY.svg; ndjson: a file, Quick, Draw!'s simplified drawings; stroke3: an .npz file, "
    "sketch-rnn's steps, without pickle.",
)
@option("--out", group="Output", type=PATH, required=True, metavar="DIR|FILE", help="What to write.")
@option(
    "--hand",
    group="Input",
    metavar="NAME,...",
    callback=_split_names,
    help="Only the drawings of these hands. [default: all]",
)
@overwrite_option("Replace a file, or a folder of this command made with other options.")
def convert_command(**values: Any) -> None:
    """Write the drawings of the shards in DIR, rendered with --strokes, as strokes in another format.

    A folder that was not finished is continued by the same command.
    """
    from sketchforge.convert.convert import convert

    options = ConvertOptions(**values)
    with on_interrupt(lambda: _resume_hint(options)):
        done = convert(options, Bar())
    made = done.num_images - done.num_kept
    kept = f", {count_noun(done.num_kept, 'image')} there already" if done.num_kept else ""
    click.echo(
        f"{done.out}: {count_noun(made * len(done.hands), 'drawing')} of {count_noun(made, 'image')}, "
        f"{count_noun(len(done.hands), 'hand')}{kept}"
    )
    if made:
        print_next_step("ae-train", "--shards", options.shards, "--redraw", "0.5")


def _resume_hint(options: ConvertOptions) -> str:
    kept = "every drawing that was written is kept" if options.to == "svg" else "nothing was written"
    return f"{kept}; run the same command again"
