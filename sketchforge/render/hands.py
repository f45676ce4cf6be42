"""The hands of a rendering: people's ways of drawing in the place of the method's own sketches.

The method's sketches of an image are traced once, and each hand draws the strokes anew (sketchforge/strokes).
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions
from sketchforge.render.prepare import EncodedSketches, encode_sketches
from sketchforge.shards.schema import STROKES, json_bytes
from sketchforge.strokes.hands import Hand, pick_hands, read_hands, repeat_hands

if TYPE_CHECKING:
    import numpy as np

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
    path = None if source == BUILTIN else Path(source)
    hands = read_hands(path)
    count = options.checkpoints if options.method == "tom" else len(hands)
    chosen = repeat_hands(hands, count) if options.styles is None else pick_hands(hands, options.styles)
    digest = hashlib.sha256(json_bytes([dataclasses.asdict(hand) for hand in hands])).hexdigest()[:16]
    name = BUILTIN if path is None else path.name
    return RenderHands(chosen, options.hands_seed, f"{name} {digest}", options.styles is not None)


def encode_hands(
    sketches: Sequence[np.ndarray],
    pixels: np.ndarray,
    key: str,
    hands: RenderHands,
    is_binary: bool,
    picture_size: tuple[int, int],
    stored_size: tuple[int, int] | None = None,
    keeps_strokes: bool = False,
) -> EncodedSketches:
    """Draw an image's sketches anew in each hand, and encode them; in a worker process.

    sketches: the method's, N of uint8 HxW in grey, traced at this size. pixels: uint8 HxWx3 RGB. is_binary: one bit a
    pixel. picture_size: (height, width) of what the hands draw. stored_size: as `encode_sketches` takes it.
    keeps_strokes: the strokes come along, too.
    """
    import numpy as np

    from sketchforge.strokes.draw import draw_hands, trace_picture
    from sketchforge.strokes.foreground import find_foreground
    from sketchforge.strokes.painting import INK_LEVEL
    from sketchforge.strokes.stored import store_strokes, strokes_to_json

    start = time.perf_counter()
    picture = trace_picture(np.stack(list(sketches)), find_foreground(pixels), pixels)
    drawings = draw_hands(picture, hands.hands, hands.seed, key, picture_size, stored_size)
    extras = {}
    if keeps_strokes:
        stored = store_strokes(picture, drawings, hands.styles, picture_size, stored_size)
        extras[STROKES] = strokes_to_json(stored)
    seconds = time.perf_counter() - start
    thresholds = (INK_LEVEL, INK_LEVEL) if is_binary else None
    encoded = encode_sketches([drawing.sketch for drawing in drawings], thresholds, stored_size)
    coverage = {"foreground": round(float(picture.foreground.mean()), 3)}
    described = json_bytes([drawing.describe() | coverage for drawing in drawings]).decode()
    return encoded._replace(seconds=encoded.seconds + seconds, extras=extras, hands=described)


def encode_traced(
    sketches: Sequence[np.ndarray],
    pixels: np.ndarray,
    thresholds: tuple[float, float] | None,
    picture_size: tuple[int, int],
    stored_size: tuple[int, int] | None = None,
) -> EncodedSketches:
    """Encode the method's own sketches, and the strokes that are traced in them; in a worker process.

    Arguments as `encode_hands` and `encode_sketches` take them.
    """
    import numpy as np

    from sketchforge.strokes.draw import trace_picture
    from sketchforge.strokes.foreground import find_foreground
    from sketchforge.strokes.stored import store_strokes, strokes_to_json

    start = time.perf_counter()
    picture = trace_picture(np.stack(list(sketches)), find_foreground(pixels), pixels)
    extras = {STROKES: strokes_to_json(store_strokes(picture, [], [], picture_size, stored_size))}
    seconds = time.perf_counter() - start
    encoded = encode_sketches(sketches, thresholds, stored_size, picture_size)
    return encoded._replace(seconds=encoded.seconds + seconds, extras=extras)
