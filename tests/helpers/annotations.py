"""Sketches of few lines, their annotations, and what is measured of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sketchforge.images.builtin.drawings import draw
from sketchforge.metrics.sketches.evaluate import evaluate_sketches
from sketchforge.metrics.sketches.result import Row, SketchEvaluation
from sketchforge.options import EvalSketchesOptions
from tests.helpers.stored import png, store

SUBJECTS = ("woman", "cat", "fish", "horse", "cottage", "oak", "teapot", "car")


SIDE = 40  # pixels; the tolerance is 0.42 of one, so lines match where they coincide


def columns(*places: int, level: int = 0) -> np.ndarray:
    """uint8 SIDE x SIDE: upright lines of one pixel on white."""
    sketch = np.full((SIDE, SIDE), 255, np.uint8)
    sketch[:, list(places)] = level
    return sketch


def annotate(path: Path, *annotators: np.ndarray) -> None:
    """A ground-truth file of BSDS500 with each annotator's boundaries, bool HxW."""
    cells = np.empty((1, len(annotators)), object)
    for index, boundaries in enumerate(annotators):
        cells[0, index] = {"Boundaries": boundaries.astype(np.uint8)}
    path.parent.mkdir(exist_ok=True)
    savemat(path, {"groundTruth": cells})


def samples(sketches: dict[str, list[np.ndarray]], binary: bool = True, **more) -> list[dict]:
    return [
        {"key": key, "size": (SIDE, SIDE), "sketches": [png(one, binary) for one in found], **more}
        for key, found in sketches.items()
    ]


def shards_of(folder: Path, sketches: dict[str, list[np.ndarray]], styles: list[str], **options) -> Path:
    binary = options.get("sketch_format") != "png"
    return store(folder, [samples(sketches, binary)], styles, **{"fit": "keep", **options})


def measured(*shards: Path, **options) -> SketchEvaluation:
    return evaluate_sketches(EvalSketchesOptions(shards, **{"workers": 1, **options}))


@contextmanager
def fewer_resamplings() -> Iterator[None]:
    """100 for 1,000, and 4 halvings for 20: for tests that do not look at how close the intervals are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sketchforge.metrics.estimates.RESAMPLINGS", 100)
        patch.setattr("sketchforge.metrics.sketches.summary.HALVINGS", 4)
        yield


def row_of(evaluation: SketchEvaluation, name: str) -> Row:
    return next(row for row in evaluation.rows if row.name == name)


def reasons(evaluation: SketchEvaluation, row: str, block: str) -> list[str]:
    return [gap.reason for gap in evaluation.gaps if (gap.row, gap.block) == (row, block)]


def drawings_in(
    folder: Path, pens: tuple[str, ...] = ("pencil",), subjects=SUBJECTS
) -> dict[str, np.ndarray]:
    """A folder of the built-in drawings, `SUBJECT-PEN.png`, of various sizes."""
    folder.mkdir(parents=True)
    drawn = {
        f"{subject}-{pen}": draw(subject, pen, 80 + 16 * (index % 3))
        for index, subject in enumerate(subjects)
        for pen in pens
    }
    for name, image in drawn.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return drawn
