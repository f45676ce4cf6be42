"""Image rows of the page on sketches: photo, annotators' boundaries, sketches, human drawings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sketchforge.images.decode import ImageError, read_image
from sketchforge.metrics.sketches.boundaries import fit_boundaries, read_boundaries
from sketchforge.metrics.sketches.inputs import DrawingSet, distinct_names, style_names
from sketchforge.metrics.sketches.result import SketchEvaluation
from sketchforge.report.html import IMAGE_SIDE, ImageRow, PageImage, reduce
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.selection import spread_evenly

IMAGE_ROWS = 5
SKETCH_SIDE = 1024  # pixels; sketches are line drawings, which are small as files and do not bear reduction
SIZES_EXPLAINED = (
    f"Sketches are those of the shards, pixel for pixel up to {SKETCH_SIDE:,} pixels; photos are reduced to "
    f"{IMAGE_SIDE}."
)


def image_rows(evaluation: SketchEvaluation) -> list[ImageRow]:
    """IMAGE_ROWS rows of images of the first folder: photo, annotations, every folder's styles, drawings."""
    keys = spread_evenly(list(evaluation.shards[0].chosen), IMAGE_ROWS)
    columns: dict[str, dict[str, np.ndarray | None]] = {key: {} for key in keys}
    names = style_names(evaluation.shards)
    for index, sketch_input in enumerate(evaluation.shards):
        shard_keys = [key for key in keys if key in sketch_input.shards.keys]
        for sample in raw_samples(sketch_input.shards, shard_keys):
            cells = columns[sample.key]
            if not index:
                cells["photo"] = _read_image(sample.image, photo=True)
                annotation = evaluation.annotations[0].get(sample.key)
                if evaluation.options.boundaries:
                    cells["people's boundaries"] = (
                        _read_annotation(annotation, sketch_input.frame) if annotation else None
                    )
            for name, sketch in zip(names[index], sample.sketches, strict=True):
                cells[name] = _read_image(sketch)
    for drawing_set, name in zip(
        evaluation.drawings,
        distinct_names([drawing_set.path for drawing_set in evaluation.drawings]),
        strict=True,
    ):
        drawings = _read_drawings(drawing_set, [evaluation.shards[0].photos[key] for key in keys])
        for key, pixels in zip(keys, drawings, strict=True):
            columns[key][f"{name} (drawings)"] = pixels
    headings = list(dict.fromkeys(heading for cells in columns.values() for heading in cells))
    return [
        tuple(PageImage(heading, f"{key}, {heading}", cells.get(heading)) for heading in headings)
        for key, cells in columns.items()
    ]


def _read_drawings(drawing_set: DrawingSet, photos: Sequence[str]) -> list[np.ndarray | None]:
    """A drawing for every photo: one of that photo where there is one, else any.

    None stands for a drawing that cannot be read.
    """
    of_photo = dict(zip(reversed(drawing_set.photos), reversed(drawing_set.drawings), strict=True))
    substitutes = spread_evenly(drawing_set.drawings, len(photos))
    result: list[np.ndarray | None] = []
    for index, photo in enumerate(photos):
        drawing = of_photo.get(photo, substitutes[index % len(substitutes)])
        try:
            result.append(_read_image(drawing.read()))
        except ImageError:
            result.append(None)
    return result


def _read_image(data: bytes, photo: bool = False) -> np.ndarray:
    pixels = reduce(read_image(data), IMAGE_SIDE if photo else SKETCH_SIDE)
    return pixels if photo else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _read_annotation(path: Path, frame: tuple[int, str]) -> np.ndarray:
    """uint8 H×W: all annotators' boundaries, averaged; the more of them drew a pixel, the darker it is."""
    coverage = np.mean([fit_boundaries(annotation, *frame) for annotation in read_boundaries(path)], axis=0)
    return reduce(np.rint(255 * (1 - coverage)).astype(np.uint8))
