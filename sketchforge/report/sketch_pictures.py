"""Pictures of the page on sketches: photos, people's boundaries, sketches, drawings beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sketchforge.images import ImageError, read_image
from sketchforge.metrics.boundaries import fit_boundaries, read_boundaries
from sketchforge.metrics.evaluation import Evaluation
from sketchforge.metrics.sketch_sets import DrawingSet, distinct_names, style_names
from sketchforge.pictures import encode_jpeg, encode_png
from sketchforge.report.page import data_uri
from sketchforge.report.selection import spread, whole_samples

PICTURE_ROWS = 5
PICTURE_SIDE = 320  # pixels; larger pictures are reduced, for looking at them is the gallery's affair


@dataclass(frozen=True)
class PictureRow:
    """One image: its name, and (heading, data URI or "" where there is none) for every column."""

    name: str
    cells: tuple[tuple[str, str], ...]


def picture_rows(evaluation: Evaluation) -> list[PictureRow]:
    """A few images of the first folder: photo, annotations, the styles of every folder, drawings."""
    keys = spread(list(evaluation.shards[0].chosen), PICTURE_ROWS)
    columns: dict[str, dict[str, str]] = {key: {} for key in keys}
    names = style_names(evaluation.shards)
    for index, one in enumerate(evaluation.shards):
        here = [key for key in keys if key in one.keys]
        for sample in whole_samples(one.path, one.manifest, one.keys, here):
            cells = columns[sample.key]
            if not index:
                cells["photo"] = _picture(sample.image, photo=True)
                annotation = evaluation.annotations[0].get(sample.key)
                if evaluation.options.boundaries:
                    cells["people's boundaries"] = _annotation(annotation, one.frame) if annotation else ""
            for name, sketch in zip(names[index], sample.sketches, strict=True):
                cells[name] = _picture(sketch)
    for one, name in zip(
        evaluation.drawings, distinct_names([one.path for one in evaluation.drawings]), strict=True
    ):
        for key, uri in zip(
            keys, _drawings(one, [evaluation.shards[0].photos[key] for key in keys]), strict=True
        ):
            columns[key][f"{name} (drawings)"] = uri
    headings = list(dict.fromkeys(heading for cells in columns.values() for heading in cells))
    return [
        PictureRow(key, tuple((heading, cells.get(heading, "")) for heading in headings))
        for key, cells in columns.items()
    ]


def _drawings(one: DrawingSet, photos: Sequence[str]) -> list[str]:
    """A drawing for every photo: one made from it where there is one, else any."""
    of_photo = dict(zip(reversed(one.photos), reversed(one.drawings), strict=True))
    others = spread(one.drawings, len(photos))
    result = []
    for index, photo in enumerate(photos):
        drawing = of_photo.get(photo, others[index % len(others)])
        try:
            result.append(_picture(drawing.read()))
        except ImageError:
            result.append("")
    return result


def _picture(data: bytes, photo: bool = False) -> str:
    pixels = _reduced(read_image(data))
    return _uri(pixels if photo else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def _annotation(path: Path, frame: tuple[int, str]) -> str:
    """Boundaries over each other: the more annotators drew a pixel, the darker."""
    drawn = np.mean([fit_boundaries(annotation, *frame) for annotation in read_boundaries(path)], axis=0)
    return _uri(_reduced(np.rint(255 * (1 - drawn)).astype(np.uint8)))


def _reduced(picture: np.ndarray) -> np.ndarray:
    scale = PICTURE_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _uri(picture: np.ndarray) -> str:
    if picture.ndim == 3:
        return data_uri("image/jpeg", encode_jpeg(picture))
    return data_uri("image/png", encode_png(picture, bilevel=bool(np.isin(picture, (0, 255)).all())))
