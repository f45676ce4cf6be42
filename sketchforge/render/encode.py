"""The work of worker processes on one input once it is drawn: hands, strokes, mask, PNG files. No torch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sketchforge.images.edge_thinning import suppress_non_maxima
from sketchforge.images.encode import encode_png
from sketchforge.images.line_art import SketchTone, binarize, quantize_greys
from sketchforge.images.resize import pad_white, resize_image
from sketchforge.images.sketch_quality import SketchQuality, measure_quality
from sketchforge.shards.schema import MASK, STROKES, json_bytes

if TYPE_CHECKING:
    import numpy as np

    from sketchforge.options import RenderOptions
    from sketchforge.render.hands import RenderHands
    from sketchforge.render.prepare import Prepared


@dataclass(frozen=True)
class DrawnPicture:
    """What was drawn: its pixels and sizes (height, width)."""

    key: str
    pixels: np.ndarray  # uint8 HxWx3 RGB, at the size it was drawn at
    size: tuple[int, int]  # of the finished sketches
    stored_size: tuple[int, int]  # of the white paper in whose middle they are put
    foreground: np.ndarray | None = None  # uint8 of any size, 255 = subject; None: found by colour

    @classmethod
    def of(cls, key: str, prepared: Prepared) -> DrawnPicture:
        """What encoding needs of an image that was prepared, without a reason why not."""
        assert prepared.pixels is not None
        return cls(key, prepared.pixels, prepared.picture_size, prepared.stored_size, prepared.foreground)


@dataclass(frozen=True)
class SketchEncoding:
    """What the sketches of all images become."""

    hands: RenderHands | None  # who draws them anew; None: they stay the method's own
    tone: SketchTone
    keeps_strokes: bool = False
    keeps_mask: bool = False


@dataclass(frozen=True)
class EncodedSketches:
    """The sketches of an image as PNG files."""

    pngs: Sequence[bytes]
    seconds: float
    quality: Sequence[SketchQuality]  # of each, as it is stored
    hands: str = "[]"  # JSON text: who drew each of them, and how
    extras: Mapping[str, bytes] = field(default_factory=dict)  # of schema.EXTRAS

    @property
    def is_blank(self) -> bool:
        """Whether all of them are."""
        return all(quality.is_blank for quality in self.quality)


def sketch_tone(options: RenderOptions) -> SketchTone:
    """What becomes of the greys that a method draws."""
    return SketchTone(options.thin, options.thresholds, options.grey_levels)


def encode_sample(
    sketches: Sequence[np.ndarray], picture: DrawnPicture, encoding: SketchEncoding
) -> EncodedSketches:
    """Encode the sketches of an image, N of uint8 HxW in grey, or what hands make of them.

    Hands trace them at the size that they were drawn at, and paint at the picture's.
    """
    start = time.perf_counter()
    extras, described, tone = dict[str, bytes](), "[]", encoding.tone
    if encoding.hands is not None or encoding.keeps_strokes:
        import numpy as np

        from sketchforge.strokes.draw import HandDrawing, draw_hands, trace_picture
        from sketchforge.strokes.painting import INK_LEVEL
        from sketchforge.strokes.stored import store_strokes, strokes_to_json

        traced = trace_picture(np.stack(list(sketches)), _find_subject(picture), picture.pixels)
        hands, drawings = encoding.hands, list[HandDrawing]()
        styles = () if hands is None else hands.styles
        if hands is not None:
            drawings = draw_hands(
                traced, hands.hands, hands.seed, picture.key, picture.size, picture.stored_size
            )
            sketches = [drawing.sketch for drawing in drawings]
            coverage = {"foreground": round(float(traced.foreground.mean()), 3)}
            described = json_bytes([drawing.describe() | coverage for drawing in drawings]).decode()
            if tone.thresholds is not None:
                tone = replace(tone, thresholds=(INK_LEVEL, INK_LEVEL))
        if encoding.keeps_strokes:
            stored = store_strokes(traced, drawings, styles, picture.size, picture.stored_size)
            extras[STROKES] = strokes_to_json(stored)
    if encoding.keeps_mask and picture.foreground is not None:
        mask = resize_image(picture.foreground, *picture.size)
        extras[MASK] = encode_png(pad_white(mask, *picture.stored_size, level=0), False)
    seconds = time.perf_counter() - start
    drawn_size = picture.size if encoding.hands is None else None  # hands paint on the whole paper
    encoded = encode_sketches(sketches, tone, picture.stored_size, drawn_size)
    return replace(encoded, seconds=encoded.seconds + seconds, hands=described, extras=extras)


def encode_sketches(
    sketches: Sequence[np.ndarray],
    tone: SketchTone,
    stored_size: tuple[int, int] | None = None,
    picture_size: tuple[int, int] | None = None,
) -> EncodedSketches:
    """Encode sketches, N of uint8 HxW, as PNG files: of one bit a pixel, or 8-bit grey.

    picture_size: (height, width) that they are resized to in grey; stored_size: that of the white paper in whose middle
    they are put then; None: their own.
    """
    start = time.perf_counter()
    if picture_size is not None:
        sketches = [resize_image(sketch, *picture_size) for sketch in sketches]
    if tone.thin:  # on their own paper: the edge of other paper around them is no line
        sketches = [suppress_non_maxima(sketch) for sketch in sketches]
    if stored_size is not None:
        sketches = [pad_white(sketch, *stored_size) for sketch in sketches]
    if tone.thresholds is not None:
        sketches = [binarize(sketch, *tone.thresholds) for sketch in sketches]
    else:
        sketches = [quantize_greys(sketch, tone.levels) for sketch in sketches]
    pngs = [encode_png(sketch, tone.thresholds is not None) for sketch in sketches]
    quality = [measure_quality(sketch) for sketch in sketches]
    return EncodedSketches(pngs, time.perf_counter() - start, quality)


def _find_subject(picture: DrawnPicture) -> np.ndarray:
    """float32 in [0, 1], of any size: where the subject is."""
    import numpy as np

    if picture.foreground is not None:
        return picture.foreground.astype(np.float32) / 255
    from sketchforge.strokes.foreground import find_foreground

    return find_foreground(picture.pixels)
