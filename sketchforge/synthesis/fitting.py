"""Images of any size and aspect -> a model's square; the model's square output -> the image's aspect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sketchforge.images.hand_drawn import fit_drawing, normalize_drawing
from sketchforge.images.resize import fit_square, resize_image

# Side of the sketches that `render` draws by default. Smaller models see them reduced: a line of a pixel or
# two becomes a grey one. Drawings are reduced in the same way, for such a model has not learnt from black
# lines (faces at 64², 48 new ones: mean squared error .058 so, .062 with lines kept black).
DRAWN_SIDE = 256


@dataclass(frozen=True)
class FittedSketch:
    """A sketch as the model sees it, and the area of the square that it fills."""

    drawing: np.ndarray  # uint8 H×W, 255 = paper: the sketch, or the grey, before it was fitted
    square: np.ndarray  # uint8 S×S, padded
    area: tuple[slice, slice]  # rows and columns that are not padding
    notes: tuple[str, ...] = ()  # for the user to read
    second: np.ndarray | None = None  # uint8 S×S: another sketch, towards which the image goes
    weight: float = 0.0  # of the second: 0 to 1

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The model's image of the sketch, S×S×… -> the part that is not padding."""
        return image[self.area]


def blend_sketches(first: FittedSketch, second: FittedSketch, weight: float) -> FittedSketch:
    """A place between two sketches, in the first one's area; its drawing fades one into the other."""
    faded = cv2.addWeighted(first.square, 1 - weight, second.square, weight, 0)
    return FittedSketch(first.cut(faded), first.square, first.area, first.notes, second.square, weight)


def prepare_drawing(image: np.ndarray, size: int, raw: bool = False) -> FittedSketch:
    """A drawing as it was scanned or photographed, uint8 H×W×3 RGB -> black on white in a square.

    raw: convert the drawing to grey and change nothing else. Raises ValueError for other dtypes and shapes.
    """
    normalized = normalize_drawing(image)
    if not raw:
        return prepare_sketch(normalized.sketch, size, normalized.notes)
    notes = ("light lines on a dark ground, and taken as it is",) if normalized.inverted else ()
    return prepare_sketch(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, notes)


def prepare_sketch(sketch: np.ndarray, size: int, notes: tuple[str, ...] = ()) -> FittedSketch:
    """uint8 H×W, 255 = paper -> fitted into a square, aspect kept.

    Raises ValueError for other dtypes and shapes.
    """
    square = fit_drawing(sketch, max(size, DRAWN_SIDE))
    height, width = sketch.shape
    return FittedSketch(sketch, fit_square(square, size, "crop"), ink_area(height, width, size), notes)


def prepare_grey(image: np.ndarray, size: int) -> FittedSketch:
    """A photo that is to be colourised, uint8 H×W×3 RGB -> its grey, fitted into a square, aspect kept.

    Beyond the photo its border is repeated: a model of greys has seen no paper.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    rows, columns = area = ink_area(grey.shape[0], grey.shape[1], size)
    small = resize_image(grey, rows.stop - rows.start, columns.stop - columns.start)
    margins = rows.start, size - rows.stop, columns.start, size - columns.stop
    return FittedSketch(grey, cv2.copyMakeBorder(small, *margins, cv2.BORDER_REPLICATE), area)


def prepare_style(image: np.ndarray, size: int) -> np.ndarray:
    """A style image, uint8 H×W×3 RGB -> its largest centred square, uint8 S×S×3."""
    return fit_square(image, size, "crop")


def ink_area(height: int, width: int, size: int) -> tuple[slice, slice]:
    """The rows and columns that an image of this shape fills in a square of side `size`, its aspect kept."""
    scale = size / max(height, width)  # as in `fit_square`, or halves would round otherwise
    rows, columns = (max(1, round(side * scale)) for side in (height, width))
    top, left = (size - rows) // 2, (size - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


# Style images cut and stitched, so that one synthesis takes its style from two or four (paper Fig. 7).


def stitch(images: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Two or four images, uint8 H×W×3 RGB of any sizes -> one, uint8 size×size×3.

    Each is first cropped to its centred square and resized to `size`. The result takes from each, in order:

        2 images: left half, right half
        4 images: upper left, upper right, lower left, lower right quarter

    Where `size` is odd, right and lower parts are the larger ones.

    Raises ValueError for another number of images, other dtypes and shapes, or a size below 2.
    """
    if len(images) not in (2, 4):
        raise ValueError(f"{len(images)} style images: expected 2 (halves) or 4 (quarters)")
    if size < 2:
        raise ValueError(f"size={size}: expected at least 2 pixels")
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"expected uint8 H×W×3, found {image.dtype} of shape {image.shape}")
    first, second = slice(0, size // 2), slice(size // 2, size)
    rows = [slice(0, size)] if len(images) == 2 else [first, second]
    regions = [(row, column) for row in rows for column in (first, second)]
    result = np.empty((size, size, 3), np.uint8)
    for image, region in zip(images, regions, strict=True):
        result[region] = fit_square(image, size, "crop")[region]
    return result
