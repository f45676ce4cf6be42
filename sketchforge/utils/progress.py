"""Progress of a long job: one protocol for rendering, training, measuring and synthesis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Shows nothing; the command line overrides it to show a bar.

    A job may have several stages, one after another (inputs, then images); every `begin` has its `end`.
    """

    def stage(self, title: str) -> None:
        """Name the stages that follow, of a job with several: "2 of 5: sketches of out"; "": none."""

    def begin(self, unit: str, total: int, done: int = 0) -> None:
        """Start a stage of `total` units ("image", "step", …), of which `done` are finished already."""

    def advance(self, **figures: float | str) -> None:
        """Count one more unit; `figures` are shown beside the bar: a loss, the slowest stage."""

    def note(self, text: str) -> None:
        """Show a line of text."""

    def end(self) -> None:
        """End the stage, be it by success, failure or an interruption."""

    @contextmanager
    def track(self, unit: str, total: int, done: int = 0) -> Iterator[None]:
        """Call `begin`, and `end` however the block ends."""
        self.begin(unit, total, done)
        try:
            yield
        finally:
            self.end()
