"""The content of a report, before it is formatted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sketchforge.checkpoints.runs import TrainedRun
from sketchforge.metrics.estimates import Estimate, MissingMetric
from sketchforge.metrics.images.result import CHANCE, ImageEvaluation, ImageRow
from sketchforge.metrics.sketches.result import SketchEvaluation
from sketchforge.options import EvalReportOptions
from sketchforge.report.images.samples import Ranking
from sketchforge.report.summary.curves import Curves
from sketchforge.report.summary.held_out import EvaluationSet

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ModelFindings:
    """One trained model, its evaluation and its sample images."""

    name: str
    run: TrainedRun
    evaluation_set: EvaluationSet
    evaluation: ImageEvaluation
    ranking: Ranking
    grid: np.ndarray  # uint8 H×W×3, from `styles_grid`

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.recorded("recipe")

    def recorded(self, part: str) -> Mapping[str, Any]:
        """A part of run.json; empty where it is missing, as in runs of other versions."""
        entry = self.run.record.get(part)
        return entry if isinstance(entry, Mapping) else {}

    @property
    def size(self) -> int:
        """The side of its images, in pixels."""
        return int(self.evaluation.models[0]["size"])

    @property
    def steps(self) -> str:
        steps_done = self.run.record.get("steps_done")
        return f"{steps_done:,}" if isinstance(steps_done, int) else "unknown"

    def rows(self, chance: bool = False) -> list[ImageRow]:
        """The rows of the model, or those of chance."""
        return [row for row in self.evaluation.rows if (row.name == CHANCE) == chance]

    def figures(self, *names: str) -> dict[str, Estimate]:
        """The figures of these names (keys of `metrics.images.result.BETTER`) by their titles."""
        return {
            row.titles[name]: figure
            for row in self.rows()
            for name, figure in row.figures.items()
            if name in names
        }

    @property
    def matched(self) -> dict[str, Estimate]:
        """LPIPS where it was measured, else the error that images were ranked by."""
        return self.figures("lpips") or {self.ranking.title: self.ranking.figure}


@dataclass(frozen=True)
class Report:
    options: EvalReportOptions
    sketches: tuple[SketchEvaluation, ...]  # one for each group of folders that share images
    models: tuple[ModelFindings, ...]
    curves: tuple[Curves, ...]
    gaps: tuple[MissingMetric, ...]
    warnings: tuple[MissingMetric, ...]
    commands: tuple[str, ...]  # each measures one part of the report by itself
    hardware: Mapping[str, str]
    libraries: Mapping[str, str]
