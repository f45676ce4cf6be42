"""A progress that keeps all that it is told."""

from __future__ import annotations

from sketchforge.utils.progress import Progress


class RecordedProgress(Progress):
    """Stages as (unit, total, done) in `begun`; figures of every `advance`; `open`: stages that have not ended."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, int]] = []
        self.figures: list[dict[str, float | str]] = []
        self.notes: list[str] = []
        self.open = 0

    def begin(self, unit: str, total: int, done: int = 0) -> None:
        self.begun.append((unit, total, done))
        self.open += 1

    def advance(self, **figures: float | str) -> None:
        assert self.open == 1
        self.figures.append(figures)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self) -> None:
        self.open -= 1
