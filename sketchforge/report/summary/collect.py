"""Everything that there is, measured and drawn: what `sketchforge eval report` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sketchforge.checkpoints.catalog import find_weights
from sketchforge.checkpoints.runs import TrainedRun
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.metrics.estimates import MissingMetric
from sketchforge.metrics.images.evaluate import evaluate_images
from sketchforge.metrics.images.reference import library_versions
from sketchforge.metrics.sketches.evaluate import evaluate_sketches
from sketchforge.metrics.sketches.result import SketchEvaluation
from sketchforge.options import EvalImagesOptions, EvalReportOptions, EvalSketchesOptions
from sketchforge.report.images.samples import model_samples
from sketchforge.report.provenance import hardware, images_command_line, sketches_command_line
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.curves import run_curves
from sketchforge.report.summary.held_out import HELD_OUT, SEEN, EvaluationSet, choose_evaluation_set
from sketchforge.report.summary.inputs import ReportInputs, find_folders, find_inputs
from sketchforge.shards.shard_set import ShardSet
from sketchforge.utils.device import choose_device, set_threads
from sketchforge.utils.progress import Progress

# Weights that measures look for when nothing else is named, and what is missing without them.
USUAL_WEIGHTS = (
    ("inception", "--features inception=FILE", "FID, KID"),
    ("alexnet", "--lpips alex=FILE", "LPIPS (alex)"),
    ("vgg19", "--encoder FILE", "SR (vgg19)"),
)


def make_report(options: EvalReportOptions, progress: Progress | None = None) -> Report:
    """Measure all shard folders and all models. What is missing, unfinished or damaged becomes a gap.

    Raises UsageError for a path or device that is named and is not there, and for unknown names of networks.
    """
    progress = progress or Progress()
    device = choose_device(options.device)
    set_threads(options.threads)
    material = find_inputs(options.shards, options.models)
    gaps, commands = list(material.gaps), []
    grounds: Sequence[ShardSet] = material.shards
    if options.held_out is not None:
        grounds = find_folders([options.held_out], gaps, "--held-out")

    sketches = []
    for group in group_alike(material.shards):
        asked = EvalSketchesOptions(
            shards=tuple(folder.path for folder in group),
            boundaries=options.boundaries,
            references=options.drawings,
            samples=options.sketches,
            seed=options.seed,
            workers=options.workers,
        )
        found = _sketches(asked, group, gaps, progress)
        sketches += found
        commands += [sketches_command_line(asked)] if found else []

    models, warnings = [], []
    for name, run in material.models.items():
        ground = choose_evaluation_set(run.record, grounds, options.held_out is not None)
        if ground is None:
            reason = "no finished shards of one size to measure it on; `sketchforge render` makes some"
            gaps.append(MissingMetric(name, "images", reason))
            continue
        asked_of_it = _images_options(options, run, ground)
        try:
            findings = _model(name, run, ground, asked_of_it, progress)
        except UsageError:
            raise
        except SketchforgeError as error:
            gaps.append(MissingMetric(name, "images", str(error)))
            continue
        models.append(findings)
        commands.append(images_command_line(asked_of_it))
        gaps += [replace(gap, row=gap.row and name) for gap in findings.evaluation.gaps]
        warnings += [replace(one, row=name) for one in findings.evaluation.warnings]
        if ground.images != HELD_OUT:
            warnings.append(MissingMetric(name, "images", _caution(ground)))
    if not models:
        gaps += _missing_weights()

    curves = _curves(material, gaps)
    return Report(
        options,
        tuple(sketches),
        tuple(models),
        tuple(curves),
        tuple(dict.fromkeys(gaps)),
        tuple(dict.fromkeys(warnings)),
        tuple(commands),
        hardware(device),
        library_versions(),
    )


def group_alike(folders: Sequence[ShardSet]) -> list[list[ShardSet]]:
    """Folders of the same images together, to be measured on those that all of them have."""
    groups: list[tuple[list[ShardSet], set[str]]] = []
    for folder in folders:
        for members, common in groups:
            if not common.isdisjoint(folder.keys):
                members.append(folder)
                common &= set(folder.keys)
                break
        else:
            groups.append(([folder], set(folder.keys)))
    return [members for members, _ in groups]


def _sketches(
    asked: EvalSketchesOptions, group: Sequence[ShardSet], gaps: list[MissingMetric], progress: Progress
) -> list[SketchEvaluation]:
    names = {str(folder.path): folder.name for folder in group}
    where = ", ".join(names.values())
    try:
        found = evaluate_sketches(asked, progress)
    except UsageError as error:
        # Annotations that fit none of these photos may fit another folder's.
        if asked.boundaries is None or not asked.boundaries.is_dir():
            raise
        gaps.append(MissingMetric(where, "content", str(error)))
        return _sketches(replace(asked, boundaries=None), group, gaps, progress)
    except SketchforgeError as error:
        gaps.append(MissingMetric(where, "sketches", str(error)))
        return []
    for gap in found.gaps:
        reason = gap.reason.replace("--references", "--drawings")
        gaps.append(MissingMetric(gap.row or where, gap.block, reason))
    return [found]


def _images_options(options: EvalReportOptions, run: TrainedRun, ground: EvaluationSet) -> EvalImagesOptions:
    names = (
        "reference",
        "samples",
        "features",
        "lpips",
        "encoders",
        "tom",
        "cache",
        "seed",
        "device",
        "threads",
    )
    given: dict[str, Any] = {name: getattr(options, name) for name in names}
    return EvalImagesOptions(model=run.folder, shards=str(ground.folder.path), **given)


def _model(
    name: str, run: TrainedRun, ground: EvaluationSet, asked: EvalImagesOptions, progress: Progress
) -> ModelFindings:
    evaluation = evaluate_images(asked, progress)
    samples = model_samples(asked, name)
    return ModelFindings(name, run, ground, evaluation, samples.ranking, samples.grid)


def _missing_weights() -> list[MissingMetric]:
    """What would be missing, were there a model to measure."""
    gaps = []
    for name, option, figure in USUAL_WEIGHTS:
        try:
            find_weights(name, None, option)
        except SketchforgeError as error:
            gaps.append(MissingMetric("", figure, str(error)))
    return gaps


def _curves(material: ReportInputs, gaps: list[MissingMetric]) -> list[Any]:
    runs = {name: (run.command, run.folder) for name, run in material.models.items()}
    runs |= {name: ("tom-train", folder) for name, folder in material.tom_runs.items()}
    curves = run_curves(runs)
    drawn = {name for one in curves for name in one.lines}
    gaps += [
        MissingMetric(name, "curves", "its log.jsonl is missing or empty")
        for name in runs
        if name not in drawn
    ]
    return curves


def _caution(ground: EvaluationSet) -> str:
    there = f"measured on {ground.folder.name}, "
    if ground.images == SEEN:
        return (
            there + "images it was trained on: figures are better than on others; name others as --held-out"
        )
    return (
        there
        + "not what it was trained on, but its images may be the same; --held-out says that they are not"
    )
