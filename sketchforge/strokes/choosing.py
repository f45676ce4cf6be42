"""How much each stroke matters, and which ones a hand takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sketchforge.strokes.foreground import centre_weight
from sketchforge.strokes.hands import Hand
from sketchforge.strokes.strokes import StrokeSet

CLOSED_BONUS = 1.5
# What a line of the surroundings still counts to a hand that leaves them out: where the foreground holds no line, it
# draws them rather than nothing.
LEAST_FOREGROUND = 0.02
FRAME_MARGIN = 0.035  # of the side: a line nearer to the edge of the picture may be its frame


@dataclass(frozen=True)
class StrokeFeatures:
    """What is known of each stroke, float64 (S,); shares and darkness in [0, 1]."""

    length: np.ndarray  # in shares of the side
    darkness: np.ndarray
    presence: np.ndarray  # float64 (S,N): how much of it each of the N sketches has
    foreground: np.ndarray
    centre: np.ndarray
    frame: np.ndarray  # the share of it that runs along the picture's edge

    @property
    def agreement(self) -> np.ndarray:
        """The share of the sketches that have it."""
        return self.presence.mean(1)


def describe_strokes(
    strokes: StrokeSet, darkness: np.ndarray, ink: np.ndarray, foreground: np.ndarray
) -> StrokeFeatures:
    """Measure strokes on maps of the picture: darkness and foreground, float32 HxW, ink of N sketches, uint8 (N,H,W)."""
    height, width = strokes.size
    x, y = strokes.points.T
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    return StrokeFeatures(
        length=strokes.lengths() / strokes.side,
        darkness=strokes.means(strokes.sample(darkness)),
        presence=np.stack([strokes.means(strokes.sample(layer)) for layer in ink], 1),
        foreground=strokes.means(strokes.sample(foreground)),
        centre=strokes.means(strokes.sample(centre_weight(strokes.size))),
        frame=strokes.means(edge < FRAME_MARGIN * strokes.side),
    )


def weigh_strokes(
    features: StrokeFeatures, closed: np.ndarray, hand: Hand, rng: np.random.Generator
) -> np.ndarray:
    """The salience of each stroke to a hand, float64 (S,).

    length^long · agreement · darkness · (1 - fore + fore·max(mask², LEAST_FOREGROUND)) · (1 - frame·along the frame)
    · (.4 + .6·centre) · a bonus for closed forms · e^N(0, taste), where agreement is that of all sketches, blended by
    `own` with presence in the hand's own one.
    """
    own = features.presence[:, hand.number % features.presence.shape[1]]
    agreement = (1 - hand.own) * features.agreement + hand.own * own
    salience = features.length**hand.long * agreement * features.darkness
    foreground = np.maximum(features.foreground**2, LEAST_FOREGROUND)
    salience *= 1 - hand.foreground + hand.foreground * foreground
    salience *= 1 - hand.frame * features.frame
    salience *= 0.4 + 0.6 * features.centre
    salience *= np.where(closed, CLOSED_BONUS, 1.0)
    return salience * np.exp(rng.normal(0, 1, len(salience)) * hand.taste)


def choose_strokes(salience: np.ndarray, keep: float) -> np.ndarray:
    """The numbers of the strokes, in order, that together hold the share `keep` of all salience, largest first."""
    order = np.argsort(-salience, kind="stable")
    held = np.cumsum(salience[order])
    if not len(held) or held[-1] <= 0:
        return np.zeros(0, np.int64)
    count = int(np.searchsorted(held, keep * held[-1] * (1 - 1e-12))) + 1
    return np.sort(order[:count])
