"""Hands: the ways in which ten people would draw the same picture, as parameters in a TOML file."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from sketchforge.errors import SketchforgeError, UsageError

FORMAT, VERSION = "sketchforge-hands", 1
MOST = 100  # of any parameter
# Without any of these a hand draws a picture always the same.
RANDOM = ("taste", "field", "turn", "scale", "shift", "anisotropy", "tremor", "doubled", "lifts", "overshoot",
          "width_std", "gaps")  # fmt: skip


@dataclass(frozen=True)
class Hand:
    """How one person draws. Lengths are shares of the picture's longer side, angles degrees."""

    name: str
    number: int = 0  # its place in the file; decides which of the sketches are its own
    # What is taken
    keep: float = 0.9  # share of all salience that the strokes taken hold
    long: float = 1.0  # exponent of a stroke's length in its salience
    foreground: float = 0.0  # 0: surroundings count like the subject; 1: not at all
    frame: float = 0.9  # how little lines along the picture's own frame count
    contour: float = (
        0.0  # 1: lines count that run along the subject's edge, or around small dark forms; 0: all alike
    )
    contrast: float = 0.0  # 1: lines count by how much colours differ on their two sides; 0: all alike
    own: float = (
        0.5  # 0: a stroke counts by the share of all sketches that have it; 1: by its own sketch alone
    )
    taste: float = 0.35  # std of the logarithm of a personal weight for each stroke
    # Where it is put
    field: float = 0.0  # std of a smooth displacement
    cells: int = 4  # the displacement's grid
    turn: float = 0.0  # std, degrees
    scale: float = 0.0  # std, of 1
    shift: float = 0.0  # std
    anisotropy: float = 0.0  # std of the difference of both axes' scales
    fills_paper: bool = False  # the ink's box is centred, its longer side FILL of the paper
    # How a line runs
    smooth: float = 0.0  # knots over which a line is smoothed
    straighten: float = 0.0  # tolerance with which lines become polygons
    tremor: float = 0.0  # std of a displacement of every knot
    doubled: float = 0.0  # share of strokes that are drawn twice
    lifts: float = 0.0  # probability, per LIFT_EVERY, that the pen is lifted for a moment
    overshoot: float = 0.0  # how far an open line runs on at most, beyond half of its ends
    # What is laid on beside the lines
    hatching: float = 0.0  # share of the subject, its darkest, that is hatched
    spacing: float = 0.016  # between two lines of hatching
    slant: float = 50.0  # of hatching, degrees, up to the right
    blacks: float = 0.0  # share of the subject that is filled: the darkest of its small forms
    tone_pen: float = 0.004  # width of the pen for both
    # The pen
    pen: float = 0.008  # width
    width_std: float = 0.0  # of a stroke's width, of 1
    taper: float = 0.0  # how much thinner a line's ends are
    pressure: float = 0.0  # how much the width follows darkness
    gaps: float = 0.0  # share of a line that the pen leaves out, in small pieces


def read_hands(path: Path | None = None) -> list[Hand]:
    """The hands of a TOML file, in its order; None: those that ship.

    Raises UsageError where the file does not exist, SketchforgeError for unknown names and values out of place.
    """
    source = path or Path(str(files("sketchforge") / "strokes" / "hands.toml"))
    if not source.is_file():
        raise UsageError(f"{source}: no such file; expected a TOML file with a table for each hand")
    try:
        content = tomllib.loads(source.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SketchforgeError(f"{source}: cannot be read as TOML ({error})") from error
    if content.pop("format", None) != FORMAT or content.pop("version", None) != VERSION:
        raise SketchforgeError(f'{source}: expected format = "{FORMAT}" and version = {VERSION} at its head')
    hands = [_read_hand(source, name, number, table) for number, (name, table) in enumerate(content.items())]
    if not hands:
        raise SketchforgeError(f"{source}: holds no hand; expected a table such as [careful]")
    return hands


def pick_hands(hands: Sequence[Hand], names: Sequence[str]) -> list[Hand]:
    """The hands of these names, in the order of the names. Raises UsageError for an unknown one."""
    by_name = {hand.name: hand for hand in hands}
    for name in names:
        if name not in by_name:
            raise UsageError(f"--styles {name}: no such hand; there are {', '.join(by_name)}")
    seen: Counter[str] = Counter()
    picked = []
    for name in names:
        picked.append(_draw_again(by_name[name], seen[name], len(hands)))
        seen[name] += 1
    return picked


def repeat_hands(hands: Sequence[Hand], count: int) -> list[Hand]:
    """The first `count` hands; beyond all of them they draw again, as "outline 2", by other random numbers.

    A hand in which nothing is random draws once, unless all are so.
    """
    random = [hand for hand in hands if any(getattr(hand, name) for name in RANDOM)] or list(hands)
    repeated = list(hands[:count])
    for again in range(1, count):
        repeated += [_draw_again(hand, again, len(hands)) for hand in random][: count - len(repeated)]
    return repeated


def _draw_again(hand: Hand, again: int, num_hands: int) -> Hand:
    if not again:
        return hand
    return replace(hand, name=f"{hand.name} {again + 1}", number=hand.number + again * num_hands)


def _read_hand(source: Path, name: str, number: int, table: object) -> Hand:
    if not isinstance(table, dict):
        raise SketchforgeError(f"{source}: {name} is not a table; expected [{name}] and its parameters")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise SketchforgeError(
            f"{source}: [{name!r}]: a hand's name has letters, digits, - and _, 40 at most"
        )
    fields = {field.name: field for field in dataclasses.fields(Hand) if field.name not in ("name", "number")}
    for key, value in table.items():
        if key not in fields:
            raise SketchforgeError(
                f"{source}: [{name}] {key}: no such parameter; there are {', '.join(fields)}"
            )
        wanted = type(fields[key].default)
        fits = isinstance(value, wanted) or (wanted is float and type(value) is int)
        if not fits or (wanted is not bool and isinstance(value, bool)) or not 0 <= value <= MOST:
            raise SketchforgeError(
                f"{source}: [{name}] {key} = {value!r}: expected a {wanted.__name__}, not negative, at most {MOST}"
            )
    values: dict[str, Any] = {
        key: float(v) if type(v) is int and key != "cells" else v for key, v in table.items()
    }
    hand = Hand(name, number, **values)
    if not 0 < hand.keep <= 1 or not 0 < hand.pen <= 0.25 or not 2 <= hand.cells <= 64:
        raise SketchforgeError(
            f"{source}: [{name}]: keep in (0, 1], pen in (0, .25] and cells from 2 to 64 were expected"
        )
    if not 0.003 <= hand.tone_pen <= 0.25 or not 0.003 <= hand.spacing <= 1:
        raise SketchforgeError(
            f"{source}: [{name}]: tone_pen from .003 to .25 and spacing from .003 to 1 were expected"
        )
    return hand
