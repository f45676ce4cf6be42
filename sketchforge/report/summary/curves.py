"""The logs of trainings as curves: one image for each loss or figure, a line for each run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchforge.checkpoints.run_log import read_log
from sketchforge.report.svg import curves_svg

MOST_POINTS = 100  # of a line; more are averaged, for single steps are noise
LONGEST_NAME = 17  # characters that fit beside the curves
# Prefixes, in logs of `ae-train`, `gan-train` and `tom-train`, of figures that are not losses of a step.
MEASURED = {
    "held_out_": "images held out",
    "seen_": "training images",
    "validation_": "validation photos",
}


@dataclass(frozen=True)
class Curves:
    """One quantity that some runs of one command logged."""

    command: str
    name: str  # as in log.jsonl
    lines: Mapping[str, Sequence[tuple[int, float]]]  # name of a run -> (step, value)
    runs: tuple[str, ...]  # all runs that have curves, so that each has one colour throughout

    @property
    def title(self) -> str:
        for prefix, images in MEASURED.items():
            if self.name.startswith(prefix):
                return f"{self.command}: {self.name.removeprefix(prefix)}, {images}"
        kind = "" if self.name.endswith("_share") else " loss"  # a share of gradients is no loss
        return f"{self.command}: {self.name.replace('_', ' ')}{kind}"

    @property
    def measured(self) -> bool:
        return self.name.startswith(tuple(MEASURED))

    def svg(self) -> str:
        lines = {name: [self.lines[name]] if name in self.lines else [] for name in self.runs}
        return curves_svg({_shorten(name): line for name, line in lines.items()}, self.title, "steps")


def run_curves(runs: Mapping[str, tuple[str, Path]]) -> list[Curves]:
    """The curves of every quantity that the runs logged, figures before losses.

    runs: name of a run -> (command, folder). Values that are not finite numbers are left out.
    """
    lines_of: dict[tuple[str, str], dict[str, list[tuple[int, float]]]] = {}
    for run, (command, folder) in runs.items():
        for record in read_log(folder / "log.jsonl"):
            for name, value in record.items():
                if name != "step" and _is_number(value):
                    lines = lines_of.setdefault((command, name), {})
                    lines.setdefault(run, []).append((record["step"], float(value)))
    with_curves = tuple(run for run in runs if any(run in lines for lines in lines_of.values()))
    curves = [
        Curves(command, name, {run: thin(points) for run, points in lines.items()}, with_curves)
        for (command, name), lines in lines_of.items()
    ]
    return sorted(curves, key=lambda curve: (curve.command, not curve.measured))


def thin(points: Sequence[tuple[int, float]], most: int = MOST_POINTS) -> list[tuple[int, float]]:
    """At most `most` points: each is the mean of equally many neighbours, at the step of their last."""
    num_averaged = math.ceil(len(points) / most)
    groups = [points[start : start + num_averaged] for start in range(0, len(points), max(1, num_averaged))]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shorten(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
