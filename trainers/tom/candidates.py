"""The generators that snapshots are chosen from: when they are evaluated, their scores, their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sketchforge.checkpoints.tom import read_snapshot, write_snapshot
from sketchforge.errors import SketchforgeError
from sketchforge.images.contact_sheet import contact_sheet
from sketchforge.images.encode import write_captioned_png
from sketchforge.images.line_art import binarize
from sketchforge.images.tensors import from_unit, to_uint8
from sketchforge.options import TOM_LOW_THRESHOLD, RenderOptions
from sketchforge.utils.files import has_shape
from trainers.tom.selection import has_plateaued
from trainers.tom.step import TomTrainer

NUM_EVALUATIONS = 40  # over the whole run; each after the plateau ends a style window and adds a candidate
AS_RENDERED = "black and white as of `render --hands none`; hands draw these lines anew"
LATEST_PLATEAU = 0.5  # share of the steps; after it every evaluation adds a candidate, plateau or not


class Candidates:
    """The evaluations so far. After the content score has plateaued, every evaluation adds a candidate.

    After the plateau the steps between two evaluations are a style window, see `style_windows`.
    """

    def __init__(self, trainer: TomTrainer, run: Path, steps: int, num_snapshots: int) -> None:
        self.trainer, self.run = trainer, run
        self._every = max(steps // NUM_EVALUATIONS, 1)
        self.evaluate_at = range(self._every, steps + 1, self._every)
        # At the latest so early that at least `num_snapshots` evaluations are left.
        self._latest = min(
            int(steps * LATEST_PLATEAU), steps // self._every * self._every - num_snapshots * self._every
        )
        self.evaluations: list[dict[str, Any]] = []
        self.plateau_at: int | None = 0 if self._latest <= 0 else None  # steps done

    def window(self, step: int) -> int | None:
        """The style window that a step lies in; None before the plateau."""
        return None if self.plateau_at is None else (step - self.plateau_at) // self._every

    def evaluate(self, step: int) -> dict[str, float]:
        """Score the generator at the end of a style window; after the plateau, write it as a candidate.

        Rank 0 does; all ranks get its scores, which decide about the style windows.
        """
        window, ranks = self.window(step - 1), self.trainer.ranks
        content = realism = 0.0
        if ranks.is_main_process:
            content, realism = self._evaluate(step, window)
        content, realism = ranks.broadcast([content, realism])
        self.evaluations.append({"step": step, "window": window, "content": content, "realism": realism})
        if self.plateau_at is None:
            content_scores = [past_scores["content"] for past_scores in self.evaluations]
            if step >= self._latest or (has_plateaued(content_scores) and step >= self._latest // 2):
                self.plateau_at = step
        return {"validation_content": content, "validation_realism": realism}

    def _evaluate(self, step: int, window: int | None) -> tuple[float, float]:
        """Score the generator and write its files; return content and realism."""
        evaluation = self.trainer.evaluate(window)
        photos = to_uint8(self.trainer.validation_photos)
        rows = [
            [photo, grey_levels(sketch), rendered_levels(sketch)]
            for photo, sketch in zip(photos[:4], evaluation.sketches, strict=False)
        ]
        sheet = contact_sheet(rows, ["photo", "greys", "as rendered"])
        caption = f"tom-train: step {step:,}; {photos.shape[1]} pixels; {AS_RENDERED}"
        scores = {
            "step": step,
            "window": window,
            "content": evaluation.content,
            "realism": evaluation.realism,
        }
        # Files first: where one cannot be written, this evaluation has not taken place.
        write_captioned_png(self.run / "previews" / f"{step:06d}.png", sheet, caption)
        if self.plateau_at is not None and step > self.plateau_at:
            write_snapshot(self.path(step), self.trainer.networks.ema, scores)
        return evaluation.content, evaluation.realism

    def path(self, step: int) -> Path:
        return self.run / "candidates" / f"{step:06d}.safetensors"

    def read(self, scores: Mapping[str, Any]) -> nn.Module:
        """Read the candidate that was given these scores.

        Raises SketchforgeError where its file is lost, damaged or another run's.
        """
        path = self.path(scores["step"])
        generator, metadata = read_snapshot(path)
        if any(metadata.get(name) != value for name, value in scores.items()):
            raise SketchforgeError(
                f"{path}: is the candidate of another run; restore the file, or begin another --run"
            )
        return generator

    def extra(self) -> dict[str, Any]:
        """The plain values of a saved state."""
        return {"evaluations": self.evaluations, "plateau_at": self.plateau_at}

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        evaluations, plateau_at = extra["evaluations"], extra["plateau_at"]
        shape = [{"step": int, "content": float, "realism": float}]
        if not has_shape(evaluations, shape) or not (plateau_at is None or has_shape(plateau_at, int)):
            raise ValueError("its evaluations are none")
        self.evaluations, self.plateau_at = evaluations, plateau_at


def grey_levels(sketch: np.ndarray) -> np.ndarray:
    """float (H,W) in [0, 1] -> uint8."""
    return from_unit(torch.from_numpy(sketch)).numpy()


def rendered_levels(sketch: np.ndarray) -> np.ndarray:
    """float (H,W) in [0, 1] -> uint8 of 0 (ink) and 255, as `render --hands none` has it."""
    return binarize(grey_levels(sketch), RenderOptions.threshold, TOM_LOW_THRESHOLD)
