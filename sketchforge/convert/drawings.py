"""The drawings of a shard folder, one after another: the lines of ink of every sample and hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sketchforge.convert.pairs import find_class
from sketchforge.errors import UsageError
from sketchforge.shards import schema
from sketchforge.shards.reader import raw_samples, read_errors
from sketchforge.shards.shard_set import ShardSet
from sketchforge.strokes.stored import StoredHand, strokes_from_json
from sketchforge.utils.seeding import uniforms

TRACED = "traced"  # the only drawing of samples that no hand has drawn
SIMPLE_SIDE = 255  # of a simplified drawing, its longer side, as Quick, Draw! has it
TOLERANCE = 2.0  # of its lines, in its own units
# Of a set without splits: parts and where each ends, in a number that follows from the key, so that all drawings of an
# image are in one part.
PARTS = (("train", 0.9), ("valid", 0.95), ("test", 1.0))


@dataclass(frozen=True)
class LineDrawing:
    """What one hand has drawn of one image."""

    key: str
    word: str  # the name of the image's class, "" where it has none
    part: str  # that it belongs to, see `find_part`
    hand: StoredHand


def pick_names(shards: ShardSet, wanted: Sequence[str]) -> list[str]:
    """The names of the drawings of every sample that are wanted, all where none is named.

    Raises UsageError for a name that no hand of the shards has.
    """
    # Where no hand has drawn, there are the strokes as they were traced.
    names = list(shards.styles) if "hands" in shards.options else [TRACED]
    for name in wanted:
        if name not in names:
            raise UsageError(f"--hand {name}: no such hand in {shards.source}; there are {', '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


def read_drawings(
    shards: ShardSet, keys: Collection[str], names: Sequence[str]
) -> Iterator[list[LineDrawing]]:
    """Yield the drawings of these names of each sample of `keys`, in stored order.

    Raises SketchforgeError for strokes that are missing or damaged.
    """
    for sample in raw_samples(shards, keys):
        with read_errors(shards.source, shards.tar(sample.key)):
            member = schema.extra_member(sample.key, schema.STROKES)
            if schema.STROKES not in sample.extras:
                raise ValueError(f"{member} is missing")
            try:
                stored = strokes_from_json(sample.extras[schema.STROKES], hands=TRACED not in names)
            except ValueError as error:
                raise ValueError(f"{member}: {error}") from error
            hands = {hand.name: hand for hand in (stored.hands or [stored.traced()])}
            if missing := [name for name in names if name not in hands]:
                raise ValueError(f"{member}: has no hand {missing[0]}")
        number, part = find_class(shards, sample), find_part(shards, sample.key)
        word = "" if number is None else shards.classes[number]
        yield [LineDrawing(sample.key, word, part, hands[name]) for name in names]


def find_part(shards: ShardSet, key: str) -> str:
    """The part that an image's drawings belong to: its split, where the set has splits, else that of `part_of`.

    The split "val" is called "valid", as readers of these formats expect, unless there is one of that name.
    """
    splits, number = shards.splits, shards.keys[key]
    part = next((name for name, numbers in splits.items() if number in numbers), part_of(key))
    return "valid" if part == "val" and "valid" not in splits else part


def part_of(key: str) -> str:
    """The part of PARTS that a key falls into."""
    place = float(uniforms(1, 0, "part", key)[0])
    return next(name for name, end in PARTS if place < end)


def simplify_lines(hand: StoredHand) -> list[np.ndarray]:
    """The lines as Quick, Draw! simplifies them, int64 (n,2) of two points or more.

    The drawing's box begins at 0, 0 and its longer side is SIMPLE_SIDE; lines keep the points by which they stay
    within TOLERANCE (Ramer-Douglas-Peucker). Widths are lost, and where on the paper the drawing was.
    """
    points = hand.lines.points.astype(np.float64)
    if not len(points):
        return []
    low, high = points.min(0), points.max(0)
    scale = SIMPLE_SIDE / max(float((high - low).max()), 1e-6)
    moved = hand.lines.moved((points - low) * scale)
    simple = []
    for piece in moved:
        kept = cv2.approxPolyDP(piece[:, None], TOLERANCE, False)[:, 0]
        kept = np.rint(kept).astype(np.int64)
        simple.append(kept if len(kept) > 1 else np.rint(piece[[0, -1]]).astype(np.int64))
    return simple
