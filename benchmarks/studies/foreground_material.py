"""What the training pictures of a foreground head are made of: cutouts, photos with their subject marked, grounds.

Cutouts have true alpha (DATA/photos/cutouts); photos and grounds are the built-in photos and
DATA/photos/free_backgrounds. Nothing else, for what ships must be free.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from foreground_subjects import DRAWN_CUTOUTS, IGNORED, NO_GROUND, PHOTO_SUBJECTS

from sketchforge.images.builtin.photos import FOLDER as BUILTIN_PHOTOS
from sketchforge.utils.seeding import choose

HELD_OUT = 5  # one kind of cutout in so many is for tests


@dataclass(frozen=True)
class Layer:
    """float32 HxWx3 RGB in [0, 255], and float32 HxW in [0, 1]: the alpha of an object, the subject of a photo."""

    pixels: np.ndarray
    alpha: np.ndarray
    ignored: np.ndarray | None = None  # bool HxW: what may or may not be a subject


@dataclass(frozen=True)
class Material:
    cutouts: list[Layer]
    photos: list[Layer]  # with their subject marked
    grounds: list[Layer]


def load_material(data: Path, held_out: bool) -> Material:
    """The cutouts for training, or those held out, and all photos and grounds."""
    paths = [
        path for path in sorted((data / "photos/cutouts").glob("*.png")) if path.stem not in DRAWN_CUTOUTS
    ]
    tests = held_out_kinds([path.stem for path in paths])
    cutouts = [read_cutout(path) for path in paths if (kind_of(path.stem) in tests) == held_out]
    photos, grounds = [], []
    for path in [
        *sorted(BUILTIN_PHOTOS.glob("*.jpg")),
        *sorted((data / "photos/free_backgrounds").glob("*.jpg")),
    ]:
        pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        scale = 512 / max(pixels.shape)
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        subject = mark_subject(pixels, PHOTO_SUBJECTS.get(path.stem, []))
        unknown = fill_polygons(pixels.shape[:2], IGNORED.get(path.stem, [])) > 0
        layer = Layer(pixels.astype(np.float32), subject, unknown)
        if path.stem in PHOTO_SUBJECTS:
            photos.append(layer)
        if path.stem not in NO_GROUND:
            grounds.append(layer)
    return Material(cutouts, photos, grounds)


def kind_of(name: str) -> str:
    """ "animals_birds_owl" -> "animals_birds": near duplicates share it."""
    return name.rsplit("_", 1)[0]


def held_out_kinds(names: list[str]) -> set[str]:
    kinds = sorted({kind_of(name) for name in names})
    return {kinds[index] for index in choose(len(kinds) // HELD_OUT, len(kinds), 0, "held-out cutouts")}


def read_cutout(path: Path) -> Layer:
    pixels = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA).astype(np.float32)
    alpha = pixels[..., 3] / 255
    rows, columns = np.nonzero(alpha > 0.5)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    return Layer(pixels[box][..., :3], alpha[box])


def fill_polygons(size: tuple[int, int], polygons: list[list[tuple[float, float]]]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(np.array(polygon) * [size[1] - 1, size[0] - 1]).astype(np.int32)], 1)
    return mask


def mark_subject(pixels: np.ndarray, polygons: list[list[tuple[float, float]]]) -> np.ndarray:
    """float32 HxW: the polygons, their outlines moved by GrabCut to the nearest edges."""
    rough = fill_polygons(pixels.shape[:2], polygons)
    if not rough.any():
        return rough.astype(np.float32)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))
    inner = cv2.erode(rough, kernel, borderType=cv2.BORDER_REPLICATE)
    outer = cv2.dilate(rough, kernel)
    labels = np.where(rough > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[inner > 0], labels[outer == 0] = cv2.GC_FGD, cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(
        pixels[..., ::-1].copy(), labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK
    )
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.medianBlur(mask, 7).astype(np.float32)
