"""The recognition study's photos, drawings and their preparation: who is trained on, who is asked, what is withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from utility_data import Drawing, development, gallery, people, training_photos

from sketchforge.images.decode import read_image
from sketchforge.images.hand_drawn import fit_drawing

UNSEEN = "horse"  # the kind that nothing is tuned on
FOLDS = 5  # seed s leaves out the s-th fold of the training photos
FILL = 0.79  # longer side of the ink's box, of the square: people's drawings in this data are so
INK = 192  # a darker pixel is ink


@dataclass(frozen=True)
class Tested:
    """People's drawings in their order, what each shows, and to which half it belongs."""

    drawings: Sequence[Drawing]
    kinds: tuple[str, ...]  # sorted, the unseen one last: without it numbers stay the same
    labels: np.ndarray  # int (D,), into kinds
    is_development: np.ndarray  # bool (D,)

    @property
    def is_unseen(self) -> np.ndarray:
        """bool (D,): drawings of the kind that nothing is tuned on."""
        return self.labels == self.kinds.index(UNSEEN)

    @property
    def tuning(self) -> np.ndarray:
        """int: the numbers of the drawings that may be looked at before the end."""
        return np.flatnonzero(self.is_development & ~self.is_unseen)

    @property
    def photos(self) -> list[str]:
        """The photo of each drawing."""
        return [drawing.photo for drawing in self.drawings]


def kind_of(path: str | Path) -> str:
    """What a photo shows, by its folder."""
    return Path(path).parent.name


@cache
def tested_drawings(data: Path) -> Tested:
    drawings = people(data)
    photos = gallery(drawings)
    halves = development(photos)
    shown = {kind_of(photo) for photo in photos}
    kinds = (*sorted(shown - {UNSEEN}), UNSEEN)
    labels = np.array([kinds.index(kind_of(drawing.photo)) for drawing in drawings])
    return Tested(drawings, kinds, labels, np.array([drawing.photo in halves for drawing in drawings]))


@cache
def labelled_photos(data: Path) -> list[Path]:
    """The training photos of the drawings' kinds, in order."""
    kinds = {kind_of(photo) for photo in gallery(people(data))}
    return [path for path in training_photos(data) if kind_of(path) in kinds]


def kept_photos(photos: Sequence[Path], seed: int) -> list[Path]:
    """Those of four fifths of each kind: every FOLDS-th photo of a kind is left out, another fifth by seed."""
    numbers: dict[str, int] = {}
    kept = []
    for photo in photos:
        number = numbers.setdefault(kind_of(photo), 0)
        numbers[kind_of(photo)] += 1
        if number % FOLDS != seed % FOLDS:
            kept.append(photo)
    return kept


def without_unseen(photos: Sequence[Path]) -> list[Path]:
    return [photo for photo in photos if kind_of(photo) != UNSEEN]


def ink_square(sketch: np.ndarray, size: int) -> np.ndarray:
    """uint8 HxW, 255 = paper -> uint8 size×size: the ink's box in the middle, its longer side FILL of the square.

    A sketch without ink is blank paper.
    """
    rows, columns = (np.flatnonzero((sketch < INK).any(axis)) for axis in (1, 0))
    if not len(rows):
        return np.full((size, size), 255, np.uint8)
    box = sketch[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = round(max(box.shape) / FILL)
    top, left = (side - box.shape[0]) // 2, (side - box.shape[1]) // 2
    bottom, right = side - box.shape[0] - top, side - box.shape[1] - left
    paper = cv2.copyMakeBorder(box, top, bottom, left, right, cv2.BORDER_CONSTANT, value=255)
    return fit_drawing(paper, size)


def read_drawings(data: Path, drawings: Sequence[Drawing], size: int) -> np.ndarray:
    """uint8 (D,size,size), prepared as sketches are."""
    greys = (cv2.cvtColor(read_image(data / drawing.sketch), cv2.COLOR_RGB2GRAY) for drawing in drawings)
    return np.stack([ink_square(grey, size) for grey in greys])
