"""What page and Markdown of a report say alike, beside its tables."""

from __future__ import annotations

from sketchforge.metrics.sketches.result import SketchEvaluation
from sketchforge.report.provenance import versions
from sketchforge.report.summary.content import ModelFindings, Report


def facts(report: Report) -> list[str]:
    """What a reader wants to know first."""
    folders = sum(len(evaluation.shards) for evaluation in report.sketches)
    counts = [(folders, "shard folder"), (len(report.models), "trained model")]
    told = [f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts]
    return [*told, f"seed {report.options.seed}", report.hardware["device"], report.hardware["processor"]]


def describe_model(model: ModelFindings) -> str:
    """What a model is and what it was measured on, to stand beside its name."""
    size = model.evaluation.models[0]["size"]
    return f"{model.run.command}, {size} pixels, {model.steps} steps; {model.ground.described}"


def folders_of(evaluation: SketchEvaluation) -> str:
    """The folders measured together, with how much of them was looked at."""
    paths = " and ".join(str(one.path) for one in evaluation.shards)
    first = evaluation.shards[0]
    styles = sum(len(one.styles) for one in evaluation.shards)
    return f"{paths}: {len(first.chosen):,} of {len(first.shards.keys):,} images, {styles} sketches each"


def settings(report: Report) -> list[tuple[str, dict[str, str]]]:
    """Titled lists of names and values: what all this was computed with."""
    options = report.options
    asked = {
        "seed": str(options.seed),
        "images": f"{options.samples:,} mismatched pairs a model, and as many of the reference, at most",
        "sketches": "all images"
        if options.sketches == 0
        else f"of {options.sketches:,} images a folder, at most",
        "reference": str(options.reference or "the shards' own images, at the model's size"),
        "boundaries": str(options.boundaries or "none"),
        "human drawings": ", ".join(map(str, options.drawings)) or "none",
    }
    return [("Settings", asked), ("Hardware and versions", versions(report.hardware, report.libraries))]
