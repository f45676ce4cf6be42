"""A sketch drawn anew from stored strokes: another choice, other widths, another deformation each time."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from sketchforge.strokes.choosing import choose_strokes, weigh_strokes
from sketchforge.strokes.hands import Hand, read_hands
from sketchforge.strokes.moving import draw_lines, move_strokes
from sketchforge.strokes.painting import paint_strokes
from sketchforge.strokes.stored import StoredStrokes
from sketchforge.utils.seeding import numpy_generator

JITTER = 0.35  # std of the logarithm of each parameter's factor
THINNEST, BROADEST = 0.004, 0.03  # pens, in shares of the side
LEAST_KEPT = 0.7  # of all salience, where a drawing is at its sparsest
DROP = 0.6  # the highest probability that the least of strokes is left out
SHORT = 0.1  # of the side: a stroke of this length is left out with e^-1 of the probability of a short one
_DRAWN_APART = {"keep", "pen", "pressure"}  # not by a factor


def redraw_sketch(stored: StoredStrokes, seed: int, *key: object) -> np.ndarray:
    """Draw a sketch anew by a random hand: uint8 HxW in grey, 255 = paper, as a function of (seed, key).

    The hand is one of those that ship with other parameters, and stays in its place: pictures and their sketches
    fit. Short strokes of little salience may be left out.
    """
    rng = numpy_generator(seed, "redraw", *key)
    hand = _vary_hand(rng)
    strokes, features = stored.strokes, stored.features()
    salience = weigh_strokes(features, strokes.closed, hand, rng)
    taken = choose_strokes(salience, hand.keep)
    if len(taken):
        taken = drop_strokes(taken, salience[taken], features.length[taken], rng)
    lines = draw_lines(move_strokes(strokes.select(taken), hand, rng), hand, rng)
    return paint_strokes(lines, hand, None, rng, stored.size)


@lru_cache(maxsize=1)
def _builtin_hands() -> tuple[Hand, ...]:
    return tuple(read_hands())


def _vary_hand(rng: np.random.Generator) -> Hand:
    hands = _builtin_hands()
    hand = hands[rng.integers(len(hands))]
    changes: dict[str, Any] = {}
    for field in fields(Hand):
        value = getattr(hand, field.name)
        if isinstance(value, float) and field.name not in _DRAWN_APART:
            varied = value * float(np.exp(rng.normal(0, JITTER)))
            changes[field.name] = min(varied, 1.0) if value <= 1 else varied  # most of them are shares
    pen = float(np.clip(hand.pen * np.exp(rng.normal(0, JITTER)), THINNEST, BROADEST))
    return replace(
        hand,
        **changes,
        pen=pen,
        keep=float(rng.uniform(LEAST_KEPT, 1)),
        pressure=0.0,  # how dark the picture was is not stored
        fills_paper=False,
    )


def drop_strokes(
    taken: np.ndarray, salience: np.ndarray, length: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Leave strokes out, the likelier the shorter and the less salient; the most salient one stays.

    taken: their numbers. salience, length: of each of these. Returns the numbers of those that are left.
    """
    probability = rng.uniform(0, DROP) * (1 - salience / salience.max()) * np.exp(-length / SHORT)
    return taken[rng.random(len(taken)) >= probability]
