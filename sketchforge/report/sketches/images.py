"""Images of the page on sketches: photos, people's boundaries, sketches, drawings beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sketchforge.images.decode import ImageError, read_image
from sketchforge.metrics.sketches.boundaries import fit_boundaries, read_boundaries
from sketchforge.metrics.sketches.inputs import DrawingSet, distinct_names, style_names
from sketchforge.metrics.sketches.result import SketchEvaluation
from sketchforge.report.html import ImageRow, PageImage, reduce
from sketchforge.shards.reader import raw_samples
from sketchforge.shards.selection import spread_evenly

IMAGE_ROWS = 5


def image_rows(evaluation: SketchEvaluation) -> list[ImageRow]:
    """A few images of the first folder: photo, annotations, the styles of every folder, drawings."""
    keys = spread_evenly(list(evaluation.shards[0].chosen), IMAGE_ROWS)
    columns: dict[str, dict[str, np.ndarray | None]] = {key: {} for key in keys}
    names = style_names(evaluation.shards)
    for index, one in enumerate(evaluation.shards):
        here = [key for key in keys if key in one.shards.keys]
        for sample in raw_samples(one.shards, here):
            cells = columns[sample.key]
            if not index:
                cells["photo"] = _image(sample.image, photo=True)
                annotation = evaluation.annotations[0].get(sample.key)
                if evaluation.options.boundaries:
                    cells["people's boundaries"] = _annotation(annotation, one.frame) if annotation else None
            for name, sketch in zip(names[index], sample.sketches, strict=True):
                cells[name] = _image(sketch)
    for one, name in zip(
        evaluation.drawings, distinct_names([one.path for one in evaluation.drawings]), strict=True
    ):
        drawings = _drawings(one, [evaluation.shards[0].photos[key] for key in keys])
        for key, pixels in zip(keys, drawings, strict=True):
            columns[key][f"{name} (drawings)"] = pixels
    headings = list(dict.fromkeys(heading for cells in columns.values() for heading in cells))
    return [
        tuple(PageImage(heading, f"{key}, {heading}", cells.get(heading)) for heading in headings)
        for key, cells in columns.items()
    ]


def _drawings(one: DrawingSet, photos: Sequence[str]) -> list[np.ndarray | None]:
    """A drawing for every photo: one made from it where there is one, else any."""
    of_photo = dict(zip(reversed(one.photos), reversed(one.drawings), strict=True))
    others = spread_evenly(one.drawings, len(photos))
    result: list[np.ndarray | None] = []
    for index, photo in enumerate(photos):
        drawing = of_photo.get(photo, others[index % len(others)])
        try:
            result.append(_image(drawing.read()))
        except ImageError:
            result.append(None)
    return result


def _image(data: bytes, photo: bool = False) -> np.ndarray:
    pixels = reduce(read_image(data))
    return pixels if photo else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _annotation(path: Path, frame: tuple[int, str]) -> np.ndarray:
    """Boundaries over each other: the more annotators drew a pixel, the darker."""
    drawn = np.mean([fit_boundaries(annotation, *frame) for annotation in read_boundaries(path)], axis=0)
    return reduce(np.rint(255 * (1 - drawn)).astype(np.uint8))
