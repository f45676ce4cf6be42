"""The rule that chooses snapshots, for the paper's "after it is observed to output good quality".

All functions are pure functions of scores, which the training loop measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW = 3  # evaluations averaged to test whether the score still changes
CONTENT_TOLERANCE = 0.04  # of correlation below the best candidate
REALISM_TOLERANCE = 0.15  # of relative distance above the best candidate; failures lie at 0.3 and more
RELAXATION = 1.5


@dataclass(frozen=True)
class Selection:
    """The chosen candidates.

    chosen: indices of candidates, the most diverse first. passing: indices of those within the tolerances.
    relaxed: how many times the tolerances were widened.
    """

    chosen: list[int]
    passing: list[int]
    relaxed: int


def has_plateaued(content: Sequence[float], tolerance: float = 0.02) -> bool:
    """Whether the validation content score has stopped changing.

    The mean of the last WINDOW scores differs from the mean of the WINDOW scores before them by at most
    `tolerance`, relative to the latter.
    """
    if len(content) < 2 * WINDOW:
        return False
    earlier_mean, latest_mean = np.mean(content[-2 * WINDOW : -WINDOW]), np.mean(content[-WINDOW:])
    return bool(abs(latest_mean - earlier_mean) <= tolerance * abs(earlier_mean))


def select(
    content: Sequence[float], realism: Sequence[float], difference: np.ndarray, count: int
) -> Selection:
    """Choose `count` candidates that are good and differ from each other.

    content: (M) correlation of layout with the photo, higher is better. realism: (M) distance to the
    drawings' statistics, lower is better. difference: (M,M) symmetric, how differently two candidates draw
    the same images.
    1. Candidates off the best content or realism by more than a tolerance are dropped. While fewer than
       `count` remain, the tolerances are widened.
    2. Farthest-point selection: the candidate of best content is first; each next one is the candidate
       farthest from all chosen so far, so every prefix of the result is diverse as well.
    Raises ValueError when there are fewer candidates than `count`.
    """
    content, realism = np.asarray(content, float), np.asarray(realism, float)
    if len(content) < count:
        raise ValueError(f"{len(content)} candidates cannot give {count} snapshots")
    relaxed = 0
    while True:
        factor = RELAXATION**relaxed
        passes = content >= content.max() - CONTENT_TOLERANCE * factor
        passes &= realism <= realism.min() + REALISM_TOLERANCE * factor
        if passes.sum() >= count:
            break
        relaxed += 1
    passing = [int(i) for i in np.flatnonzero(passes)]
    chosen = [max(passing, key=lambda i: (content[i], -i))]
    while len(chosen) < count:
        remaining = [i for i in passing if i not in chosen]
        chosen.append(max(remaining, key=lambda i: (difference[i, chosen].min(), -i)))
    return Selection(chosen, passing, relaxed)


def pairwise_difference(drawings: np.ndarray) -> np.ndarray:
    """(M,V,H,W) sketches in [0, 1] of the same V images by M candidates -> (M,M) mean absolute difference."""
    flat_drawings = drawings.reshape(len(drawings), -1)
    return np.stack([np.abs(flat_drawings - flat_drawing).mean(axis=1) for flat_drawing in flat_drawings])
