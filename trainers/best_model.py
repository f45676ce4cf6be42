"""The model of the step at which a figure was lowest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sketchforge.checkpoints.run_log import read_log

BEST_FILE = "best.safetensors"


@dataclass
class BestModel:
    """Keeps BEST_FILE in a run folder.

    figure: its name in the log, where what a run has found so far is read from, so that a run that was interrupted
    goes on comparing. write: writes the model as it stands to a path, with what is to be said of it.
    """

    run: Path
    figure: str
    write: Callable[[Path, Mapping[str, float]], None]
    lowest: tuple[float, int] | None = field(init=False)  # value, step

    def __post_init__(self) -> None:
        found = [record for record in read_log(self.run / "log.jsonl") if self.figure in record]
        self.lowest = min(((record[self.figure], record["step"]) for record in found), default=None)

    def offer(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the model of this step where its figure is lower than any before."""
        value = figures[self.figure]
        if self.lowest is None or value < self.lowest[0]:
            self.write(self.run / BEST_FILE, {"step": step, **figures})
            self.lowest = (value, step)

    def record(self) -> dict[str, float | str | int]:
        """For run.json."""
        assert self.lowest is not None
        return {"file": BEST_FILE, "step": self.lowest[1], self.figure: self.lowest[0]}
