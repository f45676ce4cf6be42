"""`sketchforge eval images`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.eval.image_tables import model_table
from cli.eval.options import (
    check_output_files,
    encoders_option,
    features_option,
    lpips_option,
    measuring_options,
    output_files_options,
    tom_option,
)
from cli.json_output import without_stdout, write_json_output
from cli.options import PATH, defaults_of, on_interrupt, option
from cli.progress import Bar
from cli.source_types import SourceText
from cli.verbosity import print_result
from sketchforge.options import EvalImagesOptions

DEFAULTS = defaults_of(EvalImagesOptions)


@click.command(
    "images",
    cls=Command,
    takes=("--model", "--shards"),
    short_help="Measure a model's images: FID, SR and others.",
    epilog="Example: sketchforge eval images --model runs/ae --shards held-out/ --html images.html",
)
@option(
    "--model",
    group="Input",
    type=PATH,
    required=True,
    metavar="RUN",
    help="A run of ae-train, gan-train, style2paints-train, segin-train or diffsketching-train, or a model's file.",
)
@option(
    "--shards",
    group="Input",
    type=SourceText(),
    required=True,
    metavar="DIR",
    help="Sketches and style images that the model has not seen.",
)
@option(
    "--split",
    group="Input",
    metavar="NAME",
    help="Which split of the shards to measure on, or `all`. "
    "[default: test, else val, where there are splits, else all]",
)
@option(
    "--reference",
    group="Input",
    type=SourceText(),
    metavar="SRC",
    help="Images that the model's images should look like: a folder, tars or shards.  [default: the shards' own]",
)
@option(
    "--samples",
    group="Measures",
    type=click.IntRange(min=2),
    default=DEFAULTS["samples"],
    show_default=True,
    metavar="N",
    help="Images to make of mismatched pairs, and images of the reference to look at.",
)
@option(
    "--diversity",
    group="Measures",
    type=click.IntRange(min=0),
    default=DEFAULTS["diversity"],
    show_default=True,
    metavar="N",
    help="Sketches to draw out in 20 styles each, for the diversity by LPIPS; 0 for none.",
)
@features_option(DEFAULTS["features"])
@lpips_option(DEFAULTS["lpips"], "The first ranks images of the page.")
@encoders_option(DEFAULTS["encoders"])
@tom_option()
@measuring_options(DEFAULTS)
@output_files_options()
def images_command(**values: Any) -> None:
    """Measure how good a model's images are: FID, KID, SR, LPIPS, diversity, Skt-Rec, Sty-Rec, layout leak, lattice.

    Sketches are drawn out in the styles of other images, and LPIPS in their own. Weights are never
    downloaded; what lacks them is named. measures.md of the documentation says what each figure can and
    cannot tell.
    """
    from sketchforge.metrics.images.evaluate import evaluate_images
    from sketchforge.metrics.images.result import image_json

    options = EvalImagesOptions(**without_stdout(values))
    check_output_files(options)
    with on_interrupt(lambda: "features of the reference are kept; run the same command again"):
        evaluation = evaluate_images(options, Bar())
    for line in model_table(evaluation):
        print_result(line)
    write_json_output(values["json"], lambda: image_json(evaluation))
    if options.html:
        from sketchforge.report.images.model_page import write_model_page

        write_model_page(options.html, evaluation, options)
        print_result(str(options.html))
