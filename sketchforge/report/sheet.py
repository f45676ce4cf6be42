"""Contact sheets: pictures in rows and columns, each column with its label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.images import fit_square
from sketchforge.utils import files
from sketchforge.utils.outputs import GENERATOR

if TYPE_CHECKING:
    import numpy as np
    from PIL import ImageFont

MARGIN = 4  # pixels around every cell
MAX_CELL = 256  # pixels; larger pictures are shrunk
BACKGROUND = 205  # grey, so that the edge of white paper shows


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray | None]], labels: Sequence[str], cell: int | None = None
) -> np.ndarray:
    """Lay pictures out in a grid, uint8 HxWx3 RGB.

    Cells are uint8 HxWx3 RGB or HxW grey; None leaves a gap. All are shown `cell` pixels square, with white
    borders where a picture is not square; by default as large as the largest picture, at most MAX_CELL.
    `labels` has one text per column. Raises ValueError when a row has not as many cells as there are labels,
    or there is no cell at all.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    pictures = [picture for row in rows for picture in row if picture is not None]
    if not pictures or not labels:
        raise ValueError("a contact sheet needs at least one picture and one label")
    if any(len(row) != len(labels) for row in rows):
        raise ValueError(f"rows of {sorted({len(row) for row in rows})} cells, but {len(labels)} labels")
    cell = cell or min(MAX_CELL, max(max(picture.shape[:2]) for picture in pictures))
    pitch = cell + MARGIN
    header = max(16, round(cell * 0.1)) + MARGIN
    sheet = np.full((header + len(rows) * pitch, MARGIN + len(labels) * pitch, 3), BACKGROUND, np.uint8)
    for row_number, row in enumerate(rows):
        for column, picture in enumerate(row):
            if picture is not None:
                top, left = header + row_number * pitch, MARGIN + column * pitch
                shown = fit_square(picture, cell, "pad")
                sheet[top : top + cell, left : left + cell] = shown if shown.ndim == 3 else shown[..., None]
    image = Image.fromarray(sheet)
    canvas = ImageDraw.Draw(image)
    for column, label in enumerate(labels):
        text, font = _fitting(label, cell, header - MARGIN)
        middle = (MARGIN + column * pitch + cell / 2, header / 2)
        canvas.text(middle, text, fill=(20, 20, 20), font=font, anchor="mm")
    return np.asarray(image).copy()


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write uint8 HxWx3 or HxW as a PNG file that names us, by rename."""
    from PIL import Image, PngImagePlugin

    made_by = PngImagePlugin.PngInfo()
    made_by.add_text("Software", GENERATOR)
    with files.appearing(path) as file:
        Image.fromarray(picture).save(file, "PNG", pnginfo=made_by)


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
