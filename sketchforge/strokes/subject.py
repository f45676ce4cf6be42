"""Where a picture's subject is, as a small map that is stored as runs of equal pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from sketchforge.strokes.tone import SIDE
from sketchforge.utils.files import has_shape

SHAPE = {"size": [int], "runs": [int]}  # of its JSON


def map_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the map of a picture of `size`: the longer side is SIDE, as that of all maps of tone."""
    scale = SIDE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def place_subject(subject: np.ndarray, size: tuple[int, int], paper: tuple[int, int]) -> np.ndarray:
    """A subject's map as it is on paper in whose middle the picture lies: bool hxw, `map_size` of the paper.

    subject: float32 of any size, 1 where it is. size, paper: (height, width) of the picture and of the paper.
    """
    scale = SIDE / max(paper)
    height, width = map_size(paper)
    rows, columns = min(height, round(size[0] * scale)), min(width, round(size[1] * scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    placed = np.zeros((height, width), bool)
    small = cv2.resize(subject, (max(1, columns), max(1, rows)), interpolation=cv2.INTER_NEAREST)
    placed[top : top + rows, left : left + columns] = small[:rows, :columns] > 0.5
    return placed


def encode_subject(subject: np.ndarray) -> dict[str, Any]:
    """A map as JSON: the lengths of its runs, row by row, in turn outside and inside, the first one outside."""
    flat = subject.ravel()
    ends = np.append(np.flatnonzero(np.diff(flat)) + 1, flat.size)
    runs = np.diff(ends, prepend=0).tolist()
    return {"size": list(subject.shape), "runs": [0, *runs] if flat[0] else runs}


def decode_subject(value: Any, size: tuple[int, int]) -> np.ndarray:
    """Read what `encode_subject` gave for a picture of `size`: bool hxw. Raises ValueError, in one line, for all else."""
    if not has_shape(value, SHAPE):
        raise ValueError("subject: expected size and runs, lists of whole numbers")
    expected = map_size(size)
    if value["size"] != list(expected):
        raise ValueError(f"subject.size {str(value['size'])[:60]}: expected {list(expected)}")
    count = expected[0] * expected[1]
    if len(value["runs"]) > count + 1 or sum(value["runs"]) != count:
        raise ValueError(f"subject.runs: expected lengths that add up to {count:,}")
    inside = np.arange(len(value["runs"])) % 2 > 0
    return np.repeat(inside, value["runs"]).reshape(expected)
