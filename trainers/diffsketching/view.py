"""What sketches are looked at through: a snapshot of TOM, with the features of its encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sketchforge.checkpoints.tom import builtin_run, find_tom_run
from sketchforge.images.builtin.drawings import PENS, SUBJECTS, draw
from sketchforge.images.resize import fit_square
from sketchforge.models.sketch_view import SketchView
from sketchforge.options import default_draw_size
from sketchforge.sketchers.tom import TomSketcher
from sketchforge.synthesis.fitting import DRAWN_SIDE

EVERY = 4  # of the built-in subjects, one is drawn: enough to tell how much a channel varies


def open_view(tom: Path | None, size: int) -> tuple[SketchView, dict[str, str]]:
    """(P by the first snapshot of a run of tom-train, digests of its encoder and generator).

    tom: None: the built-in run, whatever is in runs/. Its channels are weighed by some of the built-in drawings at this
    size. Raises the errors of `TomSketcher.from_run`.
    """
    run = builtin_run() if tom is None else find_tom_run(tom)
    sketcher = TomSketcher.from_run(run, 1, torch.device("cpu"))
    view = SketchView(sketcher.encoder, sketcher.generators[0], size, drawn_size_of(size))
    drawings = np.stack(
        [
            fit_square(draw(subject, PENS[number % len(PENS)], DRAWN_SIDE), size, "crop")
            for number, subject in enumerate(SUBJECTS[::EVERY])
        ]
    )
    view.calibrate(torch.from_numpy(drawings)[:, None].float().div(127.5).sub(1))
    digests = {"encoder": sketcher.digests["encoder"], "generator": sketcher.digests[sketcher.styles[0]]}
    return view.eval().requires_grad_(False), digests


def drawn_size_of(size: int) -> int:
    """The side at which TOM draws images of `size` pixels: as `render` does, but at most twice as large."""
    return min(default_draw_size(max(size, DRAWN_SIDE)), 2 * size)
