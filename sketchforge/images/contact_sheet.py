"""Grids of images with an image and a label at the head of each row and column, and contact sheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from sketchforge.images.resize import fit_square

if TYPE_CHECKING:
    import numpy as np
    from PIL import ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    Head = tuple[str, np.ndarray | None]  # a label, and its image


TYPE_COLOUR = 20  # grey of the labels
LEAST_TYPE, MOST_TYPE = 10, 16  # pixels; labels stay readable at cells of 64 pixels, too
WIDEST_NAME = 2  # cells; the greatest width of the rows' labels at the left


def labelled_grid(
    corner: str,
    columns: Sequence[Head],
    rows: Sequence[Head],
    cells: Iterable[Sequence[np.ndarray | None]],
    cell: int | None = None,
) -> np.ndarray:
    """Lay out images in rows and columns under labelled heads: uint8 H×W×3 RGB, for `encode.write_png`.

    columns, rows: (label, image) of each head. Columns have their label above, rows at the left. A label that
    is too long loses its middle, for names differ at either end. corner: label above the images of the rows.
    cells: for each row one image per column. Rows are consumed one after another, so a generator need not
    hold more than one, and beside the grid itself there is never more than one fitted cell in memory.

    Images are uint8 H×W×3 RGB or H×W grey; None leaves a gap. All are shown `cell` pixels square, with white
    borders where an image is not square; by default as large as the largest head image, at most MAX_CELL.
    The first column's image lies MARGIN + cell to the right of the first row's, which lies as far below it.

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
    font = _load_font(cell)
    pitch = cell + MARGIN
    name_width = min(WIDEST_NAME * cell, max(_measure_length(label, font) for label, _ in rows))
    left = MARGIN + (name_width + MARGIN if name_width else 0)
    top = _measure_line_height(font) + 2 * MARGIN
    height, width = top + (1 + len(rows)) * pitch, left + (1 + len(columns)) * pitch
    grid = np.full((height, width, 3), BACKGROUND, np.uint8)

    def show(row: int, column: int, image: np.ndarray | None) -> None:
        if image is not None:
            y, x = top + row * pitch, left + column * pitch
            grid[y : y + cell, x : x + cell] = _fit_cell(image, cell)

    _write_label(grid[MARGIN : top - MARGIN, MARGIN : left + cell], corner, font, "right")
    for column, (label, image) in enumerate(columns, start=1):
        x = left + column * pitch
        _write_label(grid[MARGIN : top - MARGIN, x : x + cell], label, font, "middle")
        show(0, column, image)
    for row, (head, images) in enumerate(zip_longest(rows, cells), start=1):
        if head is None or images is None:
            raise ValueError(f"row {row}: expected cells for the {len(rows)} rows, neither fewer nor more")
        label, image = head
        if len(images) != len(columns):
            raise ValueError(f"row {row} ({label}): found {len(images)} cells, expected {len(columns)}")
        y = top + row * pitch
        _write_label(grid[y : y + cell, MARGIN : left - MARGIN], label, font, "right")
        for column, cell_image in enumerate((image, *images)):
            show(row, column, cell_image)
    return grid


def _fit_cell(image: np.ndarray, cell: int) -> np.ndarray:
    """Fit uint8 H×W×3 or H×W to uint8 that is broadcastable to cell×cell×3."""
    import numpy as np

    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"expected uint8 H×W×3 or H×W, found {image.dtype} of shape {image.shape}")
    fitted = fit_square(image, cell, "pad")
    return fitted if fitted.ndim == 3 else fitted[..., None]


def _write_label(area: np.ndarray, label: str, font: Font, align: str) -> None:
    """Write a line of text into uint8 h×w×3, in place and clipped to it."""
    import numpy as np
    from PIL import Image, ImageDraw

    height, width = area.shape[:2]
    if not label or not height or not width:
        return
    strip = Image.new("L", (width, height), BACKGROUND)
    x, anchor = (width, "rm") if align == "right" else (width / 2, "mm")
    ImageDraw.Draw(strip).text((x, height / 2), _shorten_label(label, width, font), TYPE_COLOUR, font, anchor)
    area[:] = np.asarray(strip)[..., None]


def _shorten_label(label: str, width: int, font: Font) -> str:
    """Keep as much of both ends of the label as fits, with an ellipsis between them."""
    if _measure_length(label, font) <= width:
        return label
    for num_kept in range(len(label) - 1, 0, -1):
        start = (num_kept + 1) // 2
        short = f"{label[:start]}…{label[len(label) - num_kept + start :]}"
        if _measure_length(short, font) <= width:
            return short
    return "…"


def _load_font(cell: int) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(min(MOST_TYPE, max(LEAST_TYPE, cell // 10)))


def _measure_length(text: str, font: Font) -> int:
    return -int(-font.getlength(text) // 1)


def _measure_line_height(font: Font) -> int:
    box = font.getbbox("Ágjß")
    return int(box[3] - box[1]) + 2


# Contact sheets: images in rows and columns, each column with its label.

MARGIN = 4  # pixels around every cell


MAX_CELL = 256  # pixels; larger images are shrunk


BACKGROUND = 205  # grey, so that the edge of white paper shows


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray | None]],
    labels: Sequence[str],
    cell: int | None = None,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Lay images out in a grid, uint8 HxWx3 RGB.

    Cells are uint8 HxWx3 RGB or HxW grey; None leaves a gap. All are shown `cell` pixels square, with white
    borders where an image is not square; by default as large as the largest image, at most MAX_CELL.
    `labels` has one text per column, `names` one per row, written at the left. Raises ValueError when a row has
    another number of cells than there are labels, when names are given but not for every row, or when there is no
    cell at all.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    images = [pixels for row in rows for pixels in row if pixels is not None]
    if not images or not labels:
        raise ValueError("a contact sheet needs at least one image and one label")
    if any(len(row) != len(labels) for row in rows):
        raise ValueError(f"rows of {sorted({len(row) for row in rows})} cells, but {len(labels)} labels")
    if names and len(names) != len(rows):
        raise ValueError(f"{len(names)} names for {len(rows)} rows")
    cell = cell or min(MAX_CELL, max(max(pixels.shape[:2]) for pixels in images))
    pitch = cell + MARGIN
    header = max(16, round(cell * 0.1)) + MARGIN
    name_font = _load_font(cell)
    name_width = min(WIDEST_NAME * cell, max((_measure_length(name, name_font) for name in names), default=0))
    start = MARGIN + (name_width + MARGIN if names else 0)
    sheet = np.full((header + len(rows) * pitch, start + len(labels) * pitch, 3), BACKGROUND, np.uint8)
    for row_number, row in enumerate(rows):
        if names:
            y = header + row_number * pitch
            _write_label(sheet[y : y + cell, MARGIN : start - MARGIN], names[row_number], name_font, "right")
        for column, pixels in enumerate(row):
            if pixels is not None:
                top, left = header + row_number * pitch, start + column * pitch
                fitted = fit_square(pixels, cell, "pad")
                sheet[top : top + cell, left : left + cell] = (
                    fitted if fitted.ndim == 3 else fitted[..., None]
                )
    canvas_image = Image.fromarray(sheet)
    canvas = ImageDraw.Draw(canvas_image)
    for column, label in enumerate(labels):
        text, font = _fit_label(label, cell, header - MARGIN)
        middle = (start + column * pitch + cell / 2, header / 2)
        canvas.text(middle, text, fill=(20, 20, 20), font=font, anchor="mm")
    return np.asarray(canvas_image).copy()


def _fit_label(
    label: str, width: int, height: int
) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """Choose the largest type in which the label fits; cut the label where even the smallest does not."""
    from PIL import ImageFont

    smallest = 9
    for size in range(max(smallest, round(height * 0.8)), smallest - 1, -1):
        font = ImageFont.load_default(size)
        if font.getlength(label) <= width:
            return label, font
    while label and font.getlength(label + "…") > width:
        label = label[:-1]
    return label + "…", font


# Captions: what a sheet or grid shows, below it.

LEAST_CAPTION, MOST_CAPTION = 14, 28  # pixels; a wide sheet is looked at from further away


def add_caption(image: np.ndarray, text: str) -> np.ndarray:
    """uint8 H×W×3 -> the same with the text below it, in as many lines as its width asks for."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    width = image.shape[1] - 2 * MARGIN
    font = ImageFont.load_default(min(MOST_CAPTION, max(LEAST_CAPTION, width // 100)))
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_shorten_label(word, width, font))
    line_height = _measure_line_height(font)
    strip = Image.new("L", (image.shape[1], len(lines) * line_height + 2 * MARGIN), BACKGROUND)
    for number, line in enumerate(lines):
        ImageDraw.Draw(strip).text((MARGIN, MARGIN + number * line_height), line, TYPE_COLOUR, font)
    return np.concatenate([image, np.repeat(np.asarray(strip)[..., None], 3, axis=2)])


def describe_enlargement(side: int, cell: int) -> str:
    """The size of images that are shown in cells: "64 pixels, shown at 128"."""
    return f"{side} pixels" if side == cell else f"{side} pixels, shown at {cell}"


def describe_fidelity(sketches: Iterable[np.ndarray], cell: int) -> str:
    """Whether sketches in cells of so many pixels are the pixels that are stored, or what was done to them."""
    if all(sketch.shape[:2] == (cell, cell) for sketch in sketches):
        return "sketches as in the shards, pixel for pixel"
    return f"sketches fitted into {cell} pixels, which makes greys that are not in the shards"
