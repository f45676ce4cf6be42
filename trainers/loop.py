"""The loop that trainings of the image models share: steps, the moments to save, and what Ctrl-C leaves."""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from sketchforge.errors import SketchforgeError
from sketchforge.utils.files import write_bytes
from sketchforge.utils.signals import held

STATE_FILE, STATE_VERSION = "state.pt", 1
SAVE_SECONDS = (
    120  # at most this much work is lost to a power cut; states resume exactly, so when does not matter
)


class TrainProgress:
    """What a training tells on its way; the command line overrides it to show a bar."""

    def begin(self, plan: Any, step: int) -> None:
        """Training starts at `step`, 0 for a new run."""

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        """`step` steps are done."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def end(self) -> None:
        """No more steps come, be it for success, failure or an interruption."""


def run_steps(
    start: int,
    steps: int,
    batches: Iterator[Any],
    train: Callable[[int, Any], None],
    save: Callable[[int], None],
) -> None:
    """train(step, batch) for the steps from `start` on, and save(steps done) now and then, at the end and on Ctrl-C.

    An interruption is let in while a batch is awaited, never within a step. When `train` raises, nothing is saved:
    the state may be half changed.
    """
    step = saved = start
    saved_at = time.monotonic()
    whole = True
    try:
        while step < steps:
            batch = next(batches)
            with held(signal.SIGINT, signal.SIGTERM):
                whole = False
                train(step, batch)
                step += 1
                whole = True
                if step == steps or time.monotonic() - saved_at > SAVE_SECONDS:
                    save(step)
                    saved, saved_at = step, time.monotonic()
    finally:
        if whole and saved < step:
            with held(signal.SIGINT, signal.SIGTERM):
                save(step)


def save_state(run: Path, step: int, parts: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Write what `restore_state` needs: the state_dict of every part, and plain values."""
    state = {"version": STATE_VERSION, "step": step, "extra": dict(extra)}
    state["parts"] = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()  # torch.save to a full disk raises whatever; our own writing raises OSError
    torch.save(state, buffer)
    write_bytes(run / STATE_FILE, buffer.getbuffer())


def restore_state(run: Path, parts: Mapping[str, Any], device: torch.device) -> tuple[int, dict[str, Any]]:
    """(steps done, plain values); puts the saved state into the parts. (0, {}) where nothing was saved.

    Raises SketchforgeError for a file that is damaged, of another version or of other networks.
    """
    path = run / STATE_FILE
    if not path.is_file():
        return 0, {}
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if state["version"] != STATE_VERSION:
            raise SketchforgeError(
                f"{path}: version {state['version']}, expected {STATE_VERSION}; begin another --run"
            )
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        return int(state["step"]), state["extra"]
    except SketchforgeError:
        raise
    except Exception as error:  # torch.load raises whatever the bytes provoke
        raise SketchforgeError(
            f"{path}: cannot be read as a training state ({type(error).__name__}); restore the file, or begin another --run"
        ) from error
