"""A sketch drawn anew from stored strokes: another choice, other widths, another deformation each time.

Tone is laid on anew, too: from the picture itself, where its subject is stored.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from sketchforge.strokes.choosing import StrokeFeatures, choose_strokes, find_features, weigh_strokes
from sketchforge.strokes.hands import Hand, read_hands
from sketchforge.strokes.moving import draw_lines, move_strokes
from sketchforge.strokes.painting import ink_lines, paint_lines
from sketchforge.strokes.stored import StoredStrokes
from sketchforge.strokes.strokes import StrokeSet
from sketchforge.strokes.tone import Tone, draw_tone, find_forms, measure_tone
from sketchforge.utils.seeding import numpy_generator

JITTER = 0.35  # std of the logarithm of each parameter's factor
THINNEST, BROADEST = 0.004, 0.03  # pens, in shares of the side
LEAST_KEPT = 0.7  # of all salience, where a drawing is at its sparsest
DROP = 0.6  # the highest probability that the least of strokes is left out
SHORT = 0.1  # of the side: a stroke of this length is left out with e^-1 of the probability of a short one
_DRAWN_APART = {"keep", "pen", "pressure", "slant", "spacing", "tone_pen"}  # not by a factor


def redraw_sketch(stored: StoredStrokes, pixels: np.ndarray, seed: int, *key: object) -> np.ndarray:
    """Draw a sketch anew by a random hand: uint8 HxW in grey, 255 = paper, as a function of (seed, key).

    pixels: uint8 HxWx3 RGB, the picture, for its tone. The hand is one of those that ship with other parameters, and
    stays in its place: pictures and their sketches fit. Short strokes of little salience may be left out, never those
    by which eyes and mouths are known.
    """
    rng = numpy_generator(seed, "redraw", *key)
    hand, strokes = _vary_hand(rng), stored.strokes
    tone = measure_tone(pixels, stored.subject.astype(np.float32))
    features = _find_forms(stored, tone)
    salience = weigh_strokes(features, strokes.closed, hand, rng)
    taken = choose_strokes(salience, hand.keep)
    if len(taken):
        taken = drop_strokes(taken, salience[taken], features.length[taken], rng)
    taken = np.union1d(taken, find_features(features)).astype(np.int64)
    shading = draw_tone(tone, hand, stored.size, rng)
    moved = move_strokes(strokes.select(taken).followed_by(shading), hand, rng)
    lines = draw_lines(moved.select(np.arange(len(taken))), hand, rng)
    lines, widths = ink_lines(lines, hand, None, rng)
    return paint_lines(
        *_add_shading(lines, widths, moved.select(np.arange(len(taken), len(moved))), hand, rng), stored.size
    )


def _find_forms(stored: StoredStrokes, tone: Tone) -> StrokeFeatures:
    """The strokes' features with the small dark forms of the picture."""
    forms = cv2.resize(find_forms(tone), stored.size[::-1], interpolation=cv2.INTER_LINEAR)
    return replace(stored.features(), forms=stored.strokes.means(stored.strokes.sample(forms)))


def _add_shading(
    lines: StrokeSet, widths: np.ndarray, shading: StrokeSet, hand: Hand, rng: np.random.Generator
) -> tuple[StrokeSet, np.ndarray]:
    """Lines of ink and their widths, with those of tone, by the pen for it, after them."""
    if not len(shading):
        return lines, widths
    pen = replace(hand, pen=hand.tone_pen, pressure=0.0, taper=0.0)
    inked, inked_widths = ink_lines(shading, pen, None, rng)
    together = StrokeSet.of([*lines, *inked], np.append(lines.closed, inked.closed), lines.size)
    return together, np.concatenate([widths, inked_widths])


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
