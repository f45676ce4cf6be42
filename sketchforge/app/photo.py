"""A photo -> what the ten hands make of it, as images and as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sketchforge.convert.svg import draw_svg
from sketchforge.errors import UsageError
from sketchforge.images.decode import MIN_SIDE, ImageError, decode_image
from sketchforge.images.resize import resize_image
from sketchforge.images.sources import ImageSource
from sketchforge.images.sources.source import ByteSource
from sketchforge.options import RenderOptions
from sketchforge.render.encode import DrawnPicture, SketchEncoding, encode_sample, sketch_tone
from sketchforge.render.hands import RenderHands, open_hands
from sketchforge.render.job import open_finder
from sketchforge.render.pipeline import find_foregrounds
from sketchforge.render.prepare import prepare
from sketchforge.shards.schema import STROKES
from sketchforge.sketchers.factory import ReadySketcher, open_sketcher
from sketchforge.sketchers.foreground import ForegroundFinder
from sketchforge.strokes.stored import strokes_from_json

SIZES = (128, 256, 512)  # of the sketches, in pixels
KEY = "photo"  # of every photo: what is random about hands follows from it


@dataclass(frozen=True)
class HandSketch:
    """What a hand has drawn."""

    name: str
    png: bytes
    svg: bytes


@dataclass(frozen=True)
class SketchedPhoto:
    """A photo as it was cut and resized, and its sketches."""

    jpeg: bytes
    size: tuple[int, int]  # (height, width)
    sketches: Sequence[HandSketch]


def sketch_photo(data: bytes, size: int, device: str) -> SketchedPhoto:
    """Have the built-in hands draw an image file, resized until its longer side has `size` pixels.

    They draw as in `sketchforge.sketch`, with its defaults. Raises UsageError for a size
    that is not of SIZES, ImageError for a file that cannot be read, SketchforgeError for damaged weights.
    """
    if size not in SIZES:
        raise UsageError(f"size {size}: expected {', '.join(map(str, SIZES))}")
    options, hands, ready, finder = _open_all(size, device)
    pixels = decode_image(data).pixels
    scale = size / max(pixels.shape[:2])
    pixels = resize_image(pixels, *(max(MIN_SIDE, round(side * scale)) for side in pixels.shape[:2]))
    data = b"P6\n%d %d\n255\n" % pixels.shape[1::-1] + pixels.tobytes()
    source = ImageSource(KEY, KEY, ByteSource(len(data), data=data))
    prepared = prepare(source, size, options.fit, options.drawn_side, options.masks)
    if prepared.reason is not None or prepared.pixels is None:
        raise ImageError(str(prepared.reason))
    (drawn,) = ready.sketcher.draw(prepared.pixels[None]).images()
    ((_, _, prepared),) = find_foregrounds([(0, source, prepared)], finder)
    encoding = SketchEncoding(hands, sketch_tone(options), keeps_strokes=True)
    encoded = encode_sample(list(drawn), DrawnPicture.of(KEY, prepared), encoding)
    stored = strokes_from_json(encoded.extras[STROKES])
    sketches = [
        HandSketch(hand.name, png, draw_svg(hand))
        for hand, png in zip(stored.hands, encoded.pngs, strict=True)
    ]
    return SketchedPhoto(prepared.jpeg, stored.size, sketches)


@lru_cache(len(SIZES))
def _open_all(
    size: int, device: str
) -> tuple[RenderOptions, RenderHands | None, ReadySketcher, ForegroundFinder | None]:
    """What draws; kept, since loading takes longer than drawing."""
    options = RenderOptions(shards=Path(), tom=Path("builtin"), size=size, fit="keep", device=device)
    ready = open_sketcher(options)
    return options, open_hands(options), ready, open_finder(options, ready)
