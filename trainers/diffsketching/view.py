"""What sketches are looked at through: a snapshot of TOM, with the features of its encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sketchforge.checkpoints.tom import builtin_run, find_tom_run
from sketchforge.images.builtin.drawings import load_drawings
from sketchforge.images.resize import fit_square
from sketchforge.models.sketch_view import SketchView
from sketchforge.options import default_draw_size
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.synthesis.fitting import DRAWN_SIDE


def open_view(tom: Path | None, size: int) -> tuple[SketchView, dict[str, str]]:
    """(P by the first snapshot of a run of tom-train, digests of its encoder and generator).

    tom: None: the built-in run, whatever is in runs/. Its channels are weighed by the built-in drawings, in their
    order at this size. Raises the errors of `TomSketcher.from_run`.
    """
    run = builtin_run() if tom is None else find_tom_run(tom)
    sketcher = TomSketcher.from_run(run, 1, torch.device("cpu"))
    view = SketchView(sketcher.encoder, sketcher.generators[0], size, drawn_size_of(size))
    drawings = np.stack([fit_square(drawing, size, "crop") for _, drawing in load_drawings(DRAWN_SIDE)])
    view.calibrate(torch.from_numpy(drawings)[:, None].float().div(127.5).sub(1))
    digests = {"encoder": sketcher.digests["encoder"], "generator": sketcher.digests[sketcher.styles[0]]}
    return view.eval().requires_grad_(False), digests


def drawn_size_of(size: int) -> int:
    """The side at which TOM draws images of `size` pixels: as `render` does, but at most twice as large."""
    return min(default_draw_size(max(size, DRAWN_SIDE)), 2 * size)
