"""How much each stroke matters, and which ones a hand takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sketchforge.strokes.foreground import centre_weight
from sketchforge.strokes.hands import Hand
from sketchforge.strokes.strokes import StrokeSet

CLOSED_BONUS = 1.5
# An eye's line is short, and it is what is looked for first: along a small dark form a stroke counts as one that is
# longer, by up to this share of the side.
FORM_LENGTH = 0.15
# What a line of the surroundings still counts to a hand that leaves them out: where the foreground holds no line, it
# draws them rather than nothing.
LEAST_FOREGROUND = 0.02
# A foreground with fewer agreed lines in it, in sides, is in doubt, and the surroundings count again.
ENOUGH = 1.2
MOST_FEATURES, CLEAR = 8, 0.4  # strokes, and how much they bound clear dark forms of the subject's middle
MOST_OF_FACES, INSIDE = 12, 0.6  # strokes, and how much of each must lie within a face
# A mask is no contour: lines this near to it, as a share of the side, count as lines of the subject, by up to this.
FRINGE, FRINGE_WEIGHT = 0.05, 0.7
OUTLINE_WIDTH = 0.04  # of the side: what is nearer to the subject's edge may be its outline
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
    outline: np.ndarray  # the share of it that runs along the foreground's edge
    forms: np.ndarray  # how much it bounds small dark forms
    contrast: np.ndarray  # how much the picture's colours differ on its two sides
    face: np.ndarray  # the share of it that lies within a face

    @property
    def agreement(self) -> np.ndarray:
        """The share of the sketches that have it."""
        return self.presence.mean(1)


def describe_strokes(
    strokes: StrokeSet,
    darkness: np.ndarray,
    ink: np.ndarray,
    foreground: np.ndarray,
    forms: np.ndarray,
    contrast: np.ndarray,
    faces: np.ndarray,
) -> StrokeFeatures:
    """Measure strokes on maps of the picture: darkness, foreground, small dark forms, contrast and faces, float32 HxW,
    ink of N sketches, uint8 (N,H,W)."""
    height, width = strokes.size
    x, y = strokes.points.T
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    return StrokeFeatures(
        length=strokes.lengths() / strokes.side,
        darkness=strokes.means(strokes.sample(darkness)),
        presence=np.stack([strokes.means(strokes.sample(layer)) for layer in ink], 1),
        foreground=strokes.means(strokes.sample(_add_fringe(foreground, FRINGE * strokes.side))),
        centre=strokes.means(strokes.sample(centre_weight(strokes.size))),
        frame=strokes.means(edge < FRAME_MARGIN * strokes.side),
        outline=strokes.means(strokes.sample(_find_outline(foreground, OUTLINE_WIDTH * strokes.side))),
        forms=strokes.means(strokes.sample(forms)),
        contrast=strokes.means(strokes.sample(contrast)),
        face=strokes.means(strokes.sample(faces)),
    )


def _add_fringe(foreground: np.ndarray, width: float) -> np.ndarray:
    """float32 HxW: the foreground, and what it fades to around it."""
    import cv2

    outside = (foreground <= 0.5 * foreground.max()).astype(np.uint8)
    if outside.all():
        return foreground
    away = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
    return np.maximum(foreground, FRINGE_WEIGHT * foreground.max() * np.exp(-((away / width) ** 2)))


def _find_outline(foreground: np.ndarray, width: float) -> np.ndarray:
    """float32 HxW: 1 where the edge of the foreground is at most `width` pixels away."""
    import cv2

    inside = (foreground > 0.5 * foreground.max()).astype(np.uint8)
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 3) + cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)
    return (
        (away <= width).astype(np.float32) if inside.any() and not inside.all() else np.ones_like(foreground)
    )


def weigh_strokes(
    features: StrokeFeatures, closed: np.ndarray, hand: Hand, rng: np.random.Generator
) -> np.ndarray:
    """The salience of each stroke to a hand, float64 (S,).

    (length + FORM_LENGTH·forms)^long · agreement · darkness · (1 - fore + fore·max(mask², LEAST_FOREGROUND))
    · (1 - frame·along the frame) · (1 - contour + contour·max(outline, forms)) · (1 - contrast + contrast·that of the
    stroke²) · (.4 + .6·centre) · a bonus for closed forms · e^N(0, taste), where agreement is that of all sketches, blended by `own` with presence in the hand's own
    one, and fore is the hand's, less where the foreground holds too few lines to be trusted.
    """
    own = features.presence[:, hand.number % features.presence.shape[1]]
    agreement = (1 - hand.own) * features.agreement + hand.own * own
    salience = (features.length + FORM_LENGTH * features.forms) ** hand.long * agreement * features.darkness
    foreground = np.maximum(features.foreground**2, LEAST_FOREGROUND)
    inside = float((features.length * features.agreement * features.foreground).sum())
    strictness = hand.foreground * (1 - max(0.0, 1 - inside / ENOUGH) ** 2)
    salience *= 1 - strictness + strictness * foreground
    salience *= 1 - hand.contour + hand.contour * np.maximum(features.outline, features.forms)
    salience *= 1 - hand.contrast + hand.contrast * features.contrast**2
    salience *= 1 - hand.frame * features.frame
    salience *= 0.4 + 0.6 * features.centre
    salience *= np.where(closed, CLOSED_BONUS, 1.0)
    return salience * np.exp(rng.normal(0, 1, len(salience)) * hand.taste)


def find_features(features: StrokeFeatures) -> np.ndarray:
    """The numbers of the strokes, in order, that no hand leaves out: eyes, nose and mouth.

    Within faces these are the longest and darkest MOST_OF_FACES. Elsewhere they bound clear dark forms of the foreground,
    and most sketches have them; the clearest MOST_FEATURES.
    """
    clear = features.forms * features.foreground * (features.agreement > 0.5) * (0.4 + 0.6 * features.centre)
    of_forms = _find_largest(np.where(clear > CLEAR, clear, 0), MOST_FEATURES)
    within = np.where(features.face > INSIDE, features.length * features.darkness, 0)
    return np.union1d(of_forms, _find_largest(within, MOST_OF_FACES))


def _find_largest(values: np.ndarray, most: int) -> np.ndarray:
    """The numbers of the largest `most` of the values above 0."""
    order = np.argsort(-values, kind="stable")[:most]
    return order[values[order] > 0]


def choose_strokes(salience: np.ndarray, keep: float) -> np.ndarray:
    """The numbers of the strokes, in order, that together hold the share `keep` of all salience, largest first."""
    order = np.argsort(-salience, kind="stable")
    held = np.cumsum(salience[order])
    if not len(held) or held[-1] <= 0:
        return np.zeros(0, np.int64)
    count = int(np.searchsorted(held, keep * held[-1] * (1 - 1e-12))) + 1
    return np.sort(order[:count])
