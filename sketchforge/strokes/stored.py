"""A picture's strokes as a file, KEY.strokes.json: what was traced, and the lines of ink of every hand.

Everything is whole numbers in columns, so that the files of a folder have one schema whatever is in them
(docs/shard-format.md).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sketchforge.strokes.choosing import StrokeFeatures, describe_strokes, weigh_strokes
from sketchforge.strokes.consensus import INK
from sketchforge.strokes.hands import Hand
from sketchforge.strokes.painting import paint_lines
from sketchforge.strokes.strokes import StrokeSet
from sketchforge.strokes.subject import SHAPE as SUBJECT_SHAPE
from sketchforge.strokes.subject import decode_subject, encode_subject, place_subject
from sketchforge.utils.files import has_shape, parse_json
from sketchforge.utils.seeding import numpy_generator

if TYPE_CHECKING:  # tracing loads SciPy, which readers do without
    from sketchforge.strokes.draw import HandDrawing, TracedPicture

FORMAT, VERSION = "sketchforge-strokes", 2
PER_PIXEL = 48  # points and widths are in so many parts of a pixel: the grid on which pens are painted
MOST_SALIENT = 1000
# The parts of the file and their types; [[int]] is a list of numbers for each stroke.
SHAPE: dict[str, Any] = {
    "format": str,
    "version": int,
    "size": [int],
    "per_pixel": int,
    "subject": SUBJECT_SHAPE,
    "strokes": {
        "points": [[int]],
        "closed": [int],
        "width": [int],
        "salience": [int],
        "darkness": [int],
        "foreground": [int],
        "presence": [[int]],
    },
    "hands": {"name": [str], "taken": [[int]], "lines": [[[int]]], "widths": [[[int]]]},
}
# Bounds of what is read.
MAX_BYTES = 64 << 20
MAX_SIDE = 1 << 14
MAX_NUMBERS = 1 << 23
BEYOND = 8  # how many times the picture's side a point may lie from its corner

PLAIN = Hand("plain", taste=0.0, own=0.0)


@dataclass(frozen=True)
class StoredHand:
    """The lines of ink of one sketch."""

    name: str
    taken: np.ndarray  # int64: the numbers of the strokes that it took
    lines: StrokeSet
    widths: np.ndarray  # float64 (P,): of the ink at the lines' points, in pixels

    def paint(self) -> np.ndarray:
        """The sketch, uint8 HxW in grey, 255 = paper."""
        return paint_lines(self.lines, self.widths, self.lines.size)


@dataclass(frozen=True)
class StoredStrokes:
    """A picture's strokes in the pixels of the stored image, of S strokes and N snapshots."""

    strokes: StrokeSet
    width: np.ndarray  # float64 (S,), in pixels: of the line that was traced
    salience: np.ndarray  # float64 (S,) in [0, 1]: to a hand without tastes, in shares of the largest
    darkness: np.ndarray  # float64 (S,) in [0, 1]
    foreground: np.ndarray  # float64 (S,) in [0, 1]
    presence: np.ndarray  # float64 (S,N) in [0, 1]: how much of the stroke each snapshot has
    subject: np.ndarray  # bool hxw, see `subject.map_size`: where the picture's subject is
    hands: tuple[StoredHand, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the stored image."""
        return self.strokes.size

    def features(self) -> StrokeFeatures:
        """What a hand weighs."""
        blank, even = np.zeros(self.size, np.float32), np.ones(self.size, np.float32)
        placed = describe_strokes(self.strokes, blank, blank[None], blank, blank, even, blank)
        return replace(placed, darkness=self.darkness, presence=self.presence, foreground=self.foreground)

    def traced(self) -> StoredHand:
        """All strokes as they were traced, each in its width: what there is where no hand has drawn."""
        widths = np.repeat(self.width, np.diff(self.strokes.offsets))
        return StoredHand("traced", np.arange(len(self.strokes)), self.strokes, widths)


def store_strokes(
    picture: TracedPicture,
    drawings: Sequence[HandDrawing],
    names: Sequence[str],
    size: tuple[int, int],
    stored_size: tuple[int, int] | None = None,
) -> StoredStrokes:
    """What is kept of a picture and its drawings. size: (height, width) of the sketches as drawn.

    stored_size: of the paper in whose middle they are put; None: their own.
    """
    paper = stored_size or size
    corner = np.array([(paper[1] - size[1]) // 2, (paper[0] - size[0]) // 2])
    scale = max(size) / picture.strokes.side

    def place(strokes: StrokeSet) -> StrokeSet:
        points = (strokes.points.astype(np.float64) + 0.5) * scale - 0.5 + corner
        return StrokeSet(points.astype(np.float32), strokes.offsets, strokes.closed, paper)

    features, strokes = picture.features, picture.strokes
    salience = weigh_strokes(features, strokes.closed, PLAIN, numpy_generator(0, "plain"))
    return StoredStrokes(
        strokes=place(strokes),
        width=strokes.means(strokes.sample(_measure_widths(picture.darkness))) * scale,
        salience=salience / max(float(salience.max(initial=0)), 1e-300),
        darkness=features.darkness,
        foreground=features.foreground,
        presence=features.presence,
        subject=place_subject(picture.tone.subject, size, paper),
        hands=tuple(
            StoredHand(name, drawing.taken, place(drawing.lines), drawing.widths * scale)
            for name, drawing in zip(names, drawings, strict=True)
        ),
    )


def _measure_widths(darkness: np.ndarray) -> np.ndarray:
    """float32 HxW: at the middle of a line its width in pixels, to a pixel, at least 1."""
    ink = (darkness > INK).astype(np.uint8)
    # The middle of a line of k pixels is (k + 1) / 2 from the paper.
    return np.maximum(2 * cv2.distanceTransform(ink, cv2.DIST_L2, 3) - 1, 1)


def strokes_to_json(stored: StoredStrokes) -> bytes:
    strokes = {
        "points": _encode_points(stored.strokes),
        "closed": stored.strokes.closed.astype(int).tolist(),
        "width": _round(stored.width * PER_PIXEL),
        "salience": _round(stored.salience * MOST_SALIENT),
        "darkness": _round(stored.darkness * 100),
        "foreground": _round(stored.foreground * 100),
        "presence": _round(stored.presence * 100),
    }
    hands = {
        "name": [hand.name for hand in stored.hands],
        "taken": [hand.taken.tolist() for hand in stored.hands],
        "lines": [_encode_points(hand.lines) for hand in stored.hands],
        "widths": [_encode_widths(hand) for hand in stored.hands],
    }
    value = {
        "format": FORMAT,
        "version": VERSION,
        "size": list(stored.size),
        "per_pixel": PER_PIXEL,
        "subject": encode_subject(stored.subject),
        "strokes": strokes,
        "hands": hands,
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _round(values: np.ndarray) -> list[Any]:
    return np.rint(values).astype(np.int64).tolist()


def _encode_points(strokes: StrokeSet) -> list[list[int]]:
    """For each stroke [x, y, dx, dy, …]: its first point, then the step to each next one."""
    points = np.rint(strokes.points.astype(np.float64) * PER_PIXEL).astype(np.int64)
    steps = np.diff(points, axis=0, prepend=0)
    steps[strokes.offsets[:-1]] = points[strokes.offsets[:-1]]
    flat = steps.ravel().tolist()
    ends = (2 * strokes.offsets).tolist()
    return [flat[begin:end] for begin, end in pairwise(ends)]


def _encode_widths(hand: StoredHand) -> list[list[int]]:
    """For each line the width at each of its points, or a single one where they are equal."""
    widths, ends = _round(hand.widths * PER_PIXEL), hand.lines.offsets.tolist()
    pieces = (widths[begin:end] for begin, end in pairwise(ends))
    return [piece if min(piece) < max(piece) else piece[:1] for piece in pieces]


def strokes_from_json(data: bytes, hands: bool = True) -> StoredStrokes:
    """Read a file of strokes; `hands` False leaves the hands' lines out, which is quicker.

    Raises ValueError, in one line, for whatever `strokes_to_json` would not have written.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data):,} bytes, expected at most {MAX_BYTES:,}")
    value = parse_json(data)
    head = {name: SHAPE[name] for name in ("format", "version", "size", "per_pixel")}
    if not has_shape(value, head) or value["format"] != FORMAT:
        raise ValueError(f'expected "format": "{FORMAT}", version, size and per_pixel')
    if value["version"] != VERSION:
        raise ValueError(f"version {value['version']}, but this sketchforge reads version {VERSION}")
    if len(value["size"]) != 2 or not all(1 <= side <= MAX_SIDE for side in value["size"]):
        raise ValueError(f"size {str(value['size'])[:60]}: expected height and width, 1 to {MAX_SIDE} pixels")
    if not 1 <= value["per_pixel"] <= 1 << 10:
        raise ValueError(f"per_pixel {value['per_pixel']}: expected 1 to {1 << 10}")
    for part in ("strokes", "hands"):
        columns = value.get(part)
        if not isinstance(columns, dict) or not all(
            isinstance(columns.get(name), list) for name in SHAPE[part]
        ):
            raise ValueError(f"{part}: expected lists called {', '.join(SHAPE[part])}")
    size, unit = (value["size"][0], value["size"][1]), value["per_pixel"]
    strokes = _read_strokes(value["strokes"], decode_subject(value.get("subject"), size), size, unit)
    if hands:
        read = tuple(_read_hands(value["hands"], len(strokes.strokes), size, unit))
        strokes = replace(strokes, hands=read)
    return strokes


def _read_strokes(
    columns: dict[str, Any], subject: np.ndarray, size: tuple[int, int], unit: int
) -> StoredStrokes:
    points = _read_lines("strokes.points", columns["points"], size, unit)
    count = len(points)
    limits = {
        "closed": 1,
        "width": unit * MAX_SIDE,
        "salience": MOST_SALIENT,
        "darkness": 100,
        "foreground": 100,
    }
    read = {name: _read_numbers(f"strokes.{name}", columns[name], 0, most) for name, most in limits.items()}
    presence, lengths = _read_lists("strokes.presence", columns["presence"], 0, 100)
    for name, length in [*((name, len(column)) for name, column in read.items()), ("presence", len(lengths))]:
        if length != count:
            raise ValueError(f"strokes.{name}: {length} entries, but there are {count} strokes")
    if len(set(lengths)) > 1 or (lengths and not lengths[0]):
        raise ValueError("strokes.presence: expected as many snapshots for each stroke, one at least")
    return StoredStrokes(
        strokes=replace(points, closed=read["closed"] > 0),
        width=read["width"] / unit,
        salience=read["salience"] / MOST_SALIENT,
        darkness=read["darkness"] / 100,
        foreground=read["foreground"] / 100,
        presence=presence.reshape(count, lengths[0] if lengths else 1) / 100,
        subject=subject,
        hands=(),
    )


def _read_hands(columns: dict[str, Any], num_strokes: int, size: tuple[int, int], unit: int) -> Any:
    names = columns["name"]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("hands.name: expected texts")
    for name in ("taken", "lines", "widths"):
        if len(columns[name]) != len(names):
            raise ValueError(f"hands.{name}: {len(columns[name])} entries, but there are {len(names)} hands")
        if not all(isinstance(column, list) for column in columns[name]):
            raise ValueError(f"hands.{name}: expected a list for each hand")
    for number, name in enumerate(names):
        lines = _read_lines("hands.lines", columns["lines"][number], size, unit)
        widths, counts = _read_lists("hands.widths", columns["widths"][number], 0, unit * MAX_SIDE)
        lengths = np.diff(lines.offsets)
        if len(counts) != len(lines) or any(
            count not in (1, length) for count, length in zip(counts, lengths, strict=True)
        ):
            raise ValueError("hands.widths: expected one for each line, or one for each of its points")
        repeats = np.repeat(np.where(np.array(counts, int) == 1, lengths, 1), counts)
        taken = _read_numbers("hands.taken", columns["taken"][number], 0, num_strokes - 1)
        yield StoredHand(name, taken, lines, np.repeat(widths, repeats) / unit)


def _read_lines(what: str, lists: list[Any], size: tuple[int, int], unit: int) -> StrokeSet:
    limit = BEYOND * MAX_SIDE * unit
    steps, counts = _read_lists(what, lists, -limit, limit)
    if any(count < 4 or count % 2 for count in counts):
        raise ValueError(f"{what}: expected x and y of two points at least")
    offsets = np.fromiter(accumulate(counts, initial=0), np.int64) // 2
    steps = steps.reshape(-1, 2)
    # One sum over all steps, less what it was before each line began.
    sums = np.cumsum(steps, axis=0)
    begins = offsets[:-1]
    before = np.zeros((len(begins), 2), np.int64)
    before[1:] = sums[begins[1:] - 1]
    points = (sums - np.repeat(before, np.diff(offsets), axis=0)) / unit
    if np.abs(points).max(initial=0) > BEYOND * max(size):
        raise ValueError(f"{what}: a point lies more than {BEYOND} times the picture's side away")
    return StrokeSet(points.astype(np.float32), offsets, np.zeros(len(counts), bool), size)


def _read_lists(what: str, lists: list[Any], least: int, most: int) -> tuple[np.ndarray, list[int]]:
    """(all numbers of these lists one after another, how many each has)."""
    if not all(isinstance(numbers, list) for numbers in lists):
        raise ValueError(f"{what}: expected lists of whole numbers")
    return _read_numbers(what, list(chain.from_iterable(lists)), least, most), [len(item) for item in lists]


def _read_numbers(what: str, numbers: list[Any], least: int, most: int) -> np.ndarray:
    """int64 of a list of whole numbers within bounds."""
    if len(numbers) > MAX_NUMBERS:
        raise ValueError(f"{what}: {len(numbers):,} numbers, expected at most {MAX_NUMBERS:,}")
    # NumPy would take a text or a truth value for a number.
    if not {*map(type, numbers)} <= {int}:
        raise ValueError(f"{what}: expected whole numbers alone")
    if numbers and not (least <= min(numbers) and max(numbers) <= most):
        raise ValueError(f"{what}: a number is not within {least:,} and {most:,}")
    return np.array(numbers, np.int64)
