"""`sketchforge convert`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cli.command import Command
from cli.options import PATH, SHARDS, on_interrupt, option, overwrite_option
from cli.progress import Bar
from cli.verbosity import print_next_step, print_note
from sketchforge.options import ConvertOptions
from sketchforge.utils.text import count_noun

if TYPE_CHECKING:
    from sketchforge.convert.convert import Conversion


def _split_names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


PAIRS, STROKES = ("parquet", "imagefolder", "pix2pix", "controlnet"), ("svg", "ndjson", "stroke3")


@click.command(
    "convert",
    cls=Command,
    short_help="Write data sets for others, or strokes as SVG.",
    epilog="Example: sketchforge convert out/ --to parquet --out set/",
)
@click.argument("shards", type=SHARDS, metavar="DIR|URL")
@option(
    "--to",
    group="Output",
    type=click.Choice([*PAIRS, *STROKES]),
    required=True,
    help="Pairs, in a folder with a dataset card. parquet: Hugging Face's, a row for each image and sketch; imagefolder: "
    "images, sketches and metadata.jsonl; pix2pix: sketch and image side by side; controlnet: source/, target/, "
    "prompt.json. Strokes, of shards rendered with --strokes. svg: a folder, HAND/KEY.svg; ndjson: a file, Quick, "
    "Draw!'s simplified drawings; stroke3: an .npz file, sketch-rnn's steps, without pickle.",
)
@option("--out", group="Output", type=PATH, required=True, metavar="DIR|FILE", help="What to write.")
@option(
    "--hand",
    group="Input",
    metavar="NAME,...",
    callback=_split_names,
    help="Only the drawings of these hands. [default: all]",
)
@option(
    "--per-image",
    group="Input",
    type=click.IntRange(min=1),
    metavar="N",
    help="Pairs: N sketches of each image, chosen by its key. [default: all]",
)
@option(
    "--push",
    group="Output",
    metavar="OWNER/NAME",
    help="Pairs: upload the folder to this data set on Hugging Face's Hub, made private where there is none.",
)
@overwrite_option("Replace a file, or a folder of this command made with other options.")
def convert_command(**values: Any) -> None:
    """Write the shards in DIR as a data set that other programs train on, or their strokes in another format.

    A folder that was not finished is continued by the same command.
    """
    from sketchforge.convert.convert import convert

    options = ConvertOptions(**values)
    with on_interrupt(lambda: _resume_hint(options)):
        done = convert(options, Bar())
    if done.pairs is None:
        _print_drawings(options, done)
    else:
        _print_pairs(options, done, done.pairs)


def _print_drawings(options: ConvertOptions, done: Conversion) -> None:
    made = done.num_images - done.num_kept
    click.echo(
        f"{done.out}: {count_noun(made * len(done.hands), 'drawing')} of {count_noun(made, 'image')}, "
        f"{count_noun(len(done.hands), 'hand')}{_describe_kept(done)}"
    )
    if made:
        print_next_step("ae-train", "--shards", options.shards, "--redraw", "0.5")


def _print_pairs(options: ConvertOptions, done: Conversion, pairs: Mapping[str, int]) -> None:
    splits = ", ".join(f"{name} {count:,}" for name, count in pairs.items())
    click.echo(
        f"{done.out}: {count_noun(sum(pairs.values()), 'pair')} of {count_noun(done.num_images, 'image')} ({splits})"
        f"{_describe_kept(done)}"
    )
    if done.keeps_card:
        click.echo(f"{done.out / 'README.md'}: was edited, and is kept as it is")
    if done.address:
        click.echo(f"uploaded to {done.address}")
    else:
        print_note(
            f"state the licence of the images in {done.out / 'README.md'} before you pass the folder on"
        )


def _describe_kept(done: Conversion) -> str:
    return f", {count_noun(done.num_kept, 'image')} there already" if done.num_kept else ""


def _resume_hint(options: ConvertOptions) -> str:
    kept = "nothing was written" if options.to in STROKES[1:] else "every file that was written is kept"
    return f"{kept}; run the same command again"
