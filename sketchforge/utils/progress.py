"""What a long job tells on its way, whatever it is: one protocol for rendering, training, measuring and synthesis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Tells nobody; the command line overrides it to show a bar.

    A job may begin several times, one stage after another (inputs, then images); every `begin` has its `end`.
    """

    def begin(self, unit: str, total: int, done: int = 0) -> None:
        """`total` units ("image", "step", "sample", …) are to be done, `done` of them are already."""

    def advance(self, **figures: float | str) -> None:
        """One more unit is done; `figures` are worth showing beside the bar: a loss, the slowest stage."""

    def note(self, text: str) -> None:
        """Something worth a line of its own."""

    def end(self) -> None:
        """No more units come, be it for success, failure or an interruption."""

    @contextmanager
    def track(self, unit: str, total: int, done: int = 0) -> Iterator[None]:
        """`begin`, and `end` however the block ends."""
        self.begin(unit, total, done)
        try:
            yield
        finally:
            self.end()
