"""The photos and people's drawings of the utility study: which are tested, and which are trained on."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sketchforge.images.decode import read_image
from sketchforge.images.hand_drawn import fit_drawing, normalize_drawing
from sketchforge.images.resize import fit_square

PEOPLE_SEEN = 60  # photos whose drawings TOM's recipe was chosen by, and as many again for its thresholds
SAME_IMAGE = 0.9  # correlation of two thumbnails, or of one with the other mirrored


@dataclass(frozen=True)
class Drawing:
    """One of people's drawings, and the photo it was made from; paths relative to DATA."""

    sketch: str
    photo: str


def people(data: Path) -> list[Drawing]:
    with open(data / "photo_sketch_pairs.tsv", encoding="utf-8", newline="") as file:
        return [Drawing(row["sketch"], row["photo"]) for row in csv.DictReader(file, delimiter="\t")]


def gallery(drawings: Sequence[Drawing]) -> list[str]:
    """The photos that are searched, in order."""
    return sorted({drawing.photo for drawing in drawings})


def development(photos: Sequence[str]) -> set[str]:
    """Those by whose drawings TOM's recipe (every so many-th) and its thresholds (the next) were chosen."""
    chosen = [at * len(photos) // PEOPLE_SEEN for at in range(PEOPLE_SEEN)]
    return {photo for at in chosen for photo in photos[at : at + 2]}


def training_photos(data: Path) -> list[Path]:
    """Photos of the kinds of the table, and of BSDS500: none of the table's, and none twice, by content."""
    tested = gallery(people(data))
    kinds = sorted({str(Path(photo).parent) for photo in tested})
    folders = [*kinds, "photos/bsds500/train", "photos/bsds500/val"]
    found = [path for folder in folders for path in sorted((data / folder).iterdir())]
    kept = distinct([thumbnail(data / photo) for photo in tested], [thumbnail(path) for path in found])
    return [found[at] for at in kept]


def thumbnail(path: Path) -> np.ndarray:
    """float64 16×16×3, mean 0 and norm 1."""
    small = fit_square(read_image(path), 16, "crop").astype(float)
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-9)


def distinct(taken: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> list[int]:
    """Which of `found` are neither among `taken` nor earlier in `found`, mirrored or not."""
    known, kept = list(taken), []
    for at, image in enumerate(found):
        views = np.stack([image, image[:, ::-1]]).reshape(2, -1)
        if not known or (views @ np.stack(known).reshape(len(known), -1).T).max() < SAME_IMAGE:
            known.append(image)
            kept.append(at)
    return kept


def read_drawing(path: Path, size: int, normalise: bool) -> np.ndarray:
    """uint8 S×S, 255 = paper; as it is, or as sketches are made of drawings before a model sees them."""
    image = read_image(path)
    grey = normalize_drawing(image).sketch if normalise else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return fit_drawing(grey, size)
