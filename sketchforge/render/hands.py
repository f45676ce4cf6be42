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
from sketchforge.sketchers.factory import EDGE_NETWORKS
from sketchforge.strokes.hands import Hand, pick_hands, read_hands, repeat_hands

NONE, BUILTIN = "none", "builtin"


@dataclass(frozen=True)
class RenderHands:
    """Who draws the sketches of every image, in order. seed: of all that is random about them."""

    hands: Sequence[Hand]
    seed: int
    source: str  # builtin, or the file's name; and a digest of all hands in it
    picked: bool = False  # whether they were named by --styles

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of the sketches."""
        return tuple(hand.name for hand in self.hands)

    @property
    def options(self) -> Mapping[str, object]:
        """What the manifest records of them."""
        picked = {"styles": ",".join(self.styles)} if self.picked else {}
        return {"hands": self.source, "hands_seed": self.seed} | picked


def open_hands(options: RenderOptions) -> RenderHands | None:
    """The hands that `options.hands_source` names; None where the method's own sketches are wanted.

    Those of `options.styles`, else with TOM as many as --checkpoints asks for, the most careful first; beyond those of
    the file they draw again. Raises UsageError for a file or a name that does not exist or options that do not go with
    hands, SketchforgeError for a file that is wrong.
    """
    source = options.hands_source
    if source == NONE:
        if options.styles is not None:
            remedy = "choose snapshots by --checkpoints" if options.method == "tom" else "add --hands builtin"
            raise UsageError(f"--styles: names hands, and there are none with --hands none; {remedy}")
        return None
    changed = {
        "--threshold": options.threshold != RenderOptions.threshold,
        "--low-threshold": options.low_threshold is not None,
    }
    for name, is_changed in changed.items():
        if is_changed:
            raise UsageError(
                f"{name}: has no meaning with --hands {source}, whose strokes are chosen otherwise; add --hands none"
            )
    if options.thin and options.method in EDGE_NETWORKS:  # others have no such option at all
        raise UsageError(f"--thin: has no meaning with --hands {source}, which trace thin lines anyway")
    path = None if source == BUILTIN else Path(source)
    hands = read_hands(path)
    count = options.checkpoints if options.method == "tom" else len(hands)
    chosen = repeat_hands(hands, count) if options.styles is None else pick_hands(hands, options.styles)
    digest = hashlib.sha256(json_bytes([dataclasses.asdict(hand) for hand in hands])).hexdigest()[:16]
    name = BUILTIN if path is None else path.name
    return RenderHands(chosen, options.hands_seed, f"{name} {digest}", options.styles is not None)
