"""`sketchforge eval report`"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cli.command import Command
from cli.eval.options import encoders_option, features_option, lpips_option, measuring_options, tom_option
from cli.json_output import STDOUT, json_option, without_stdout, write_json_output
from cli.options import FILE, FOLDER, PATH, defaults_of, on_interrupt, option, overwrite_option
from cli.progress import Bar
from cli.source_types import SourceText
from cli.verbosity import print_result
from sketchforge.options import EvalReportOptions

DEFAULTS = defaults_of(EvalReportOptions)
OUT = Path("eval")


@click.command(
    "report",
    cls=Command,
    takes=("--shards",),
    short_help="Measure all that is there, on one page.",
    epilog="Example: sketchforge eval report --html report.html",
)
@option(
    "--shards",
    group="Input",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="Sketches to measure; repeatable.  [default: out/ and out-*/]",
)
@option(
    "--model",
    "models",
    group="Input",
    type=PATH,
    multiple=True,
    metavar="RUN",
    help="A run of ae-train, gan-train, style2paints-train, segin-train or diffsketching-train; repeatable.  [default: all in runs/]",
)
@option(
    "--held-out",
    group="Input",
    type=FOLDER,
    metavar="DIR",
    help="Shards of images that no model has seen, to measure models on.  [default: of --shards those that a "
    "model was not trained on, else those that it was]",
)
@option(
    "--reference",
    group="Input",
    type=SourceText(),
    metavar="SRC",
    help="Images that models' images should look like, as for eval images.",
)
@option(
    "--boundaries",
    group="Input",
    type=FOLDER,
    metavar="DIR",
    help="People's boundaries of the photos, as for eval sketches.",
)
@option(
    "--drawings",
    group="Input",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="Human drawings to compare sketches with: the --references of eval sketches. Repeatable.",
)
@option(
    "--samples",
    group="Measures",
    type=click.IntRange(min=2),
    default=DEFAULTS["samples"],
    show_default=True,
    metavar="N",
    help="Images that each model makes of mismatched pairs, and images of the reference.",
)
@option(
    "--sketches",
    group="Measures",
    type=click.IntRange(min=0),
    default=DEFAULTS["sketches"],
    show_default=True,
    metavar="N",
    help="Images of each folder whose sketches are measured; 0: every one.",
)
@features_option(DEFAULTS["features"])
@lpips_option(DEFAULTS["lpips"], "The first ranks images.")
@encoders_option(DEFAULTS["encoders"])
@tom_option()
@measuring_options(DEFAULTS)
@option(
    "--workers",
    group="Machine",
    type=click.IntRange(min=0),
    default=DEFAULTS["workers"],
    show_default=True,
    metavar="N",
    help="Processes that measure sketches; 0: as many as pay.",
)
@option(
    "--html",
    group="Output",
    type=FILE,
    metavar="FILE",
    help="Write a web page.  [default: eval/report.html, .md and .json]",
)
@option(
    "--markdown",
    group="Output",
    type=FILE,
    metavar="FILE",
    help="Write it as Markdown, with a folder of images beside it.",
)
@json_option("Write everything as JSON.")
@overwrite_option("Replace files that are not sketchforge's.")
def report_command(**values: Any) -> None:
    """Measure all that has been made and show it in one file, beside the paper's figures.

    Nothing has to be trained: what is missing is named. Weights are never downloaded. report.md of the
    documentation tells what the report holds.
    """
    from sketchforge.report.summary.collect import make_report
    from sketchforge.report.summary.json import report_json
    from sketchforge.report.summary.write import check_outputs, write_report

    options = EvalReportOptions(**without_stdout(values))
    if not (options.html or options.markdown or values["json"]):
        options = replace(
            options, html=OUT / "report.html", markdown=OUT / "report.md", json=OUT / "report.json"
        )
    check_outputs(options)
    with on_interrupt(lambda: "nothing was written; run the same command again"):
        report = make_report(options, Bar())
        paths = write_report(report)
    for line in _summarize(report):
        print_result(line)
    for path in paths:
        print_result(str(path))
    if values["json"] == STDOUT:
        write_json_output(STDOUT, lambda: report_json(report))


def _summarize(report: Any) -> Iterator[str]:
    """Yield the most important lines: the verdict, the figures of each model, and what is missing."""
    from sketchforge.metrics.estimates import merge_missing
    from sketchforge.report.summary.text import describe_verdict, facts, folders_of

    yield ", ".join(facts(report))
    for _, label, text in describe_verdict(report):
        yield f"{label.lower()}: {text}"
    for evaluation in report.sketches:
        yield f"sketches: {folders_of(evaluation)}"
    for model in report.models:
        figures = model.figures("frechet", "sr", "skt_rec_relative") | model.matched
        text = ", ".join(f"{title} {figure.value:.3g}" for title, figure in figures.items())
        yield f"{model.name} ({model.evaluation_set.description}): {text}"
    for row, figures, reason in merge_missing(report.gaps):
        yield ": ".join(filter(None, ("missing", row, figures, reason)))
