"""Measures one sketch, in a worker process. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.images.decode import read_image
from sketchforge.images.edge_thinning import suppress_non_maxima
from sketchforge.images.line_art import binarize
from sketchforge.metrics.sketches.boundaries import (
    BoundaryCounts,
    boundary_counts,
    fit_boundaries,
    human_agreement,
    read_boundaries,
)
from sketchforge.metrics.sketches.patches import describe_patches, stroke_patches
from sketchforge.metrics.sketches.shared_lines import line_points
from sketchforge.metrics.sketches.strokes import INK, Strokes, measure_strokes

PATCHES = 20  # of a sketch, at most


@dataclass(frozen=True)
class SketchTask:
    """One sketch as it is stored, or one drawing, and what to measure of it."""

    name: str  # key of its sample, or of the drawing
    where: str  # the folder it comes from, for errors
    image: bytes
    thresholds: (
        tuple[float, float] | None
    )  # of `binarize`, for sketches of 8 bits; None: paper is INK and above
    patches: bool
    seed: int
    annotation: Path | None = None
    frame: tuple[int, str] = (0, "keep")  # size and fit, as `fit_square` takes them
    original_size: tuple[int, int] | None = None  # width, height of the photo, where known
    suppressed: bool = False  # whether content is that of the ridges alone
    lines: bool = False  # whether to find the line pixels, to compare with those of other sketches
    people: bool = False  # whether to measure the annotators against each other, too


@dataclass(frozen=True)
class SketchMeasurement:
    """The measurements of one sketch; None for what the task does not include."""

    strokes: Strokes
    patches: np.ndarray | None  # float64 (K, F) from `describe_patches`
    counts: BoundaryCounts | None
    people: BoundaryCounts | None  # None also where there is only one annotator
    lines: np.ndarray | None  # from `line_points`


def measure_sketch(task: SketchTask) -> SketchMeasurement:
    """Measure one sketch. Content is measured as it is stored, or its ridges are, the rest in two tones.

    Raises SketchforgeError for an annotation that does not fit it, ImageError for an image that is
    unreadable.
    """
    image = grey(task.image)
    sketch = two_tone(image, task.thresholds)
    counts = people = None
    if task.annotation:
        annotations = _read_annotations(task, task.annotation)
        try:
            counts = boundary_counts(suppress_non_maxima(image) if task.suppressed else image, annotations)
        except SketchforgeError as error:
            raise SketchforgeError(f"{task.where}: {task.name} and {task.annotation}: {error}") from error
        people = human_agreement(annotations) if task.people and len(annotations) > 1 else None
    patches = None
    if task.patches:
        patches = describe_patches(stroke_patches(sketch, PATCHES, task.seed, task.name))
    lines = line_points(sketch) if task.lines else None
    return SketchMeasurement(measure_strokes(sketch), patches, counts, people, lines)


def two_tone_sketch(task: SketchTask) -> np.ndarray:
    """The task's sketch as uint8 HxW of 0 and 255."""
    return two_tone(grey(task.image), task.thresholds)


def grey(data: bytes) -> np.ndarray:
    """An image file's bytes -> uint8 HxW."""
    return cv2.cvtColor(read_image(data), cv2.COLOR_RGB2GRAY)


def two_tone(image: np.ndarray, thresholds: tuple[float, float] | None) -> np.ndarray:
    """uint8 HxW -> the same with 255 for paper and 0 for ink; `thresholds` as in SketchTask."""
    if thresholds is None:
        return np.where(image >= INK, np.uint8(255), np.uint8(0))
    return binarize(image, *thresholds)


def _read_annotations(task: SketchTask, path: Path) -> list[np.ndarray]:
    annotations = read_boundaries(path)
    height, width = annotations[0].shape
    if task.original_size is not None and (width, height) != task.original_size:
        expected = " x ".join(map(str, task.original_size))
        raise UsageError(
            f"{path}: {width} x {height} pixels, but the photo of {task.name} has {expected}; give the "
            "annotations of these very photos"
        )
    return [fit_boundaries(annotation, *task.frame) for annotation in annotations]
