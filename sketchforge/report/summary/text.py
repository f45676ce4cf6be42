"""The text that page and Markdown of a report share, beside its tables."""

from __future__ import annotations

from sketchforge.images.contact_sheet import describe_enlargement
from sketchforge.metrics.sketches.result import SketchEvaluation
from sketchforge.report.images.samples import GRID_CELL
from sketchforge.report.provenance import versions
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.verdict import CARE, GOOD, MEASURED, NEXT, WEAK, verdict
from sketchforge.utils.text import count_noun

# The words before the sentences of the verdict.
LABELS = {MEASURED: "Measured", GOOD: "Good", WEAK: "Weak", CARE: "With care", NEXT: "Next"}


def facts(report: Report) -> list[str]:
    """The facts of the first line: counts, seed, device and processor."""
    folders = sum(len(evaluation.shards) for evaluation in report.sketches)
    counts = [(folders, "shard folder"), (len(report.models), "trained model")]
    return [
        *(count_noun(count, noun) for count, noun in counts),
        f"seed {report.options.seed}",
        report.hardware["device"],
        report.hardware["processor"],
    ]


def describe_verdict(report: Report) -> list[tuple[str, str, str]]:
    """(kind, label, sentence) of each remark of the verdict."""
    return [(kind, LABELS[kind], text) for kind, text in verdict(report)]


def describe_model(model: ModelFindings) -> str:
    """A model's command, size, steps and evaluation set, to stand beside its name."""
    steps = "step" if model.steps == "1" else "steps"
    size = describe_enlargement(model.size, GRID_CELL)
    return f"{model.run.command}, {model.steps} {steps}, {size}; {model.evaluation_set.description}"


def folders_of(evaluation: SketchEvaluation) -> str:
    """The folders of one evaluation, with the images and sketches of them that were measured."""
    paths = " and ".join(str(sketch_input.path) for sketch_input in evaluation.shards)
    first = evaluation.shards[0]
    styles = sum(len(sketch_input.styles) for sketch_input in evaluation.shards)
    return (
        f"{paths}: {len(first.chosen):,} of {count_noun(len(first.shards.keys), 'image')}, {styles} "
        "sketches each"
    )


def settings(report: Report) -> list[tuple[str, dict[str, str]]]:
    """Titled lists of names and values: settings, hardware and versions."""
    options = report.options
    requested = {
        "seed": str(options.seed),
        "images": f"{options.samples:,} mismatched pairs a model, and as many of the reference, at most",
        "sketches": "all images"
        if options.sketches == 0
        else f"of {count_noun(options.sketches, 'image')} a folder, at most",
        "reference": str(options.reference or "the shards' own images, at the model's size"),
        "boundaries": str(options.boundaries or "none"),
        "human drawings": ", ".join(map(str, options.drawings)) or "none",
    }
    return [("Settings", requested), ("Hardware and versions", versions(report.hardware, report.libraries))]
