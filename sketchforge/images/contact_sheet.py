"""The image of sketches × styles: what each column and each row was made of stands at its head, with its
name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from sketchforge.images.resize import fit_square

if TYPE_CHECKING:
    import numpy as np
    from PIL import ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    Head = tuple[str, np.ndarray | None]  # a label, and the image that it names


TYPE_COLOUR = 20  # grey of the labels
LEAST_TYPE, MOST_TYPE = 10, 16  # pixels; names are to be readable at cells of 64 pixels, too
WIDEST_NAME = 2  # cells; the room that rows' names may take at the left


def labelled_grid(
    corner: str,
    columns: Sequence[Head],
    rows: Sequence[Head],
    cells: Iterable[Sequence[np.ndarray | None]],
    cell: int | None = None,
) -> np.ndarray:
    """Images in rows and columns under labelled heads, uint8 H×W×3 RGB: `sheet.write_png` writes it.

    columns, rows: (label, image) of each. Columns have their label above them, rows at the left; one too
    long for its place loses its middle, for names differ at either end. corner: label above the images of
    the rows.
    cells: for each row an image for each column. Rows are taken one after another, so a generator need not
    hold more than one, and beside the grid itself there is never more than one cell in memory.

    Images are uint8 H×W×3 RGB or H×W grey, None leaves a gap. All are shown `cell` pixels square, with
    white borders where an image is not square; by default as large as the largest at the heads, at most
    MAX_CELL. The first column's image lies MARGIN + cell to the right of the first row's, which lies as
    much below it.

    Raises ValueError where there is no column or row, the cells are too few or too many, or an image has
    another dtype or shape.
    """
    import numpy as np

    if not columns or not rows:
        raise ValueError(f"{len(columns)} columns and {len(rows)} rows: expected at least one of each")
    if cell is None:
        heads = [image for _, image in (*columns, *rows) if image is not None]
        cell = min(MAX_CELL, max((max(image.shape[:2]) for image in heads), default=MAX_CELL))
    if cell < 1:
        raise ValueError(f"cell={cell}: expected at least 1 pixel")
    font = _font(cell)
    pitch = cell + MARGIN
    names = min(WIDEST_NAME * cell, max(_length(label, font) for label, _ in rows))
    left = MARGIN + (names + MARGIN if names else 0)
    top = _line_height(font) + 2 * MARGIN
    height, width = top + (1 + len(rows)) * pitch, left + (1 + len(columns)) * pitch
    grid = np.full((height, width, 3), BACKGROUND, np.uint8)

    def show(row: int, column: int, image: np.ndarray | None) -> None:
        if image is not None:
            y, x = top + row * pitch, left + column * pitch
            grid[y : y + cell, x : x + cell] = _shown(image, cell)

    _write(grid[MARGIN : top - MARGIN, MARGIN : left + cell], corner, font, "right")
    for column, (label, image) in enumerate(columns, start=1):
        x = left + column * pitch
        _write(grid[MARGIN : top - MARGIN, x : x + cell], label, font, "middle")
        show(0, column, image)
    for row, (head, images) in enumerate(zip_longest(rows, cells), start=1):
        if head is None or images is None:
            raise ValueError(f"row {row}: expected cells for the {len(rows)} rows, neither fewer nor more")
        label, image = head
        if len(images) != len(columns):
            raise ValueError(f"row {row} ({label}): found {len(images)} cells, expected {len(columns)}")
        y = top + row * pitch
        _write(grid[y : y + cell, MARGIN : left - MARGIN], label, font, "right")
        for column, one in enumerate((image, *images)):
            show(row, column, one)
    return grid


def _shown(image: np.ndarray, cell: int) -> np.ndarray:
    """uint8 H×W×3 or H×W -> uint8, broadcastable to cell×cell×3."""
    import numpy as np

    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"expected uint8 H×W×3 or H×W, found {image.dtype} of shape {image.shape}")
    fitted = fit_square(image, cell, "pad")
    return fitted if fitted.ndim == 3 else fitted[..., None]


def _write(area: np.ndarray, label: str, font: Font, align: str) -> None:
    """Write a line of text into uint8 h×w×3, in place, and nowhere outside it."""
    import numpy as np
    from PIL import Image, ImageDraw

    height, width = area.shape[:2]
    if not label or not height or not width:
        return
    strip = Image.new("L", (width, height), BACKGROUND)
    where, anchor = (width, "rm") if align == "right" else (width / 2, "mm")
    ImageDraw.Draw(strip).text((where, height / 2), _shortened(label, width, font), TYPE_COLOUR, font, anchor)
    area[:] = np.asarray(strip)[..., None]


def _shortened(label: str, width: int, font: Font) -> str:
    """As much of both ends of the label as fits, an ellipsis between them."""
    if _length(label, font) <= width:
        return label
    for kept in range(len(label) - 1, 0, -1):
        start = (kept + 1) // 2
        short = f"{label[:start]}…{label[len(label) - kept + start :]}"
        if _length(short, font) <= width:
            return short
    return "…"


def _font(cell: int) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(min(MOST_TYPE, max(LEAST_TYPE, cell // 10)))


def _length(text: str, font: Font) -> int:
    return -int(-font.getlength(text) // 1)


def _line_height(font: Font) -> int:
    box = font.getbbox("Ágjß")
    return int(box[3] - box[1]) + 2


# Contact sheets: images in rows and columns, each column with its label.

MARGIN = 4  # pixels around every cell


MAX_CELL = 256  # pixels; larger images are shrunk


BACKGROUND = 205  # grey, so that the edge of white paper shows


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray | None]], labels: Sequence[str], cell: int | None = None
) -> np.ndarray:
    """Lay images out in a grid, uint8 HxWx3 RGB.

    Cells are uint8 HxWx3 RGB or HxW grey; None leaves a gap. All are shown `cell` pixels square, with white
    borders where an image is not square; by default as large as the largest image, at most MAX_CELL.
    `labels` has one text per column. Raises ValueError when a row has not as many cells as there are labels,
    or there is no cell at all.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    images = [pixels for row in rows for pixels in row if pixels is not None]
    if not images or not labels:
        raise ValueError("a contact sheet needs at least one image and one label")
    if any(len(row) != len(labels) for row in rows):
        raise ValueError(f"rows of {sorted({len(row) for row in rows})} cells, but {len(labels)} labels")
    cell = cell or min(MAX_CELL, max(max(pixels.shape[:2]) for pixels in images))
    pitch = cell + MARGIN
    header = max(16, round(cell * 0.1)) + MARGIN
    sheet = np.full((header + len(rows) * pitch, MARGIN + len(labels) * pitch, 3), BACKGROUND, np.uint8)
    for row_number, row in enumerate(rows):
        for column, pixels in enumerate(row):
            if pixels is not None:
                top, left = header + row_number * pitch, MARGIN + column * pitch
                shown = fit_square(pixels, cell, "pad")
                sheet[top : top + cell, left : left + cell] = shown if shown.ndim == 3 else shown[..., None]
    image = Image.fromarray(sheet)
    canvas = ImageDraw.Draw(image)
    for column, label in enumerate(labels):
        text, font = _fitting(label, cell, header - MARGIN)
        middle = (MARGIN + column * pitch + cell / 2, header / 2)
        canvas.text(middle, text, fill=(20, 20, 20), font=font, anchor="mm")
    return np.asarray(image).copy()


def _fitting(label: str, width: int, height: int) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The label in the largest type that fits, cut short where even the smallest does not."""
    from PIL import ImageFont

    smallest = 9
    for size in range(max(smallest, round(height * 0.8)), smallest - 1, -1):
        font = ImageFont.load_default(size)
        if font.getlength(label) <= width:
            return label, font
    while label and font.getlength(label + "…") > width:
        label = label[:-1]
    return label + "…", font
