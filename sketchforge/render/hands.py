"""The hands of a rendering: people's ways of drawing in the place of the method's own sketches.

The method's sketches of an image are traced once, and each hand draws the strokes anew (sketchforge/strokes).
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions, SketchTone
from sketchforge.render.prepare import EncodedSketches, encode_sketches
from sketchforge.shards.schema import json_bytes
from sketchforge.strokes.hands import Hand, read_hands

if TYPE_CHECKING:
    import numpy as np

NONE, BUILTIN = "none", "builtin"
INK_LEVEL = 0.5  # a painted pixel is ink where the pen covers half of it


@dataclass(frozen=True)
class RenderHands:
    """Who draws the sketches of every image, in order. seed: of all that is random about them."""

    hands: Sequence[Hand]
    seed: int
    source: str  # builtin, or the file's name

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of the sketches: a hand that draws again has a number behind its name."""
        seen: Counter[str] = Counter()
        names = []
        for hand in self.hands:
            seen[hand.name] += 1
            names.append(hand.name if seen[hand.name] == 1 else f"{hand.name} {seen[hand.name]}")
        return tuple(names)

    @property
    def options(self) -> Mapping[str, object]:
        """What the manifest records of them; the digest is over all parameters."""
        parameters = [dataclasses.asdict(hand) for hand in self.hands]
        digest = hashlib.sha256(json_bytes(parameters)).hexdigest()[:16]
        return {"hands": f"{self.source} {digest}", "hands_seed": self.seed}


def open_hands(options: RenderOptions) -> RenderHands | None:
    """The hands that `options.hands` names; None where the method's own sketches are wanted.

    TOM has as many as --checkpoints asks for, the most careful first; beyond those of the file they draw again.
    Raises UsageError for a file that does not exist or options that do not go with hands, SketchforgeError for
    a file that is wrong.
    """
    if options.hands == NONE:
        return None
    if options.low_threshold is not None:
        raise UsageError("--low-threshold: has no meaning with --hands, whose strokes are chosen otherwise")
    if options.thin:
        raise UsageError("--thin: has no meaning with --hands, which trace thin lines anyway")
    path = None if options.hands == BUILTIN else Path(options.hands)
    hands = read_hands(path)
    count = options.checkpoints if options.method == "tom" else len(hands)
    chosen = [hands[number % len(hands)] for number in range(count)]
    return RenderHands(chosen, options.hands_seed, BUILTIN if path is None else path.name)


def encode_hands(
    sketches: Sequence[np.ndarray],
    pixels: np.ndarray,
    key: str,
    hands: RenderHands,
    tone: SketchTone,
    stored_size: tuple[int, int] | None = None,
) -> EncodedSketches:
    """Draw an image's sketches anew in each hand, and encode them; in a worker process.

    sketches: the method's, N of uint8 HxW in grey. pixels: uint8 HxWx3 RGB. tone: whose thresholds make way for
    INK_LEVEL. stored_size: as `encode_sketches` takes it.
    """
    import numpy as np

    from sketchforge.strokes.draw import draw_hands, trace_picture

    start = time.perf_counter()
    picture = trace_picture(np.stack(list(sketches)), pixels)
    drawn = draw_hands(picture, hands.hands, hands.seed, key, sketches[0].shape)
    seconds = time.perf_counter() - start
    if tone.thresholds is not None:
        tone = dataclasses.replace(tone, thresholds=(INK_LEVEL, INK_LEVEL))
    encoded = encode_sketches(drawn, tone, stored_size)
    return encoded._replace(seconds=encoded.seconds + seconds)
