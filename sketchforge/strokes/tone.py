"""Tone: where a picture is dark, in the broad and in small forms, and the lines with which a hand lays it on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sketchforge.strokes.hands import Hand

SIDE = 128  # pixels of the maps' longer side
FORM = 0.045  # of the side: half the width of the largest dark form that is a small one
BROAD = 0.016  # of the side: what is smaller is no shade
LEAST_FORM = 0.10  # lightness: a form that is less darker than what surrounds it is none
CLEAR_FORM, CLEAR_SHARE = 0.2, 0.04  # one that is darker by this, of this share of the subject, is clear
LEAST_SHADE = 0.45  # what is lighter has no hatching
SUBJECT = 0.5  # of the foreground where it is surest: what is more is the subject
MARGIN = 0.02  # of the side: as far from the subject's edge, which is a soft one, hatching ends
SHORTEST = 0.02  # of the side: a shorter line of hatching is left out
STEP = 4 / 256  # of the side: distance of the points of such a line
DENSE = 0.75  # of the pen's width: distance of lines that leave no paper between them
JITTER = 0.2  # std of a line's place, of the distance between two
BACK = 2.5  # times this distance: so far apart may ends be at which the pen goes back along the next line
CONTRAST_BLUR = 1.5  # pixels of the maps
HALF_CONTRAST = 4.0  # in Lab a pixel: where contrast is a half


@dataclass(frozen=True)
class Tone:
    """Maps of a picture, float32 hxw in [0, 1], the longer side SIDE."""

    shade: np.ndarray  # darkness without small forms
    forms: (
        np.ndarray
    )  # how much darker a small form is than what surrounds it, in lightness: eyes, nostrils, mouths
    subject: np.ndarray  # 1 where the foreground is
    contrast: np.ndarray  # how much colours differ on both sides of a place


def measure_tone(pixels: np.ndarray, foreground: np.ndarray) -> Tone:
    """Measure a picture, uint8 HxWx3 RGB. foreground: float32 in [0, 1], of any size."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    lightness = lab[..., 0] / 100
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(FORM * SIDE) + 1,) * 2)
    forms = cv2.morphologyEx(cv2.GaussianBlur(lightness, (0, 0), 0.8), cv2.MORPH_BLACKHAT, kernel)
    shade = 1 - cv2.GaussianBlur(lightness, (0, 0), BROAD * SIDE)
    found = cv2.resize(foreground, size, interpolation=cv2.INTER_LINEAR)
    subject = (found > SUBJECT * found.max()).astype(np.float32)
    return Tone(shade.clip(0, 1), forms.clip(0, 1), subject, _measure_contrast(lab))


def _measure_contrast(lab: np.ndarray) -> np.ndarray:
    """float32 hxwx3 in Lab -> hxw: 0 in one colour, 1/2 where it changes by HALF_CONTRAST a pixel."""
    broad = cv2.GaussianBlur(lab, (0, 0), CONTRAST_BLUR)
    sideways, down = (cv2.Sobel(broad, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (1, 0))
    across = sideways**2 + down**2
    gradient = cv2.dilate(np.sqrt(across.sum(-1)), np.ones((3, 3), np.uint8))  # a line lies beside its edge
    return gradient / (gradient + HALF_CONTRAST)


def find_forms(tone: Tone) -> np.ndarray:
    """float32 hxw: 1 at the darkest of the subject's small forms and along their edges, 0 where there is none."""
    full = _find_level(tone.forms, tone.subject, CLEAR_SHARE, CLEAR_FORM)
    return (cv2.dilate(tone.forms, np.ones((3, 3), np.uint8)) / full).clip(0, 1)


def draw_tone(tone: Tone, hand: Hand, size: tuple[int, int], rng: np.random.Generator) -> list[np.ndarray]:
    """The lines that lay on the hand's tone in a picture of `size`: (n,2) each, in its pixels, not yet moved.

    `hatching` of the subject, its darkest, gets parallel lines, every second one in the darker half alone; `blacks`
    of it, the darkest of its small forms, get lines without paper between them.
    """
    lines: list[np.ndarray] = []
    slant = np.deg2rad(hand.slant + 8 * rng.normal())
    if hand.hatching:
        levels = [
            _find_level(tone.shade, tone.subject, hand.hatching * share, LEAST_SHADE) for share in (1, 0.5)
        ]
        inside = cv2.erode(tone.subject, np.ones((2 * round(MARGIN * SIDE) + 1,) * 2, np.uint8))
        lines += hatch(tone.shade * inside, levels, slant, hand.spacing, size, rng)
    if hand.blacks:
        level = _find_level(tone.forms, tone.subject, hand.blacks, LEAST_FORM)
        lines += hatch(tone.forms * tone.subject, [level], slant, DENSE * hand.tone_pen, size, rng)
    return lines


def hatch(
    darkness: np.ndarray,
    levels: list[float],
    slant: float,
    spacing: float,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Parallel lines through what is darker than a level: (n,2) each, in pixels of a picture of `size`.

    The pen goes back and forth: from a line's end along the next one, where that ends nearby. darkness: float32 hxw.
    Line k takes level k modulo their number. slant: radians. spacing: of the longer side.
    """
    height, width = size
    side, (rows, columns) = max(size), darkness.shape
    along, across = np.array([np.cos(slant), -np.sin(slant)]), np.array([np.sin(slant), np.cos(slant)])
    step, gap = side / SIDE, spacing * side
    reach = np.hypot(height, width) / 2
    num_steps, num_lines = int(reach / step), int(reach / gap)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    corner = middle - num_steps * step * along - num_lines * gap * across
    # Line k in row k: the map turned, its place (m, k) at corner + m·step·along + k·gap·across of the picture.
    to_map = np.array([columns / width, rows / height])[:, None]
    turn = np.stack([step * along, gap * across, corner + 0.5], 1) * to_map - [[0, 0, 0.5]]
    turned = cv2.warpAffine(
        darkness,
        turn,
        (2 * num_steps + 1, 2 * num_lines + 1),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    covered = turned >= np.resize(np.asarray(levels, np.float32), len(turned))[:, None]
    edges = np.diff(np.pad(covered, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    lines, begins = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1] - 1
    offsets = (np.arange(len(turned)) + JITTER * rng.normal(size=len(turned))) * gap
    long = ends - begins >= SHORTEST * SIDE
    spans = np.stack([lines, begins, ends], 1)[long]
    drawn = [
        corner
        + offsets[line] * across
        + np.linspace(begin, end, max(2, round((end - begin) / SIDE / STEP) + 1))[:, None] * step * along
        for line, begin, end in spans
    ]
    return [
        np.concatenate([drawn[number][:: 1 - 2 * (place % 2)] for place, number in enumerate(chain)])
        for chain in _go_back_and_forth(spans, len(levels), BACK * gap / step)
    ]


def _go_back_and_forth(spans: np.ndarray, rows: int, reach: float) -> list[list[int]]:
    """Chains of lines, by number, every second one of which is drawn from its end to its begin.

    spans: int (n,3), row, begin and end, in order of the rows. A chain goes on at most `rows` further, in the nearest of
    these, where the end at which the pen is lies at most `reach` from that of the next line.
    """
    chains: list[list[int]] = []
    for number, (row, *sides) in enumerate(spans):
        nearest = None
        for chain in chains:
            last, side = spans[chain[-1]], len(chain) % 2  # the pen is at the end after 1, 3, ... lines
            apart = abs(last[1 + side] - sides[side])
            overlaps = last[1] <= sides[1] and sides[0] <= last[2]
            if 0 < row - last[0] <= rows and apart <= reach and overlaps:
                nearest = min(nearest or (rows + 1, 0.0, chain), (row - last[0], apart, chain))
        if nearest is None:
            chains.append([number])
        else:
            nearest[2].append(number)
    return chains


def _find_level(darkness: np.ndarray, subject: np.ndarray, share: float, least: float) -> float:
    """The darkness that `share` of the subject exceeds, `least` at least."""
    inside = darkness[subject > 0]
    return max(least, float(np.quantile(inside, 1 - min(share, 1.0)))) if len(inside) else 1.0
