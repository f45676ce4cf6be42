"""Style images that pages choose from: named on the command line, built in, or sent by a page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from sketchforge.app.models import digest_of
from sketchforge.errors import UsageError
from sketchforge.images.decode import decode_image
from sketchforge.images.encode import encode_jpeg
from sketchforge.images.resize import fit_square
from sketchforge.synthesis.inputs import builtin_photos, find_image_inputs

SIDE = 512  # pixels that are kept of a style: no model looks at more
THUMB_SIDE = 160
MOST_SENT = 64  # styles sent by pages; the one used longest ago goes


@dataclass(frozen=True)
class StyleImage:
    """A style: the centred square of an image."""

    id: str
    name: str
    origin: str  # "given", "built in" or "yours"
    pixels: np.ndarray  # uint8 S×S×3

    @property
    def thumb(self) -> bytes:
        """A JPEG."""
        return encode_jpeg(cv2.resize(self.pixels, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA))


class StyleShelf:
    """All styles, by id."""

    def __init__(self, given: Iterable[str] = ()) -> None:
        """Raises UsageError and ImageError for `given` styles that are not there or cannot be read."""
        words = list(given)
        named = find_image_inputs(words) if words else []
        self._fixed: dict[str, StyleImage] = {}
        for origin, inputs in (("given", named), ("built in", builtin_photos())):
            for image in inputs:
                name = image.name.partition("-s")[0] if origin == "built in" else image.name
                style = _make_style(name, origin, image.read())
                self._fixed.setdefault(style.id, style)
        self._sent: OrderedDict[str, StyleImage] = OrderedDict()

    def add(self, name: str, data: bytes) -> StyleImage:
        """Keep an image file that a page has sent. Raises ImageError."""
        style = _make_style(name, "yours", decode_image(data).pixels)
        if style.id in self._fixed:
            return self._fixed[style.id]
        self._sent[style.id] = style
        self._sent.move_to_end(style.id)
        while len(self._sent) > MOST_SENT:
            self._sent.popitem(last=False)
        return style

    def __getitem__(self, id: str) -> StyleImage:
        """Raises UsageError for one that is not, or no longer, there."""
        if id in self._fixed:
            return self._fixed[id]
        if id not in self._sent:
            raise UsageError("this style is no longer here: add its image again")
        self._sent.move_to_end(id)
        return self._sent[id]

    def list(self) -> list[StyleImage]:
        """Those given first, then the built-in ones, then those sent."""
        return [*self._fixed.values(), *self._sent.values()]


def _make_style(name: str, origin: str, pixels: np.ndarray) -> StyleImage:
    square = fit_square(pixels, min(SIDE, *pixels.shape[:2]), "crop")
    return StyleImage(digest_of(square.tobytes()), name, origin, square)
