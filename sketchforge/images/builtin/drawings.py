"""The default sketch domain: every subject drawn with one or two of the pens."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from . import (
    subjects_buildings,
    subjects_clothes,
    subjects_craft,
    subjects_faces,
    subjects_interiors,
    subjects_mammals,
    subjects_objects,
    subjects_other_animals,
    subjects_plants,
    subjects_scenes,
    subjects_wheeled,
)
from .pens import PEN_TABLE, draw_strokes
from .sketch import Sketch
from .strokes import Stroke, rotation_matrix

_THEMES = (
    subjects_buildings,
    subjects_clothes,
    subjects_craft,
    subjects_faces,
    subjects_interiors,
    subjects_mammals,
    subjects_objects,
    subjects_other_animals,
    subjects_plants,
    subjects_scenes,
    subjects_wheeled,
)
_AUTHORS = {name: author for theme in _THEMES for name, author in theme.SUBJECTS.items()}

PENS: tuple[str, ...] = tuple(PEN_TABLE)


# Chosen by hand: a broad pen would clog a crowded image, a hairline starves a bare one. The order is that of the
# drawings, which trainings depend on.
_DEFAULT_PENS: dict[str, str] = {
    "woman": "quill brush",
    "bearded-man": "calligraphic",
    "child": "cartoon pencil",
    "profile": "brush",
    "three-quarter": "pressure technical",
    "old-man": "pencil",
    "curly": "marker",
    "cat": "marker doubled",
    "dog": "scratchy cartoon",
    "songbird": "quill",
    "fish": "calligraphic",
    "horse": "brush",
    "elephant": "broken marker",
    "rabbit": "doubled",
    "owl": "architect",
    "butterfly": "pressure",
    "cottage": "pencil calligraphic",
    "church": "architect",
    "lighthouse": "doubled",
    "windmill": "technical",
    "oak": "marker pencil",
    "sunflower": "pressure",
    "rose": "brush",
    "cactus": "broken cartoon",
    "mushrooms": "quill",
    "tulip-vase": "calligraphic",
    "teapot": "doubled marker",
    "scissors": "technical",
    "desk-lamp": "cartoon architect",
    "keys": "scratchy",
    "rocking-chair": "pencil",
    "guitar": "quill",
    "camera": "technical",
    "car": "cartoon broken",
    "bicycle": "architect",
    "sailing-boat": "brush pencil",
    "aeroplane": "pressure",
    "locomotive": "technical",
    "balloon": "scratchy",
    "dress": "quill marker",
    "boot": "architect",
    "jacket": "broken",
    "straw-hat": "doubled",
    "street": "quill",
    "mountains": "broken",
    "still-life": "brush",
    "room": "pencil",
    "harbour": "architect",
}
SUBJECTS: tuple[str, ...] = tuple(_DEFAULT_PENS)


def draw(subject: str, pen: str, size: int = 256, seed: int = 0) -> np.ndarray:
    """Draw one of SUBJECTS with one of PENS.

    Returns uint8 (size, size), 0 = ink, 255 = paper.  The result depends only on the arguments.  The seed
    varies the hand: a slight turn and scale of the whole drawing, and the pen's irregularities.
    """
    digest = hashlib.sha256(f"{seed}/{subject}/{pen}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    turn = rotation_matrix(rng.uniform(-1.5, 1.5)) * rng.uniform(0.96, 1.0)
    strokes = [_turn_stroke(stroke, turn) for stroke in _author_strokes(subject)]
    return draw_strokes(strokes, PEN_TABLE[pen], size, rng)


def load_drawings(size: int = 256, seed: int = 0) -> list[tuple[str, np.ndarray]]:
    """The drawings used for training by default: list of (key, drawing), see :func:`draw`.

    Keys are ``subject-pen``.  Every subject appears with one or two pens and every pen with several themes.
    """
    return [
        (f"{subject}-{pen}", draw(subject, pen, size, seed))
        for subject in SUBJECTS
        for pen in _DEFAULT_PENS[subject].split()
    ]


@cache
def _author_strokes(subject: str) -> tuple[Stroke, ...]:
    sketch = Sketch()
    _AUTHORS[subject](sketch)
    return tuple(sketch.strokes)


def _turn_stroke(stroke: Stroke, turn: np.ndarray) -> Stroke:
    def about_centre(points: np.ndarray) -> np.ndarray:
        return (points - 0.5) @ turn.T + 0.5

    area = None if stroke.area is None else about_centre(stroke.area)
    return Stroke(about_centre(stroke.points), stroke.weight, area, stroke.ink)
