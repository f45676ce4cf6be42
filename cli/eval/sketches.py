"""`sketchforge eval sketches`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.eval.options import check_output_files, output_files_options
from cli.eval.sketch_tables import tables
from cli.json_output import without_stdout, write_json_output
from cli.options import FOLDER, defaults_of, on_interrupt, option, seed_option
from cli.progress import Bar
from cli.verbosity import print_result
from sketchforge.options import EvalSketchesOptions

DEFAULTS = defaults_of(EvalSketchesOptions)


@click.command(
    "sketches",
    cls=Command,
    takes=("--shards",),
    short_help="Measure sketches beside people's.",
    epilog="Example: sketchforge eval sketches --shards out/ --shards out-canny/ --boundaries annotations/ "
    "--references drawings/ --html sketches.html",
)
@option(
    "--shards",
    group="Input",
    type=FOLDER,
    multiple=True,
    required=True,
    metavar="DIR",
    help="Sketches to measure; repeatable.",
)
@option(
    "--boundaries",
    group="Input",
    type=FOLDER,
    metavar="DIR",
    help="Content: people's boundaries of the photos, as BSDS500 has them, KEY.mat.",
)
@option(
    "--references",
    group="Input",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="Realism: human drawings to compare with; repeatable, all others are compared with the first.",
)
@option(
    "--samples",
    group="Measures",
    type=click.IntRange(min=0),
    default=DEFAULTS["samples"],
    show_default=True,
    metavar="N",
    help="Images to look at in each folder, spread evenly, the same in all; 0: every one.",
)
@seed_option(DEFAULTS["seed"], group="Measures")
@option(
    "--workers",
    group="Machine",
    type=click.IntRange(min=0),
    default=DEFAULTS["workers"],
    show_default=True,
    metavar="N",
    help="Processes that measure; 0: as many as pay, one per core at most.",
)
@output_files_options()
def sketches_command(**values: Any) -> None:
    """Measure how good sketches are: content, realism, variety and strokes, beside people's.

    Every figure has its 95 % interval over images. measures.md of the documentation says what each can and
    cannot tell.
    """
    from sketchforge.metrics.sketches.evaluate import evaluate_sketches
    from sketchforge.metrics.sketches.result import as_json

    options = EvalSketchesOptions(**without_stdout(values))
    check_output_files(options)
    with on_interrupt(lambda: "nothing was written; run the same command again"):
        evaluation = evaluate_sketches(options, Bar())
    for line in tables(evaluation):
        print_result(line)
    write_json_output(values["json"], lambda: as_json(evaluation))
    if options.html:
        from sketchforge.report.sketches.page import write_sketch_page

        write_sketch_page(options.html, evaluation)
        print_result(str(options.html))
