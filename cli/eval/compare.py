"""`sketchforge eval compare`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.eval.image_tables import comparison_tables
from cli.eval.options import check_output_files, features_option, measuring_options, output_files_options
from cli.json_output import without_stdout, write_json_output
from cli.options import defaults_of, on_interrupt, option
from cli.progress import Bar
from cli.source_types import SourceText
from cli.verbosity import print_result
from sketchforge.options import EvalCompareOptions

DEFAULTS = defaults_of(EvalCompareOptions)


@click.command(
    "compare",
    cls=Command,
    short_help="Measure how far sets of images are.",
    epilog="Example: sketchforge eval compare held-out/ runs/ae runs/gan --html a.html",
)
@click.argument("reference", type=SourceText(), metavar="REFERENCE")
@click.argument("sets", type=SourceText(), nargs=-1, required=True, metavar="SET...")
@option(
    "--shards",
    group="Input",
    type=SourceText(),
    metavar="DIR",
    help="Sketches for models among the sets.  [default: the reference, if shards]",
)
@option(
    "--split",
    group="Input",
    metavar="NAME",
    help="Which split of shards that have splits to take, or `all`. "
    "[default: test, else val, where there are splits, else all]",
)
@option(
    "--samples",
    group="Measures",
    type=click.IntRange(min=0),
    default=DEFAULTS["samples"],
    show_default=True,
    metavar="N",
    help="Images of each set and of the reference, spread evenly; 0: all.",
)
@features_option(DEFAULTS["features"])
@measuring_options(DEFAULTS)
@output_files_options()
def compare_command(**values: Any) -> None:
    """Measure how far sets of images are from a REFERENCE: FID, KID and the like in other features.

    REFERENCE and each SET are a folder, tars or shards; a SET may be a model's run, too, which draws out
    --shards in mismatched styles.
    """
    from sketchforge.metrics.images.compare import compare_images
    from sketchforge.metrics.images.result import image_json

    options = EvalCompareOptions(**without_stdout(values))
    check_output_files(options)
    with on_interrupt(lambda: "features of the reference are kept; run the same command again"):
        evaluation = compare_images(options, Bar())
    for line in comparison_tables(evaluation):
        print_result(line)
    write_json_output(values["json"], lambda: image_json(evaluation))
    if options.html:
        from sketchforge.report.images.comparison_page import write_comparison_page

        write_comparison_page(options.html, evaluation, options)
        print_result(str(options.html))
