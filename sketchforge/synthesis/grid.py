"""grid.png of `synthesize`, `mix` and `transfer`: each result beside its sketch and its style image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sketchforge.checkpoints.runs import MODEL_FILE
from sketchforge.images.contact_sheet import MAX_CELL, contact_sheet, labelled_grid
from sketchforge.synthesis.plan import Style
from sketchforge.synthesis.record import LOCATION

if TYPE_CHECKING:
    import numpy as np

    from sketchforge.synthesis.plan import Plan

MOST = 12  # rows, and columns; nobody looks at more, and the file grows
MOST_MIXED = 6  # rows of `mix`, for each takes several more images
LEAST_CELL = 128  # pixels; names need room above

Head = tuple[str, "np.ndarray | None"]


@dataclass(frozen=True)
class SynthesisGrid:
    """A grid, and what it leaves out."""

    image: np.ndarray  # uint8 H×W×3
    caption: str  # the model, its size, and the size shown at
    left_out: str  # empty where it shows everything


def grid_of(
    plan: Plan, result: Callable[[int, int], np.ndarray], again: Callable[[int, Style], np.ndarray]
) -> SynthesisGrid:
    """Lay out sketches at the left, styles above, results between.

    result: returns the image of a sketch and a style, by their indices in the plan.
    again: generates the image of a sketch (by its index) and any style. With it the grid shows, beside a
    mixture, what each of the mixture's parts makes alone.
    Where TOM drew the sketches (`plan.drawn`), the photos are at the left and the sketches in a column of
    their own.
    """
    cell = min(MAX_CELL, max(LEAST_CELL, plan.model.size))
    mixture = len(plan.styles[0].parts) > 1
    sketches, styles = plan.sketches[: MOST_MIXED if mixture else MOST], plan.styles[:MOST]
    part_styles = [Style(part.name, (part,)) for part in styles[0].parts] if mixture else []
    columns: list[Head] = [("sketch", None)] if plan.drawn else []
    columns += [("stitched" if mixture else style.name, style.read(cell)) for style in styles]
    columns += [(style.name, style.read(cell)) for style in part_styles]
    heads = [(sketch.name, sketch.read() if plan.drawn else plan.fit(sketch).drawing) for sketch in sketches]

    def make_row(row: int) -> list[np.ndarray]:
        sketch_cell = [plan.fit(plan.sketches[row]).drawing] if plan.drawn else []
        results = [result(row, column) for column in range(len(styles))]
        return [*sketch_cell, *results, *(again(row, style) for style in part_styles)]

    subject = "content" if plan.drawn else "sketch"
    grid = labelled_grid(subject, columns, heads, map(make_row, range(len(sketches))), cell)
    left_out = [
        _describe_left_out(len(sketches), len(plan.sketches), "images" if plan.drawn else "sketches"),
        _describe_left_out(len(styles), len(plan.styles), "styles"),
    ]
    return SynthesisGrid(grid, _describe_grid(plan, cell), " and ".join(filter(None, left_out)))


def pairs_grid(plan: Plan, result: Callable[[int, int], np.ndarray]) -> SynthesisGrid:
    """Lay out one row for each pair: sketch, style and result."""
    cell = min(MAX_CELL, max(LEAST_CELL, plan.model.size))
    shown = plan.cells[:MOST]
    rows = [
        [plan.fit(plan.sketches[row]).drawing, plan.styles[column].read(cell), result(row, column)]
        for row, column in shown
    ]
    sheet = contact_sheet(rows, ["sketch", "style", "result"], cell)
    return SynthesisGrid(
        sheet, _describe_grid(plan, cell), _describe_left_out(len(shown), len(plan.cells), "pairs")
    )


def _describe_grid(plan: Plan, cell: int) -> str:
    path = Path(plan.by["model"][LOCATION])
    name = path.parent.name if path.name == MODEL_FILE else path.name
    shown = "" if cell == plan.model.size else f"; shown at {cell} pixels"
    return f"{plan.by['command']} by {name}: {plan.describe_model()}{shown}"


def _describe_left_out(shown: int, count: int, subject: str) -> str:
    return f"the first {shown} of {count} {subject}" if count > shown else ""
