"""The progress of a training as a bar with its losses; a line now and then where no terminal is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click


class TrainingBar:
    """introduction: the lines to print for a plan when training begins. A plan has `steps` and `batch_size`."""

    def __init__(self, introduction: Callable[[Any], list[str]]) -> None:
        self._introduction = introduction
        self._bar: Any = None
        self.began = False

    def begin(self, plan: Any, step: int) -> None:
        from tqdm import tqdm

        self.began = True
        for line in self._introduction(plan):
            click.echo(line)
        if step:
            click.echo(f"continuing after step {step}")
        interval = 0.5 if sys.stderr.isatty() else 30
        self._batch = plan.batch_size
        self._bar = tqdm(
            total=plan.steps,
            initial=step,
            unit="step",
            smoothing=0.05,
            mininterval=interval,
            maxinterval=2 * interval,
        )

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        rate = self._bar.format_dict["rate"]
        shown = ", ".join(f"{name} {value:.2f}" for name, value in losses.items())
        if rate:
            shown = f"{rate * self._batch:.1f} images/s, {shown}"
        self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update()

    def note(self, text: str) -> None:
        click.echo(text, err=True)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.close()
