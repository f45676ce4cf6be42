"""Evaluate every shard folder and every model: the content of `sketchforge eval report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sketchforge.checkpoints.catalog import find_weights
from sketchforge.checkpoints.runs import TrainedRun
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.metrics.estimates import MissingMetric
from sketchforge.metrics.images.evaluate import evaluate_images
from sketchforge.metrics.images.reference import SEEN_IN_TRAINING, library_versions
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
from sketchforge.shards.splits import ALL
from sketchforge.utils.device import choose_device, set_threads
from sketchforge.utils.progress import Progress

# Weights that measures look for by default: (name, option, the figures that are missing without them).
USUAL_WEIGHTS = (
    ("inception", "--features inception=FILE", "FID, KID"),
    ("alexnet", "--lpips alex=FILE", "LPIPS (alex)"),
    ("vgg19", "--encoder FILE", "SR (vgg19)"),
)


def make_report(options: EvalReportOptions, progress: Progress | None = None) -> Report:
    """Evaluate all shard folders and all models. What is missing, unfinished or damaged becomes a gap.

    Raises UsageError for a named path or device that does not exist, and for unknown names of networks.
    """
    progress = progress or Progress()
    device = choose_device(options.device)
    set_threads(options.threads)
    inputs = find_inputs(options.shards, options.models)
    gaps, commands = list(inputs.gaps), []
    candidates: Sequence[ShardSet] = inputs.shards
    if options.held_out is not None:
        candidates = find_folders([options.held_out], gaps, "--held-out")

    sketches = []
    groups = group_alike(inputs.shards)
    num_stages = len(groups) + len(inputs.models)
    for number, group in enumerate(groups, 1):
        names = ", ".join(folder.name for folder in group)
        progress.stage(f"{number} of {num_stages}: sketches of {names}")
        sketch_options = EvalSketchesOptions(
            shards=tuple(folder.path for folder in group),
            boundaries=options.boundaries,
            references=options.drawings,
            samples=options.sketches,
            seed=options.seed,
            workers=options.workers,
        )
        evaluations = _evaluate_group(sketch_options, group, gaps, progress)
        sketches += evaluations
        commands += [sketches_command_line(sketch_options)] if evaluations else []

    models, warnings = [], []
    for number, (name, run) in enumerate(inputs.models.items(), len(groups) + 1):
        progress.stage(f"{number} of {num_stages}: images of {name}")
        evaluation_set = choose_evaluation_set(run.record, candidates, options.held_out is not None)
        if evaluation_set is None:
            reason = "no finished shards of one size to measure it on; `sketchforge render` makes some"
            gaps.append(MissingMetric(name, "images", reason))
            continue
        image_options = _build_image_options(options, run, evaluation_set)
        try:
            findings = _evaluate_model(name, run, evaluation_set, image_options, progress)
        except UsageError:
            raise
        except SketchforgeError as error:
            gaps.append(MissingMetric(name, "images", str(error)))
            continue
        models.append(findings)
        commands.append(images_command_line(image_options))
        gaps += [replace(gap, row=gap.row and name) for gap in findings.evaluation.gaps]
        caution = evaluation_set.images != HELD_OUT
        warnings += [
            replace(warning, row=name)
            for warning in findings.evaluation.warnings
            if not caution or SEEN_IN_TRAINING not in warning.reason
        ]
        if caution:
            warnings.append(MissingMetric(name, "images", _describe_caution(evaluation_set)))
    if not models:
        gaps += _find_missing_weights()

    curves = _collect_curves(inputs, gaps)
    return Report(
        options=options,
        sketches=tuple(sketches),
        models=tuple(models),
        curves=tuple(curves),
        gaps=tuple(dict.fromkeys(gaps)),
        warnings=tuple(dict.fromkeys(warnings)),
        commands=tuple(commands),
        hardware=hardware(device),
        libraries=library_versions(),
    )


def group_alike(folders: Sequence[ShardSet]) -> list[list[ShardSet]]:
    """Group folders that share images, to evaluate each group on the images that all its folders have."""
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


def _evaluate_group(
    options: EvalSketchesOptions, group: Sequence[ShardSet], gaps: list[MissingMetric], progress: Progress
) -> list[SketchEvaluation]:
    names = {str(folder.path): folder.name for folder in group}
    group_name = ", ".join(names.values())
    try:
        evaluation = evaluate_sketches(options, progress)
    except UsageError as error:
        # Annotations that fit none of these photos may fit another folder's.
        if options.boundaries is None or not options.boundaries.is_dir():
            raise
        gaps.append(MissingMetric(group_name, "content", str(error)))
        return _evaluate_group(replace(options, boundaries=None), group, gaps, progress)
    except SketchforgeError as error:
        gaps.append(MissingMetric(group_name, "sketches", str(error)))
        return []
    for gap in evaluation.gaps:
        reason = gap.reason.replace("--references", "--drawings")
        gaps.append(MissingMetric(gap.row or group_name, gap.block, reason))
    return [evaluation]


def _build_image_options(
    options: EvalReportOptions, run: TrainedRun, evaluation_set: EvaluationSet
) -> EvalImagesOptions:
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
    shared: dict[str, Any] = {name: getattr(options, name) for name in names}
    folder = evaluation_set.folder
    split = folder.split or (ALL if folder.splits else None)
    return EvalImagesOptions(model=run.folder, shards=str(folder.path), split=split, **shared)


def _evaluate_model(
    name: str, run: TrainedRun, evaluation_set: EvaluationSet, options: EvalImagesOptions, progress: Progress
) -> ModelFindings:
    evaluation = evaluate_images(options, progress)
    samples = model_samples(options, name)
    return ModelFindings(name, run, evaluation_set, evaluation, samples.ranking, samples.grid)


def _find_missing_weights() -> list[MissingMetric]:
    """The figures that would be missing if there were a model to evaluate."""
    gaps = []
    for name, option, figure in USUAL_WEIGHTS:
        try:
            find_weights(name, None, option)
        except SketchforgeError as error:
            gaps.append(MissingMetric("", figure, str(error)))
    return gaps


def _collect_curves(inputs: ReportInputs, gaps: list[MissingMetric]) -> list[Any]:
    runs = {name: (run.command, run.folder) for name, run in inputs.models.items()}
    runs |= {name: ("tom-train", folder) for name, folder in inputs.tom_runs.items()}
    curves = run_curves(runs)
    with_curves = {name for curve in curves for name in curve.lines}
    gaps += [
        MissingMetric(name, "curves", "its log.jsonl is missing or empty")
        for name in runs
        if name not in with_curves
    ]
    return curves


def _describe_caution(evaluation_set: EvaluationSet) -> str:
    prefix = f"measured on {evaluation_set.folder.name}, "
    if evaluation_set.images == SEEN:
        return (
            prefix + "images it was trained on: figures are better than on others; name others as --held-out"
        )
    return (
        prefix
        + "not what it was trained on, but its images may be the same; --held-out says that they are not"
    )
