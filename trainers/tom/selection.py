"""Which generators to keep: the rule in place of the paper's "after it is observed to output good quality".

Pure functions of scores; the training loop measures, this module decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW = 3  # evaluations averaged when asking whether the score still moves
CONTENT_TOLERANCE = 0.04  # of correlation below the best candidate
REALISM_TOLERANCE = 0.15  # of relative distance above the best candidate; failures lie at 0.3 and more
RELAXATION = 1.5


@dataclass(frozen=True)
class Selection:
    """chosen: indices of candidates, the most diverse first. relaxed: how often the tolerances had to be widened."""

    chosen: list[int]
    passing: list[int]
    relaxed: int


def has_plateaued(content: Sequence[float], tolerance: float = 0.02) -> bool:
    """True once the validation content score has stopped moving.

    The mean of the last WINDOW scores lies within `tolerance` of the mean of the WINDOW before them, both relative to
    the latter.
    """
    if len(content) < 2 * WINDOW:
        return False
    before, now = np.mean(content[-2 * WINDOW : -WINDOW]), np.mean(content[-WINDOW:])
    return bool(abs(now - before) <= tolerance * abs(before))


def select(
    content: Sequence[float], realism: Sequence[float], difference: np.ndarray, count: int
) -> Selection:
    """Choose `count` candidates that are good and differ from each other.

    content: correlation of layout with the photo, higher is better. realism: distance to the drawings' statistics,
    lower is better. difference: (M,M) symmetric, how differently two candidates draw the same images.
    Candidates off the best content or realism by more than a tolerance are dropped; when fewer than `count` remain,
    the tolerances are widened until enough do. Then farthest-point selection, from the one of best content on: each
    next one is the candidate farthest from all chosen so far, so every prefix of the result is diverse as well.
    Raises ValueError when there are fewer candidates than `count`.
    """
    content, realism = np.asarray(content, float), np.asarray(realism, float)
    if len(content) < count:
        raise ValueError(f"{len(content)} candidates cannot give {count} snapshots")
    relaxed = 0
    while True:
        widened = RELAXATION**relaxed
        good = content >= content.max() - CONTENT_TOLERANCE * widened
        good &= realism <= realism.min() + REALISM_TOLERANCE * widened
        if good.sum() >= count:
            break
        relaxed += 1
    passing = [int(i) for i in np.flatnonzero(good)]
    chosen = [max(passing, key=lambda i: (content[i], -i))]
    while len(chosen) < count:
        rest = [i for i in passing if i not in chosen]
        chosen.append(max(rest, key=lambda i: (difference[i, chosen].min(), -i)))
    return Selection(chosen, passing, relaxed)


def pairwise_difference(drawings: np.ndarray) -> np.ndarray:
    """(M,V,H,W) sketches in [0, 1] of the same V images by M candidates -> (M,M) mean absolute difference."""
    flat = drawings.reshape(len(drawings), -1)
    return np.stack([np.abs(flat - one).mean(axis=1) for one in flat])
