"""The hands of a rendering: people's ways of drawing in the place of the method's own sketches.

The method's sketches of an image are traced once, and each hand draws the strokes anew (sketchforge/strokes).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions
from sketchforge.shards.schema import json_bytes
from sketchforge.strokes.hands import Hand, pick_hands, read_hands, repeat_hands

NONE, BUILTIN = "none", "builtin"


@dataclass(frozen=True)
class RenderHands:
    """Who draws the sketches of every image, in order. seed: of all that is random about them."""

    hands: Sequence[Hand]
    seed: int
    source: str  # builtin, or the file's name

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of the sketches."""
        return tuple(hand.name for hand in self.hands)

    @property
    def options(self) -> Mapping[str, object]:
        """What the manifest records of them; the digest is over all parameters."""
        parameters = [dataclasses.asdict(hand) for hand in self.hands]
        digest = hashlib.sha256(json_bytes(parameters)).hexdigest()[:16]
        return {"hands": f"{self.source} {digest}", "hands_seed": self.seed}


def open_hands(options: RenderOptions) -> RenderHands | None:
    """The hands that `options.hands` names; None where the method's own sketches are wanted.

    Those of `options.styles`, else with TOM as many as --checkpoints asks for, the most careful first; beyond those of
    the file they draw again. Raises UsageError for a file or a name that does not exist or options that do not go with
    hands, SketchforgeError for a file that is wrong.
    """
    if options.hands == NONE:
        if options.styles is not None:
            raise UsageError(
                "--styles: names hands; there are none with --hands none, choose by --checkpoints"
            )
        return None
    if options.low_threshold is not None:
        raise UsageError("--low-threshold: has no meaning with --hands, whose strokes are chosen otherwise")
    if options.thin:
        raise UsageError("--thin: has no meaning with --hands, which trace thin lines anyway")
    path = None if options.hands == BUILTIN else Path(options.hands)
    hands = read_hands(path)
    count = options.checkpoints if options.method == "tom" else len(hands)
    chosen = repeat_hands(hands, count) if options.styles is None else pick_hands(hands, options.styles)
    return RenderHands(chosen, options.hands_seed, BUILTIN if path is None else path.name)
