"""`sketchforge.sketch`: the sketches of an image in memory, drawn as `render` draws them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from sketchforge.errors import UsageError
from sketchforge.images.decode import ImageError, decode_image
from sketchforge.images.image_like import ImageLike, list_images, to_rgb
from sketchforge.images.sources import ImageSource, image_key
from sketchforge.images.sources.keys import as_text
from sketchforge.images.sources.source import ByteSource, FileState
from sketchforge.options import RenderOptions
from sketchforge.render.keywords import SketchKeywords, parse_keywords
from sketchforge.render.masks import METHODS, mask_folder

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class Sketches(Mapping[str, "np.ndarray"]):
    """The sketches of an image by the names of those who drew them, in order.

    Each is uint8 H×W, 255 = paper, 0 = ink. `image`, uint8 H×W×3 RGB, is what they are sketches of: the image as it
    would be stored beside them, cut and resized.
    """

    def __init__(self, image: np.ndarray, sketches: Mapping[str, np.ndarray]) -> None:
        self.image = image
        self._sketches = dict(sketches)

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._sketches[name]
        except KeyError:
            raise KeyError(f"{name!r}: no such sketch; there are {', '.join(self)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._sketches)

    def __len__(self) -> int:
        return len(self._sketches)

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"<Sketches: {len(self)} of {width} x {height} pixels: {', '.join(self)}>"

    def to_pil(self, name: str) -> Image.Image:
        """One of them as a PIL image, in grey."""
        from PIL import Image

        return Image.fromarray(self[name])

    def to_array(self) -> np.ndarray:
        """All of them, uint8 N×H×W."""
        import numpy as np

        return np.stack(list(self.values()))


# A text is an image, no sequence of them.
@overload
def sketch(images: ImageLike, **options: Unpack[SketchKeywords]) -> Sketches: ...  # type: ignore[overload-overlap]
@overload
def sketch(images: Sequence[ImageLike], **options: Unpack[SketchKeywords]) -> list[Sketches]: ...
def sketch(
    images: ImageLike | Sequence[ImageLike], **options: Unpack[SketchKeywords]
) -> Sketches | list[Sketches]:
    """Draw an image, or each of a list: ten sketches of 256 × 256 pixels by ten hands, unless options say otherwise.

    images: paths, PIL images or uint8 arrays, H×W×3 RGB or H×W. options: those of `sketchforge render` that decide
    what sketches look like, with the same defaults, so that a file's sketches are those that `render` stores of it.
    What is random about hands follows from `hands_seed` and the file's name; for images in memory from their number
    in the list.

    Weights are loaded at each call: give many images as a list. For more than memory holds there is
    `sketchforge.render`.

    Raises ImageError for an image that cannot be used, UsageError for options that cannot be carried out,
    TypeError for unknown ones, ValueError for arrays that are no images, SketchforgeError for damaged weights.
    """
    values = parse_keywords("sketch", SketchKeywords, options)
    if mask_folder(values.get("masks")) is not None:
        raise UsageError(f"masks={values['masks']!r}: expected {', '.join(METHODS)}; `render` takes folders")
    given, single = list_images(images)
    sources = [_open_source(image, str(number)) for number, image in enumerate(given)]
    drawn = list(_draw(sources, RenderOptions(shards=Path(), **values)))
    return drawn[0] if single else drawn


def _open_source(image: ImageLike, key: str) -> ImageSource:
    if isinstance(image, str | Path):
        name = os.path.basename(image)
        if os.path.isdir(image):
            raise UsageError(f"{image}: a folder; expected an image (`sketchforge.render` draws folders)")
        return ImageSource(
            image_key(name), as_text(os.fspath(image)), ByteSource.of_file(FileState.now(os.fspath(image)))
        )
    pixels = to_rgb(image)
    data = b"P6\n%d %d\n255\n" % pixels.shape[1::-1] + pixels.tobytes()
    return ImageSource(key, f"image {key}", ByteSource(len(data), data=data))


def _draw(sources: Sequence[ImageSource], options: RenderOptions) -> Iterator[Sketches]:
    from sketchforge.render.encode import DrawnPicture, SketchEncoding, encode_sample, sketch_tone
    from sketchforge.render.hands import open_hands
    from sketchforge.render.job import open_finder
    from sketchforge.render.pipeline import find_foregrounds
    from sketchforge.render.prepare import prepare
    from sketchforge.sketchers.factory import open_sketcher

    hands = open_hands(options)
    ready = open_sketcher(options)
    finder = open_finder(options, ready)
    encoding = SketchEncoding(hands, sketch_tone(options))
    styles = ready.sketcher.styles if hands is None else hands.styles
    for source in sources:
        prepared = prepare(source, options.size, options.fit, options.drawn_side, options.masks)
        if prepared.reason is not None or prepared.pixels is None:
            raise ImageError(str(prepared.reason), source.source)
        (drawn,) = ready.sketcher.draw(prepared.pixels[None]).images()
        ((_, _, prepared),) = find_foregrounds([(0, source, prepared)], finder)
        encoded = encode_sample(list(drawn), DrawnPicture.of(source.key, prepared), encoding)
        yield Sketches(
            decode_image(prepared.jpeg).pixels,
            {name: _decode_sketch(png) for name, png in zip(styles, encoded.pngs, strict=True)},
        )


def _decode_sketch(png: bytes) -> np.ndarray:
    import cv2
    import numpy as np

    sketch = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert sketch is not None  # it was encoded a moment ago
    return sketch
